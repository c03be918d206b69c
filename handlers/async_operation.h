// An operation of an AsyncRing, and the three ways to hear of its end: await it, give it a callback, or hold a handle.
//
// One mechanism is under all three: a PendingOperation that the ring tells when the completion has come. Its memory may go before
// that: the ring then asks the operation to stop and throws its completion away (an fd in it is closed), and the bytes that the
// kernel may touch are the ring's own (P10).
//
// Thread rule: as AsyncRing; StopOn's token may be triggered on any thread.
// Lifetime: an AsyncOperation that nobody awaited, gave a callback or started was never submitted. A handle or a suspended
// coroutine may outlive the ring; it just never hears of anything again.
// Errors: all of them come in the completion. What the ring refuses (an operand that is wrong) is an error completion with seq 0:
// EINVAL, and the refusal's words as its context.
//
//   SyscallCompletionEntry done = co_await ring.Read(fd, 4096, 0).WithTimeout(absl::Seconds(1));
//   ring.Read(fd, 4096, 0).Then([](SyscallCompletionEntry done) { Use(done.result.data()); });
//   OperationHandle read = ring.Read(fd, 4096, 0).Start();
//   absl::StatusOr<SyscallCompletionEntry> done = read.Wait(absl::Seconds(1));   // or: co_await read

#ifndef AGENTOS_HANDLERS_ASYNC_OPERATION_H_
#define AGENTOS_HANDLERS_ASYNC_OPERATION_H_

#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentos/handlers/coroutine_resumer.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/submission_entry.h"

namespace agentos {

class AsyncRing;

// Whoever hears of an operation's completions. Base of what is awaited, called or held.
class PendingOperation {
 public:
  PendingOperation(const PendingOperation&) = delete;
  PendingOperation& operator=(const PendingOperation&) = delete;

 protected:
  PendingOperation() noexcept = default;
  // Asks the operation to stop if it is under way.
  virtual ~PendingOperation() {
    if (ring_ != nullptr) Abandon();
  }

  bool under_way() const { return ring_ != nullptr; }
  // Null when it is not under way.
  AsyncRing* ring() const { return ring_; }
  // Asks it to stop, if it is under way: it ends as cancelled, or with its real result.
  void RequestCancel();

 private:
  friend class AsyncRing;
  // Called by the loop, with nothing held. `done` may be moved from. It may destroy the operation.
  virtual void OnCompletion(SyscallCompletionEntry& done) = 0;
  // The ring is destroyed; nobody will be told any more.
  virtual void OnRingGone() {}
  void Abandon() noexcept;

  AsyncRing* ring_ = nullptr;
  uint32_t place_ = 0;
};

namespace handlers_internal {

class RingMailbox;

// Told by a stop token, on whatever thread.
class Stopper {
 public:
  Stopper(std::shared_ptr<RingMailbox> mailbox, uint64_t token) : mailbox_(std::move(mailbox)), token_(token) {}
  void operator()() noexcept;

 private:
  std::shared_ptr<RingMailbox> mailbox_;
  uint64_t token_;
};

using StopCallback = std::stop_callback<Stopper>;

}  // namespace handlers_internal

// An operation that was started: a future of its completion. Not for multishot operations (completion_stream.h).
class OperationHandle {
 public:
  OperationHandle(OperationHandle&&) noexcept;
  OperationHandle& operator=(OperationHandle&&) noexcept;
  // Asks it to stop if it is under way, and closes the descriptor that nobody took.
  ~OperationHandle();

  // Whether its completion has come and was not taken. Somebody has to drive the ring for that to change.
  bool ready() const;
  // Drives the ring until it has come. DeadlineExceeded: it goes on. FailedPrecondition when it was taken, or the ring is gone.
  absl::StatusOr<SyscallCompletionEntry> Wait(absl::Duration timeout = absl::InfiniteDuration());
  // Precondition: ready.
  SyscallCompletionEntry Take();
  void Cancel();

  // Awaiting it gives the completion; once, and by one coroutine at a time. Precondition: it was not taken.
  auto operator co_await() {
    struct Awaiter {
      OperationHandle& handle;
      ~Awaiter() { handle.SetAwaiter(nullptr); }
      bool await_ready() const { return handle.ready(); }
      void await_suspend(std::coroutine_handle<> awaiter) const { handle.SetAwaiter(awaiter); }
      SyscallCompletionEntry await_resume() const { return handle.Take(); }
    };
    return Awaiter{*this};
  }

 private:
  friend class AsyncOperation;
  class State;
  void SetAwaiter(std::coroutine_handle<> awaiter);
  explicit OperationHandle(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

// An operation with its operands, not begun yet.
class [[nodiscard]] AsyncOperation final : private PendingOperation {
 public:
  AsyncOperation(AsyncRing& ring, SyscallSubmissionEntry entry) noexcept : to_(&ring), entry_(std::move(entry)) {}
  // Only before it has begun.
  AsyncOperation(AsyncOperation&& other) noexcept
      : to_(other.to_), entry_(std::move(other.entry_)), stop_token_(std::move(other.stop_token_)) {}

  // The modifiers of SyscallSubmissionEntry.
  AsyncOperation&& WithTimeout(absl::Duration timeout) && {
    entry_ = std::move(entry_).WithTimeout(timeout);
    return std::move(*this);
  }
  AsyncOperation&& WithPriority(Priority priority) && {
    entry_ = std::move(entry_).WithPriority(priority);
    return std::move(*this);
  }
  // The next operation that begins on the ring, before it is driven, is the next of the chain: see WhenAll.
  AsyncOperation&& WithLink() && {
    entry_ = std::move(entry_).WithLink();
    return std::move(*this);
  }
  AsyncOperation&& WithHardLink() && {
    entry_ = std::move(entry_).WithHardLink();
    return std::move(*this);
  }
  // Ends as cancelled when the token is triggered, on any thread. One that is triggered already lets nothing begin.
  AsyncOperation&& StopOn(std::stop_token token) && {
    stop_token_ = std::move(token);
    return std::move(*this);
  }

  // The callback is called by whoever drives the ring, once, with nothing held. It is destroyed uncalled when the ring is. An
  // exception that leaves it is logged.
  void Then(absl::AnyInvocable<void(SyscallCompletionEntry)> callback) &&;

  OperationHandle Start() &&;

  // For others that hear of it (when_all.h): begins with `listener` in the place of this, and hands over the token to be watched
  // meanwhile, if there is one.
  void StartFor(PendingOperation& listener, std::optional<handlers_internal::StopCallback>& stop) &&;

  // co_await gives the SyscallCompletionEntry.
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> awaiter) {
    awaiter_ = awaiter;
    std::move(*this).StartFor(*this, stop_);
  }
  SyscallCompletionEntry await_resume() noexcept { return std::move(*done_); }

 private:
  void OnCompletion(SyscallCompletionEntry& done) override {
    stop_.reset();
    done_ = &done;
    ResumeCoroutine(awaiter_);
  }

  AsyncRing* to_;
  SyscallSubmissionEntry entry_;
  std::stop_token stop_token_;
  std::optional<handlers_internal::StopCallback> stop_;
  std::coroutine_handle<> awaiter_;
  SyscallCompletionEntry* done_ = nullptr;
};

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_ASYNC_OPERATION_H_
