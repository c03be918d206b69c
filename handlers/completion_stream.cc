#include "agentos/handlers/completion_stream.h"

#include <unistd.h>

#include <utility>
#include <variant>

#include "agentos/handlers/coroutine_resumer.h"

namespace agentos {

namespace {

int FlagsOf(const Operation& operation) {
  const auto* recv = std::get_if<operation::RecvMany>(&operation);
  return recv == nullptr ? 0 : recv->flags;
}

}  // namespace

CompletionStream::CompletionStream(AsyncRing& ring, SyscallSubmissionEntry entry)
    : to_(&ring),
      accepts_(entry.kind() == OperationKind::kAcceptMany),
      fd_(FdOf(entry.operation())),
      flags_(FlagsOf(entry.operation())),
      user_data_(entry.user_data()) {}

CompletionStream::~CompletionStream() {
  for (const SyscallCompletionEntry& done : waiting_) {
    if (accepts_ && done.status.is_success()) close(static_cast<int>(done.result.value()));
  }
}

SyscallSubmissionEntry CompletionStream::MakeEntry() const {
  return accepts_ ? SyscallSubmissionEntry::AcceptMany(to_->pid(), fd_, user_data_)
                  : SyscallSubmissionEntry::RecvMany(to_->pid(), fd_, flags_, user_data_);
}

void CompletionStream::Await(std::coroutine_handle<> awaiter) {
  awaiter_ = awaiter;
  if (under_way()) return;
  paused_ = false;
  to_->Begin(*this, MakeEntry());
}

void CompletionStream::Cancel() {
  RequestCancel();
  paused_ = false;
  ended_ = !under_way();
}

std::optional<SyscallCompletionEntry> CompletionStream::Take() {
  if (waiting_.empty()) return std::nullopt;
  std::optional<SyscallCompletionEntry> done = std::move(waiting_.front());
  waiting_.pop_front();
  return done;
}

void CompletionStream::OnCompletion(SyscallCompletionEntry& done) {
  const bool last = !done.more;
  const bool cancelled = done.status.is_cancelled();
  if (!cancelled) waiting_.push_back(std::move(done));
  if (!last && waiting_.size() == kMostWaiting) {
    paused_ = true;
    RequestCancel();
  }
  // One that was stopped because its consumer is slow begins again; it may have come to its own end meanwhile.
  if (last) ended_ = !(paused_ && cancelled);
  if (awaiter_ != nullptr && (!waiting_.empty() || ended_)) ResumeCoroutine(std::exchange(awaiter_, nullptr));
}

}  // namespace agentos
