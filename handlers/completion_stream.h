// CompletionStream: the completions of a multishot operation (AcceptMany, RecvMany), one after the other.
//
// The operation begins with the first Next. When its consumer is slow it is stopped once kMostWaiting completions wait, and begins
// again when they are taken: connections and bytes wait in the kernel meanwhile, and memory is bounded.
//
// Thread rule: as AsyncRing.
// Lifetime: destroying it stops the operation; descriptors that nobody took are closed. It may outlive its ring.
// Errors: an error is the last completion; so is the end of a connection, a RecvMany of 0 bytes.
//
//   CompletionStream connections(ring, SyscallSubmissionEntry::AcceptMany(ring.pid(), listener, 0));
//   while (std::optional<SyscallCompletionEntry> done = co_await connections.Next()) {
//     if (done->status.is_success()) ring.Spawn(Serve(ring, UniqueFd(done->result.value())));
//   }

#ifndef AGENTOS_HANDLERS_COMPLETION_STREAM_H_
#define AGENTOS_HANDLERS_COMPLETION_STREAM_H_

#include <coroutine>
#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "agentos/handlers/async_operation.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/operation.h"
#include "agentos/ring/submission_entry.h"

namespace agentos {

class CompletionStream final : private PendingOperation {
 public:
  static constexpr size_t kMostWaiting = 64;

  // `entry` is an AcceptMany or a RecvMany of the ring's pid; its user_data comes back.
  CompletionStream(AsyncRing& ring, SyscallSubmissionEntry entry);
  ~CompletionStream();

  // Awaiting it gives the next completion; nothing after the last one, and after Cancel.
  auto Next() {
    struct Awaiter {
      CompletionStream& stream;
      bool await_ready() const { return !stream.waiting_.empty() || stream.ended_; }
      void await_suspend(std::coroutine_handle<> awaiter) const { stream.Await(awaiter); }
      std::optional<SyscallCompletionEntry> await_resume() const { return stream.Take(); }
    };
    return Awaiter{*this};
  }

  // Nothing comes any more; whoever waits goes on.
  void Cancel();

 private:
  void OnCompletion(SyscallCompletionEntry& done) override;
  void OnRingGone() override { ended_ = true; }
  void Await(std::coroutine_handle<> awaiter);
  std::optional<SyscallCompletionEntry> Take();
  SyscallSubmissionEntry MakeEntry() const;

  // Null once the stream has ended.
  AsyncRing* to_;
  const bool accepts_;
  const int fd_;
  const int flags_;
  const uint64_t user_data_;
  std::deque<SyscallCompletionEntry> waiting_;
  bool ended_ = false;
  // It was stopped until somebody takes what waits.
  bool paused_ = false;
  std::coroutine_handle<> awaiter_;
};

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_COMPLETION_STREAM_H_
