// AsyncTaskManager: long-running work of agents beside their rings: functions on a bounded number of threads, and programs.
//
// Rings are for operations that the kernel executes; what computes, or calls a library that blocks, or is another program, belongs
// here (dispatcher.h chooses). Results are kept for a bounded time and number.
//
// Thread rule: any thread.
// Lifetime: destroying it is Shutdown. A function that ignores its cancellation beyond the deadline is left to its thread, with
// everything of ours that it may still touch.
// Errors:
// - InvalidArgument: a field is wrong, and is named.
// - ResourceExhausted: max_queued tasks wait already.
// - NotFound: no such task, or its result is not kept any more.
// - FailedPrecondition: the manager is shutting down.
// A task's own failure, an exception included, is in its status.
//
//   absl::StatusOr<std::unique_ptr<AsyncTaskManager>> tasks = AsyncTaskManager::Create();
//   absl::StatusOr<AsyncTaskId> id = (*tasks)->SpawnProcess(kPid, {.argv = {"sort", "-n"}, .input = numbers});
//   absl::StatusOr<AsyncTaskStatus> sorted = (*tasks)->Wait(*id, absl::Seconds(10));
//   if (sorted.ok() && sorted->process) Use(sorted->process->standard_output);

#ifndef AGENTOS_HANDLERS_ASYNC_TASK_MANAGER_H_
#define AGENTOS_HANDLERS_ASYNC_TASK_MANAGER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agentos/handlers/async_task.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/types.h"

namespace agentos {

struct AsyncTaskManagerOptions {
  // Threads that run functions, at most; they are started when needed. 1 to 1,024.
  size_t threads = 4;
  // Programs that run at a time, at most. 1 to 1,024.
  size_t processes = 16;
  // Tasks that wait for a thread, or to be started.
  size_t max_queued = 1024;
  // Results that are kept: the oldest goes first.
  size_t max_results = 1024;
  absl::Duration result_lifetime = absl::Minutes(10);
  // How long a program that was asked to stop (SIGTERM) may take before it is killed.
  absl::Duration grace = absl::Seconds(2);
  // How long Shutdown waits for functions to end.
  absl::Duration shutdown_timeout = absl::Seconds(5);
  // The rings that capture the output of programs; null means of its own. For Threading::kAnyThread only.
  std::shared_ptr<IoUringManager> rings = nullptr;
  // The process of those rings that is used for it, which must have no ring yet.
  Pid ring_pid = 0xfffffffe;
  // The clock that results age by.
  std::function<absl::Time()> now = absl::Now;
};

struct AsyncTaskStats {
  uint64_t spawned = 0;
  uint64_t succeeded = 0;
  uint64_t failed = 0;
  uint64_t cancelled = 0;
  uint64_t rejected = 0;
  // Results that had to go before anybody asked for them to.
  uint64_t expired = 0;
  size_t queued = 0;
  size_t running = 0;
  size_t results = 0;
};

class AsyncTaskManager {
 public:
  static absl::StatusOr<std::unique_ptr<AsyncTaskManager>> Create(AsyncTaskManagerOptions options = {});
  AsyncTaskManager(const AsyncTaskManager&) = delete;
  AsyncTaskManager& operator=(const AsyncTaskManager&) = delete;
  ~AsyncTaskManager();

  absl::StatusOr<AsyncTaskId> Spawn(Pid pid, std::string name, TaskFunction function);
  // A program in a process group of its own, which ends with it. Its name is argv[0].
  absl::StatusOr<AsyncTaskId> SpawnProcess(Pid pid, ProcessRequest request);

  absl::StatusOr<AsyncTaskStatus> Status(AsyncTaskId id) const;
  // Waits for its end. DeadlineExceeded: it goes on.
  absl::StatusOr<AsyncTaskStatus> Wait(AsyncTaskId id, absl::Duration timeout = absl::InfiniteDuration());
  // Those of a process, in the order of their ids.
  std::vector<AsyncTaskStatus> List(Pid pid) const;

  // Asks a task to stop. One that has not begun never does. FailedPrecondition when it has ended.
  absl::Status Cancel(AsyncTaskId id);
  // The process ends: its tasks are asked to stop and its results are thrown away, also those that are still to come. How many
  // tasks were asked.
  size_t EndProcess(Pid pid);

  AsyncTaskStats Stats() const;

  // Takes no more tasks, asks all to stop, and waits. DeadlineExceeded names the functions that go on.
  absl::Status Shutdown();

 private:
  class Impl;
  explicit AsyncTaskManager(std::shared_ptr<Impl> impl);

  // Shared with the threads, which may outlive it.
  const std::shared_ptr<Impl> impl_;
};

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_ASYNC_TASK_MANAGER_H_
