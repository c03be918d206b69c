#include "agentos/handlers/async_operation.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/call_and_log.h"

namespace agentos {

void AsyncOperation::StartFor(PendingOperation& listener, std::optional<handlers_internal::StopCallback>& stop) && {
  const std::optional<uint64_t> token = to_->Begin(listener, std::move(entry_));
  if (token.has_value() && stop_token_.stop_possible()) {
    stop.emplace(std::move(stop_token_), handlers_internal::Stopper(to_->mailbox_, *token));
  }
}

namespace {

// Owns itself from its beginning to its end.
class CallbackOperation final : public PendingOperation {
 public:
  using PendingOperation::under_way;

  explicit CallbackOperation(absl::AnyInvocable<void(SyscallCompletionEntry)> callback) : callback_(std::move(callback)) {}

  std::optional<handlers_internal::StopCallback>& stop() { return stop_; }

 private:
  void OnCompletion(SyscallCompletionEntry& done) override {
    const std::unique_ptr<CallbackOperation> self(this);
    stop_.reset();
    handlers_internal::CallAndLog("a callback of an operation", [&] { callback_(std::move(done)); });
  }
  void OnRingGone() override { delete this; }

  absl::AnyInvocable<void(SyscallCompletionEntry)> callback_;
  std::optional<handlers_internal::StopCallback> stop_;
};

}  // namespace

void AsyncOperation::Then(absl::AnyInvocable<void(SyscallCompletionEntry)> callback) && {
  auto operation = std::make_unique<CallbackOperation>(std::move(callback));
  std::move(*this).StartFor(*operation, operation->stop());
  if (operation->under_way()) static_cast<void>(operation.release());
}

class OperationHandle::State final : public PendingOperation {
 public:
  explicit State(OperationKind kind) : kind_(kind) {}
  ~State() override {
    if (done.has_value() && done->status.is_success() && MakesFd(kind_)) close(static_cast<int>(done->result.value()));
  }

  using PendingOperation::RequestCancel;
  using PendingOperation::ring;

  std::optional<SyscallCompletionEntry> done;
  std::coroutine_handle<> awaiter;
  std::optional<handlers_internal::StopCallback> stop;

 private:
  void OnCompletion(SyscallCompletionEntry& completion) override {
    stop.reset();
    done = std::move(completion);
    if (awaiter != nullptr) ResumeCoroutine(std::exchange(awaiter, nullptr));
  }

  const OperationKind kind_;
};

OperationHandle AsyncOperation::Start() && {
  auto state = std::make_unique<OperationHandle::State>(entry_.kind());
  std::move(*this).StartFor(*state, state->stop);
  return OperationHandle(std::move(state));
}

OperationHandle::OperationHandle(std::unique_ptr<State> state) : state_(std::move(state)) {}
OperationHandle::OperationHandle(OperationHandle&&) noexcept = default;
OperationHandle& OperationHandle::operator=(OperationHandle&&) noexcept = default;
OperationHandle::~OperationHandle() = default;

bool OperationHandle::ready() const { return state_ != nullptr && state_->done.has_value(); }

absl::StatusOr<SyscallCompletionEntry> OperationHandle::Wait(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (!ready()) {
    AsyncRing* const ring = state_ == nullptr ? nullptr : state_->ring();
    if (ring == nullptr) return absl::FailedPreconditionError("the completion was taken already, or its ring is gone");
    const absl::Duration left = timeout == absl::InfiniteDuration() ? timeout : deadline - absl::Now();
    if (ring->RunOnce(std::max(left, absl::ZeroDuration())) == 0 && left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError("the operation is still under way");
    }
  }
  return Take();
}

SyscallCompletionEntry OperationHandle::Take() {
  SyscallCompletionEntry done = *std::exchange(state_->done, std::nullopt);
  state_.reset();
  return done;
}

void OperationHandle::SetAwaiter(std::coroutine_handle<> awaiter) {
  if (state_ != nullptr) state_->awaiter = awaiter;
}

void OperationHandle::Cancel() {
  if (state_ != nullptr) state_->RequestCancel();
}

}  // namespace agentos
