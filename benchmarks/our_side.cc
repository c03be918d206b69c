#include "agentos/benchmarks/our_side.h"

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentos/benchmarks/bench_environment.h"

namespace agentos::bench {

std::string ThreadingName(Threading threading) { return threading == Threading::kAnyThread ? "any_thread" : "one_thread"; }

namespace {

std::unique_ptr<IoUringManager> MakeManager(benchmark::State& state, const IoUringManagerOptions& options) {
  absl::StatusOr<std::unique_ptr<IoUringManager>> manager = RetryWhileOutOfMemory(
      [&] { return IoUringManager::Create(options); }, [](const auto& made) { return absl::IsResourceExhausted(made.status()); });
  if (!Check(state, manager.status())) return nullptr;
  return *std::move(manager);
}

std::unique_ptr<IoUringManager> WithRing(benchmark::State& state, std::unique_ptr<IoUringManager> manager,
                                         const RingOptions& options) {
  if (manager == nullptr || !Check(state, manager->CreateRing(kPid, options))) return nullptr;
  return manager;
}

}  // namespace

std::unique_ptr<IoUringManager> MakeManager(benchmark::State& state, Threading threading) {
  return MakeManager(state, IoUringManagerOptions{.threading = threading});
}

std::unique_ptr<IoUringManager> MakeManagerWithRing(benchmark::State& state, Threading threading, const RingOptions& options) {
  return WithRing(state, MakeManager(state, threading), options);
}

std::unique_ptr<IoUringManager> MakeManagerOnThreads(benchmark::State& state) {
  return WithRing(state, MakeManager(state, IoUringManagerOptions{.executor = ExecutorKind::kThreadPool}), {});
}

absl::Status ReapExactly(IoUringManager& manager, Pid pid, absl::Span<SyscallCompletionEntry> done) {
  while (!done.empty()) {
    absl::StatusOr<size_t> count = manager.ReapCompletions(pid, done);
    if (count.ok() && *count == 0) count = manager.WaitCompletions(pid, 1, done, absl::Seconds(10));
    if (!count.ok()) return count.status();
    done.remove_prefix(*count);
  }
  return absl::OkStatus();
}

std::string FirstError(absl::Span<const SyscallCompletionEntry> done) {
  for (const SyscallCompletionEntry& each : done) {
    if (!each.status.is_success()) return each.status.is_cancelled() ? "cancelled" : each.status.error_message();
  }
  return "no error";
}

}  // namespace agentos::bench
