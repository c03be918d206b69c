// What AsyncTaskManager runs, and what it says of it.
//
// Thread rule: AsyncTaskStatus and the requests are values. TaskContext: the task's own thread, but IsCancelled and stop_token any.
// Lifetime: a TaskContext lives as long as the function that got it runs.
//
//   manager->Spawn(kPid, "index", [](TaskContext& context) -> absl::StatusOr<std::string> {
//     for (size_t i = 0; i < files.size(); ++i) {
//       if (context.IsCancelled()) return absl::CancelledError("stopped");
//       context.SetProgress(double(i) / files.size(), files[i]);
//       Index(files[i]);
//     }
//     return "done";
//   });

#ifndef AGENTOS_HANDLERS_ASYNC_TASK_H_
#define AGENTOS_HANDLERS_ASYNC_TASK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agentos/ring/types.h"

namespace agentos {

// Names a task; never given twice by one manager, and never 0.
using AsyncTaskId = uint64_t;

enum class AsyncTaskState : uint8_t { kQueued, kRunning, kSucceeded, kFailed, kCancelled };

absl::string_view AsyncTaskStateName(AsyncTaskState state);

// What a program may use; 0 is no limit of ours. setrlimit(2) says what happens beyond.
struct ProcessLimits {
  // Processor time, in whole seconds, at least one.
  absl::Duration cpu_time = absl::ZeroDuration();
  // Bytes.
  uint64_t address_space = 0;
  uint64_t file_size = 0;
  uint64_t open_files = 0;
};

struct ProcessRequest {
  // The program, sought in PATH when it has no slash, and its arguments.
  std::vector<std::string> argv;
  // "NAME=value" each; nothing means this process's own.
  std::optional<std::vector<std::string>> environment;
  // Empty means this process's own.
  std::string working_directory;
  // What it reads from its standard input.
  std::string input;
  ProcessLimits limits;
  // How long it may run before it is stopped.
  absl::Duration timeout = absl::InfiniteDuration();
  // How many bytes of each output are kept; what comes after them is read and thrown away.
  size_t max_output = size_t{1} << 20;
};

struct ProcessResult {
  // What it gave to exit(2), or -1 when a signal ended it.
  int exit_code = -1;
  // The signal that ended it, or 0.
  int signal = 0;
  std::string standard_output;
  std::string standard_error;
  // Whether there was more than max_output, or somebody it left behind still held its end.
  bool output_truncated = false;
  absl::Duration user_time;
  absl::Duration system_time;
  // Its largest resident set, in bytes.
  uint64_t max_memory = 0;
};

struct AsyncTaskStatus {
  AsyncTaskId id = 0;
  Pid pid = 0;
  std::string name;
  AsyncTaskState state = AsyncTaskState::kQueued;
  // It was asked to stop, and may or may not have noticed.
  bool cancel_requested = false;
  // From 0 to 1, as the task says.
  double fraction = 0;
  std::string message;
  absl::Time queued;
  // InfiniteFuture as long as it has not.
  absl::Time started = absl::InfiniteFuture();
  absl::Time ended = absl::InfiniteFuture();
  // Of one that has ended: what it gave, or why not.
  absl::Status status;
  std::string output;
  // Of a process that has ended, however it did.
  std::optional<ProcessResult> process;

  bool has_ended() const { return state != AsyncTaskState::kQueued && state != AsyncTaskState::kRunning; }
};

class TaskContext {
 public:
  TaskContext(AsyncTaskId id, Pid pid, std::stop_token stop, std::function<void(double, std::string)> on_progress)
      : id_(id), pid_(pid), stop_(std::move(stop)), on_progress_(std::move(on_progress)) {}

  AsyncTaskId id() const { return id_; }
  Pid pid() const { return pid_; }
  // Whether the task was asked to stop. One that does not look goes on; nothing else can stop a thread.
  bool IsCancelled() const { return stop_.stop_requested(); }
  // The same for waits that take one.
  const std::stop_token& stop_token() const { return stop_; }
  // `fraction` is from 0 to 1; beyond that it is cut.
  void SetProgress(double fraction, std::string message) { on_progress_(fraction, std::move(message)); }

 private:
  const AsyncTaskId id_;
  const Pid pid_;
  const std::stop_token stop_;
  const std::function<void(double, std::string)> on_progress_;
};

// What a task does: what it gives is its output. CancelledError says that it stopped because it was asked to.
using TaskFunction = absl::AnyInvocable<absl::StatusOr<std::string>(TaskContext&)>;

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_ASYNC_TASK_H_
