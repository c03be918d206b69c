// Uses something compiled from every system library, so that a stand-in whose labels exist but whose
// link options are wrong does not go unnoticed.

#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>

#include "absl/base/log_severity.h"
#include "absl/cleanup/cleanup.h"
#include "absl/container/flat_hash_map.h"
#include "absl/debugging/stacktrace.h"
#include "absl/debugging/symbolize.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/functional/any_invocable.h"
#include "absl/hash/hash.h"
#include "absl/numeric/int128.h"
#include "absl/random/random.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "absl/types/variant.h"
#include "glog/logging.h"
#include "gtest/gtest.h"

ABSL_FLAG(int, bazel_testdata_flag, 3, "Read by a test.");

namespace agentos {
namespace {

TEST(SystemLibrariesTest, AbseilLinks) {
  const absl::StatusOr<int> refused = absl::InvalidArgumentError("no");
  EXPECT_EQ(refused.status().ToString(), "INVALID_ARGUMENT: no");
  EXPECT_EQ(absl::StrFormat("%d %s", 1, absl::FormatDuration(absl::Seconds(2))), "1 2s");
  EXPECT_EQ(std::string(absl::Cord("abc")), "abc");
  absl::flat_hash_map<std::string, int> map = {{"a", 1}};
  EXPECT_EQ(map.at("a"), 1);
  std::ostringstream number;
  number << absl::MakeUint128(0, 5);
  EXPECT_EQ(number.str(), "5");
  absl::Notification done;
  {
    absl::AnyInvocable<void()> notify = [&done] { done.Notify(); };
    const absl::Cleanup at_end = [&notify] { notify(); };
  }
  EXPECT_TRUE(done.HasBeenNotified());
  absl::BitGen random;
  EXPECT_LT(absl::Uniform(random, 0, 4), 4);
  EXPECT_EQ(absl::GetFlag(FLAGS_bazel_testdata_flag), 3);
  void* frames[4];
  EXPECT_GE(absl::GetStackTrace(frames, 4, 0), 0);
  EXPECT_STREQ(absl::LogSeverityName(absl::LogSeverity::kInfo), "INFO");
  EXPECT_EQ(absl::HashOf(1), absl::HashOf(1));
  EXPECT_GT(absl::Now(), absl::UnixEpoch());
  const absl::variant<int, std::string> either = std::string("text");
  EXPECT_EQ(absl::get<std::string>(either), "text");
}

// With Debian's Abseil the two are different types, and code that takes one for the other compiles
// elsewhere only.
TEST(SystemLibrariesTest, AbseilStringViewIsItsOwnType) {
#if defined(ABSL_USES_STD_STRING_VIEW)
  EXPECT_TRUE((std::is_same_v<absl::string_view, std::string_view>));
#else
  EXPECT_FALSE((std::is_same_v<absl::string_view, std::string_view>));
#endif
}

TEST(SystemLibrariesTest, GlogLinks) { EXPECT_STREQ(google::GetLogSeverityName(google::GLOG_INFO), "INFO"); }

}  // namespace
}  // namespace agentos
