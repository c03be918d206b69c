// What every benchmark of the library shares: making a manager, and reading completions without losing an error.
//
// Thread rule: as IoUringManager's.

#ifndef AGENTOS_BENCHMARKS_OUR_SIDE_H_
#define AGENTOS_BENCHMARKS_OUR_SIDE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "agentos/executor/executor_info.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/types.h"
#include "benchmark/benchmark.h"

namespace agentos::bench {

inline constexpr Pid kPid = 7;
inline constexpr Threading kAllThreadings[] = {Threading::kAnyThread, Threading::kOneThread};

std::string ThreadingName(Threading threading);

// Null, and the state skipped with the cause, when there is none to be had.
std::unique_ptr<IoUringManager> MakeManager(benchmark::State& state, Threading threading);

// A manager with a ring for kPid.
std::unique_ptr<IoUringManager> MakeManagerWithRing(benchmark::State& state, Threading threading,
                                                    const RingOptions& options = {});

// The same on the threads executor, which needs no io_uring.
std::unique_ptr<IoUringManager> MakeManagerOnThreads(benchmark::State& state);

// Skips the rest of the benchmark when `status` is an error; answers whether it was OK.
inline bool Check(benchmark::State& state, const absl::Status& status) {
  if (status.ok()) [[likely]] {
    return true;
  }
  state.SkipWithError(status.ToString().c_str());
  return false;
}

// Reaps until `done` is full. Waits only when nothing is there to be reaped.
absl::Status ReapExactly(IoUringManager& manager, Pid pid, absl::Span<SyscallCompletionEntry> done);

// The sum of the completions' values; -1 when one of them is not a success.
inline int64_t SumValues(absl::Span<const SyscallCompletionEntry> done) {
  int64_t sum = 0;
  for (const SyscallCompletionEntry& each : done) {
    if (!each.status.is_success()) [[unlikely]] {
      return -1;
    }
    sum += each.result.value();
  }
  return sum;
}

// The error message of the first completion that is not a success.
std::string FirstError(absl::Span<const SyscallCompletionEntry> done);

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_OUR_SIDE_H_
