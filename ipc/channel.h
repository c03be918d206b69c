// A channel between two operating-system processes: messages both ways through shared memory, without a copy for large ones.
//
// Send(bytes) copies once; Send(LoanedBuffer) moves the buffer and copies nothing. Receive gives a view, which gives the buffer
// back when it is destroyed. While both sides are awake a message costs no system call and no allocation: a receiver spins a
// little before it sleeps, and the sender makes a system call only when the receiver sleeps.
//
// Nothing the peer does goes beyond its channel. When it dies (told by the kernel, at once) its loans are taken back, what it had
// sent can still be received, and then every call answers Unavailable. When it lies, that is, writes what it never writes when it
// is sound, the channel is closed with DataLoss and the reason. A peer that keeps buffers keeps at most max_held_by_peer.
//
// Thread rule: one thread at a time sends, one at a time receives; the two are independent. Loan, Close, Stats and the
// destruction of views and loans: any thread. In a forked child every call answers FailedPrecondition and the destructor does
// nothing to the parent.
// Lifetime: no call may be under way when the channel is destroyed, which closes it. Views and loans may outlive it.
// Units: bytes, absl::Duration; a timeout of zero never sleeps.
// Errors: ResourceExhausted (no room, no buffer, or the quota, without a timeout), DeadlineExceeded, InvalidArgument (too large,
// a loan of another channel), FailedPrecondition (closed, here or by the peer), Unavailable (the peer died), DataLoss (it lied).
// A LoanedBuffer that could not be sent is still the caller's.
// Source: memfd_create(2), futex(2), unix(7), pidfd_open(2).
//
//   absl::StatusOr<LoanedBuffer> frame = channel->Loan(1 << 20);
//   Fill(frame->data(), frame->size());
//   absl::Status sent = channel->Send(*std::move(frame));
//   absl::StatusOr<ReceivedView> answer = channel->Receive(absl::Seconds(1));

#ifndef AGENTOS_IPC_CHANNEL_H_
#define AGENTOS_IPC_CHANNEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agentos/ipc/buffer_pool.h"
#include "agentos/ipc/channel_options.h"
#include "agentos/ipc/handshake.h"
#include "agentos/ipc/received_view.h"

namespace agentos::ipc {

class ChannelCore;

class Channel {
 public:
  // Over a connected SOCK_SEQPACKET Unix socket, which it takes over. Both ends call it: it returns when they have agreed.
  // Errors: handshake.h's, and FailedPrecondition for memory that is not sealed.
  static absl::StatusOr<std::unique_ptr<Channel>> OverSocket(int socket, const ChannelOptions& options = {});
  // As Close.
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // As BufferPool::Loan.
  absl::StatusOr<LoanedBuffer> Loan(size_t size, absl::Duration timeout = absl::ZeroDuration());

  // `tag` is for the caller's own use and travels with the message.
  absl::Status Send(absl::string_view bytes, uint64_t tag = 0, absl::Duration timeout = absl::ZeroDuration());
  absl::Status Send(LoanedBuffer&& buffer, uint64_t tag = 0, absl::Duration timeout = absl::ZeroDuration());

  // Waits until Send would find place for a message whose buffer, if it needs one, is loaned already. As Send for the thread rule and
  // the errors.
  absl::Status AwaitRoom(absl::Duration timeout = absl::InfiniteDuration());

  absl::StatusOr<ReceivedView> Receive(absl::Duration timeout = absl::InfiniteDuration());
  // False when there is nothing. The view's former content is given up.
  absl::StatusOr<bool> TryReceive(ReceivedView& view);

  // For receivers that wait in poll(2) or in an io_uring: a descriptor that becomes readable when something happens. Before every
  // wait on it ArmFd says whether to wait at all: false when TryReceive has something to tell already.
  int fd() const;
  absl::StatusOr<bool> ArmFd();

  // What was sent can still be received by the peer. Whoever waits in a call returns with FailedPrecondition.
  void Close();
  // OK while the channel is open.
  absl::Status status() const;
  const PeerIdentity& peer() const;
  // The counts are exact for the threads that send and receive.
  ChannelStats Stats() const;

 private:
  explicit Channel(std::shared_ptr<ChannelCore> core);

  const std::shared_ptr<ChannelCore> core_;
  // Of PeerWatch.
  uint64_t watch_ = 0;
};

}  // namespace agentos::ipc

#endif  // AGENTOS_IPC_CHANNEL_H_
