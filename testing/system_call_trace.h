// Counts the system calls that a piece of code makes, from outside, as strace would.
//
// The code runs in a forked child under ptrace(2). What is to be counted stands between two calls of MarkSystemCalls; everything
// before the first (making a manager) and after the last is not counted.
//
// Thread rule: call TraceSystemCalls from a process of one thread. Only the child's first thread is traced, and the child should
// have no other.
// Errors: an answer without `error` is to be trusted. `refused` says that this machine allows no tracing.
// Source: ptrace(2).
//
//   SystemCallTrace trace = TraceSystemCalls([] {
//     Prepare();
//     MarkSystemCalls();
//     Work();
//     MarkSystemCalls();
//     return std::string();
//   });
//   EXPECT_EQ(trace.calls[0][SYS_io_uring_enter], 1);

#ifndef AGENTOS_TESTING_SYSTEM_CALL_TRACE_H_
#define AGENTOS_TESTING_SYSTEM_CALL_TRACE_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace agentos {

struct SystemCallTrace {
  // How often each system call, by number, was made between a mark and the next: one map per stretch.
  std::vector<std::map<long, int>> calls;
  // What the child answered, or how it died; empty when all is well.
  std::string error;
  bool refused = false;
};

// Ends one stretch and begins the next.
void MarkSystemCalls();

// `body` answers "" or what went wrong.
SystemCallTrace TraceSystemCalls(const std::function<std::string()>& body);

// "io_uring_enter 2, write 1", for messages; calls without a name of ours appear by number.
std::string Describe(const std::map<long, int>& calls);

}  // namespace agentos

#endif  // AGENTOS_TESTING_SYSTEM_CALL_TRACE_H_
