#include "agentos/testing/system_call_trace.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

// The ruler itself: a call too many must show.
TEST(SystemCallTraceTest, CountsWhatStandsBetweenTheMarks) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer makes system calls of its own";
  const SystemCallTrace trace = TraceSystemCalls([] {
    syscall(SYS_getuid);
    MarkSystemCalls();
    for (int i = 0; i < 3; ++i) syscall(SYS_getpid);
    MarkSystemCalls();
    MarkSystemCalls();
    syscall(SYS_getuid);
    MarkSystemCalls();
    syscall(SYS_gettid);
    return std::string();
  });
  if (trace.refused) GTEST_SKIP() << "this machine allows no tracing";
  EXPECT_EQ(trace.error, "");
  ASSERT_EQ(trace.calls.size(), 3u);
  EXPECT_EQ(trace.calls[0], (std::map<long, int>{{SYS_getpid, 3}}));
  EXPECT_TRUE(trace.calls[1].empty());
  EXPECT_EQ(trace.calls[2], (std::map<long, int>{{SYS_getuid, 1}}));
  EXPECT_EQ(Describe(trace.calls[2]), absl::StrCat("call ", SYS_getuid, " 1"));
  EXPECT_EQ(TraceSystemCalls([] { return std::string("what went wrong"); }).error, "what went wrong");
  EXPECT_EQ(TraceSystemCalls([]() -> std::string { _exit(3); }).error, "exit code 3");
}

}  // namespace
}  // namespace agentos
