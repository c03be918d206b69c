#include "agentos/handlers/io_uring_handler.h"

#include <utility>

#include "absl/status/statusor.h"

namespace agentos {

IoUringHandler::IoUringHandler(std::shared_ptr<IoUringManager> manager, bool blocking, TakenOperations taken)
    : manager_(std::move(manager)), blocking_(blocking), taken_(taken) {}

std::optional<SyscallAnswer> IoUringHandler::Handle(Pid pid, const Syscall& syscall) {
  if (syscall.operation() == nullptr || (taken_ == TakenOperations::kIoBound && !syscall.is_io_bound())) return std::nullopt;
  absl::StatusOr<SyscallSubmissionEntry> entry = syscall.ToEntry(pid, /*user_data=*/0);
  if (!entry.ok()) return SyscallAnswer::Of(entry.status());
  const absl::StatusOr<Seq> seq = manager_->Submit(pid, *std::move(entry));
  if (!seq.ok()) return SyscallAnswer::Of(seq.status());
  return blocking_ ? Wait(pid, *seq, absl::InfiniteDuration()) : SyscallAnswer::Pending(*seq);
}

std::optional<SyscallAnswer> IoUringHandler::Poll(Pid pid, SyscallTaskId task) {
  SyscallAnswer answer = Wait(pid, task, absl::ZeroDuration());
  if (answer.is_pending()) return std::nullopt;
  return answer;
}

SyscallAnswer IoUringHandler::Wait(Pid pid, SyscallTaskId task, absl::Duration timeout) {
  absl::StatusOr<SyscallCompletionEntry> done = manager_->WaitCompletion(pid, task, timeout);
  if (done.ok()) return SyscallAnswer::Of(*std::move(done));
  if (absl::IsDeadlineExceeded(done.status())) return SyscallAnswer::Pending(task);
  return SyscallAnswer::Of(done.status());
}

}  // namespace agentos
