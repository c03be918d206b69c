// Runs programs for AsyncTaskManager: one thread, whose ring waits for their output, their ends and their timeouts, for all of
// them. Private to handlers/.
//
// Thread rule: any thread; callbacks are called on the supervisor's own, which is started when first needed.
// Lifetime: Stop, and the destructor, end what runs, and return when it has ended.
// Errors: each program's in its outcome.

#ifndef AGENTOS_HANDLERS_PROCESS_SUPERVISOR_H_
#define AGENTOS_HANDLERS_PROCESS_SUPERVISOR_H_

#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/async_task.h"
#include "agentos/handlers/task.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/types.h"
#include "agentos/ring/unique_fd.h"

namespace agentos::handlers_internal {

class ProcessSupervisor {
 public:
  struct Outcome {
    // OK when it exited with 0.
    absl::Status status;
    // Nothing when it could not be started.
    std::optional<ProcessResult> result;
  };
  using OnEnd = absl::AnyInvocable<void(Outcome)>;

  // `rings` may be null.
  ProcessSupervisor(std::shared_ptr<IoUringManager> rings, Pid ring_pid, absl::Duration grace)
      : rings_(std::move(rings)), ring_pid_(ring_pid), grace_(grace) {}
  ~ProcessSupervisor() { Stop(); }

  // Starts it, and calls `on_end` when it has ended; `stop` ends it. Not OK: there is no ring for it, and nobody is called.
  absl::Status Run(ProcessRequest request, std::stop_token stop, OnEnd on_end);

  void Stop();

 private:
  // A program that runs, and how far its end has come.
  struct Running;

  absl::Status EnsureThread();
  void Loop();
  Task<void> Supervise(ProcessRequest request, std::stop_token stop, OnEnd on_end);
  Task<void> AwaitExit(Running& running);
  Task<void> AwaitExitAndReaders(Running& running);
  Task<void> Collect(Running& running);
  Task<void> Feed(UniqueFd input, std::string data, std::stop_token stop);

  std::shared_ptr<IoUringManager> rings_;
  const Pid ring_pid_;
  const absl::Duration grace_;
  std::mutex mutex_;
  std::unique_ptr<AsyncRing> ring_;
  // Ends what runs, each within its grace.
  std::stop_source stop_;
  std::thread thread_;
};

}  // namespace agentos::handlers_internal

#endif  // AGENTOS_HANDLERS_PROCESS_SUPERVISOR_H_
