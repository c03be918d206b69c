#include "agentos/handlers/process_supervisor.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentos/handlers/file_stream.h"
#include "agentos/handlers/program_launcher.h"
#include "agentos/handlers/when_all.h"
#include "agentos/handlers/when_any.h"

namespace agentos::handlers_internal {

namespace {

// How long its outputs may stay open after a program has ended: somebody it left behind may hold them.
constexpr absl::Duration kReadersGrace = absl::Seconds(1);

// Reads until the end, and keeps the first `most` bytes. Whether there was more.
Task<bool> ReadOutput(AsyncRing& ring, int fd, size_t most, std::string& kept) {
  ReadStream stream(ring, fd, {.chunk_size = 64 << 10});
  bool more = false;
  for (;;) {
    const absl::StatusOr<Bytes> chunk = co_await stream.Next();
    if (!chunk.ok() || chunk->empty()) break;
    const size_t room = most - std::min(most, kept.size());
    kept.append(chunk->data(), std::min(room, chunk->size()));
    more |= chunk->size() > room;
  }
  co_return more;
}

absl::Duration ToDuration(const timeval& time) { return absl::DurationFromTimeval(time); }

}  // namespace

struct ProcessSupervisor::Running {
  enum class Stage { kRuns, kTold, kKilled };

  std::string name;
  LaunchedProgram program;
  size_t max_output = 0;
  absl::Duration timeout;
  absl::Time deadline;
  // Of the task, or of the supervisor.
  std::stop_source stop;
  // Ends who feeds its input.
  std::stop_source feeding;
  Stage stage = Stage::kRuns;
  absl::Time kill_at;
  bool collected = false;
  // Why it was ended, when it did not end by itself.
  absl::Status why;
  ProcessResult result;
};

absl::Status ProcessSupervisor::EnsureThread() {
  if (thread_.joinable()) return absl::OkStatus();
  if (rings_ == nullptr) {
    absl::StatusOr<std::unique_ptr<IoUringManager>> rings = IoUringManager::Create({.kernel_rings = 1});
    if (!rings.ok()) return rings.status();
    rings_ = *std::move(rings);
  }
  absl::StatusOr<std::unique_ptr<AsyncRing>> ring = AsyncRing::Create(*rings_, ring_pid_);
  if (!ring.ok()) return ring.status();
  ring_ = *std::move(ring);
  // Signals are for the program's own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { Loop(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), "agentos-procs");
  return absl::OkStatus();
}

absl::Status ProcessSupervisor::Run(ProcessRequest request, std::stop_token stop, OnEnd on_end) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (stop_.stop_requested()) return absl::FailedPreconditionError("the supervisor of programs has stopped");
  if (absl::Status running = EnsureThread(); !running.ok()) return running;
  ring_->Post([this, request = std::move(request), stop = std::move(stop), on_end = std::move(on_end)]() mutable {
    ring_->Spawn(Supervise(std::move(request), std::move(stop), std::move(on_end)));
  });
  return absl::OkStatus();
}

void ProcessSupervisor::Loop() {
  for (;;) {
    if (stop_.stop_requested()) {
      // Programs that were handed over before that, and not begun.
      ring_->RunReady();
      if (ring_->spawned() == 0) break;
    }
    ring_->RunOnce();
  }
}

void ProcessSupervisor::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_.request_stop();
    if (!thread_.joinable()) return;
    // It may have nothing to wait for but this.
    ring_->Post([] {});
  }
  thread_.join();
  ring_.reset();
}

Task<void> ProcessSupervisor::Supervise(ProcessRequest request, std::stop_token stop, OnEnd on_end) {
  absl::StatusOr<LaunchedProgram> program = LaunchProgram(request);
  if (!program.ok()) {
    on_end({program.status(), std::nullopt});
    co_return;
  }
  Running running;
  running.name = request.argv.front();
  running.program = *std::move(program);
  running.max_output = request.max_output;
  running.timeout = request.timeout;
  running.deadline = absl::Now() + request.timeout;
  const std::stop_callback by_task(stop, [&running] { running.stop.request_stop(); });
  const std::stop_callback by_supervisor(stop_.get_token(), [&running] { running.stop.request_stop(); });

  ring_->Spawn(Feed(std::move(running.program.input), std::move(request.input), running.feeding.get_token()));
  // Whichever comes last: its outputs are closed, and it has ended.
  co_await WhenAny(Collect(running), AwaitExitAndReaders(running));
  co_await AwaitExit(running);
  running.feeding.request_stop();

  const pid_t process = running.program.process;
  // Whom it has left behind in its group; its number is not anybody else's before it is reaped.
  kill(-process, SIGKILL);
  int status = 0;
  rusage usage{};
  wait4(process, &status, 0, &usage);
  ProcessResult& result = running.result;
  result.output_truncated |= !running.collected;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  result.user_time = ToDuration(usage.ru_utime);
  result.system_time = ToDuration(usage.ru_stime);
  result.max_memory = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
  absl::Status outcome = running.why;
  if (outcome.ok() && result.signal != 0) {
    outcome = absl::AbortedError(absl::StrCat(running.name, " was ended by SIG", sigabbrev_np(result.signal)));
  } else if (outcome.ok() && result.exit_code != 0) {
    outcome = absl::UnknownError(absl::StrCat(running.name, " exited with ", result.exit_code));
  }
  on_end({std::move(outcome), std::move(result)});
}

Task<void> ProcessSupervisor::Collect(Running& running) {
  const size_t most = running.max_output;
  const auto [more_output, more_error] =
      co_await WhenAll(ReadOutput(*ring_, running.program.output.get(), most, running.result.standard_output),
                       ReadOutput(*ring_, running.program.error.get(), most, running.result.standard_error));
  running.result.output_truncated = more_output || more_error;
  running.collected = true;
}

Task<void> ProcessSupervisor::Feed(UniqueFd input, std::string data, std::stop_token stop) {
  WriteStream stream(*ring_, input.get(), {.stop = std::move(stop)});
  // A program need not read what it is given.
  static_cast<void>(co_await stream.Write(std::move(data)));
  static_cast<void>(co_await stream.Finish());
}

Task<void> ProcessSupervisor::AwaitExitAndReaders(Running& running) {
  co_await AwaitExit(running);
  kill(-running.program.process, SIGKILL);
  co_await ring_->Sleep(kReadersGrace);
}

Task<void> ProcessSupervisor::AwaitExit(Running& running) {
  using Stage = Running::Stage;
  const pid_t group = -running.program.process;
  for (;;) {
    const absl::Time until = running.stage == Stage::kRuns   ? running.deadline
                             : running.stage == Stage::kTold ? running.kill_at
                                                             : absl::InfiniteFuture();
    const absl::Duration left = std::max(until - absl::Now(), absl::Nanoseconds(1));
    const std::stop_token stop = running.stage == Stage::kRuns ? running.stop.get_token() : std::stop_token();
    const SyscallCompletionEntry ended = co_await ring_->Poll(running.program.pidfd.get(), POLLIN).WithTimeout(left).StopOn(stop);
    if (ended.status.is_success()) co_return;
    switch (running.stage) {
      case Stage::kRuns:
        running.why = running.stop.stop_requested()
                          ? absl::CancelledError(absl::StrCat(running.name, " was stopped"))
                          : absl::DeadlineExceededError(
                                absl::StrCat(running.name, " ran longer than ", absl::FormatDuration(running.timeout)));
        running.stage = Stage::kTold;
        running.kill_at = absl::Now() + grace_;
        kill(group, SIGTERM);
        break;
      case Stage::kTold:
        running.stage = Stage::kKilled;
        kill(group, SIGKILL);
        break;
      case Stage::kKilled:
        // The ring is gone; the kernel ends the program all the same.
        co_return;
    }
  }
}

}  // namespace agentos::handlers_internal
