// Joins a manager to another one in another operating-system process, so that IpcSend and IpcRecv work between them.
//
// The processes of the other manager are named when the bridge is made; from then on an IpcSend to one of them goes through the
// channel, and what they send lies in mailboxes here, from "pid:N" as always. Bytes are copied once, into the channel's memory; a
// loan of this channel (AsBytes, ToFillAndSend of lent_buffers.h) is not copied at all, and what arrives is read where the sender
// has written it: the result of the IpcRecv is the view. Timeouts, cancelling, links, statistics and traces are those of any entry, and
// one wait serves files, sockets and peers.
//
// An IpcSend completes when its message is on its way in the channel; a full channel makes it wait. When the peer closes or dies, the
// entries that wait fail with EPIPE, later ones with ESRCH, and what had arrived can still be received. A message for a process that has
// no ring, or whose mailbox is too small for it, is thrown away there and counted. One full mailbox holds up what comes behind it
// in the channel: processes that must not wait for each other take a channel each.
//
// The two sides trust each other as far as the channel goes (channel.h), and no peer speaks for a process that is not its own.
//
// Thread rule: any thread. A bridge has two threads: one sleeps until something arrives, the other one until a full channel has room.
// Lifetime: destroyed before the manager. Results that hold views outlive it.
// Errors: Create answers InvalidArgument without processes, AlreadyExists when one of them has a ring here or another bridge,
// FailedPrecondition for a manager with Threading::kOneThread.
//
//   absl::StatusOr<std::unique_ptr<ipc::Channel>> channel = ipc::Connect("unix:@agents");
//   auto bridge = ipc::Bridge::Create(*manager, *std::move(channel), {.remote = {7}});
//   manager->Submit(3, SyscallSubmissionEntry::IpcSend(3, /*target_pid=*/7, "hello", 0));

#ifndef AGENTOS_IPC_BRIDGE_H_
#define AGENTOS_IPC_BRIDGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentos/ipc/channel.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/types.h"

namespace agentos::ipc {

struct BridgeOptions {
  // The processes of the other manager.
  std::vector<Pid> remote;
  // The processes of this one that they may send to; empty: all that have a ring.
  std::vector<Pid> reachable;
};

// What was sent is counted a moment after it is on its way.
struct BridgeStats {
  uint64_t sent = 0;
  uint64_t received = 0;
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  // Sent messages whose bytes were copied because they were no loan of the channel.
  uint64_t copied = 0;
  // Received messages that nobody here could have.
  uint64_t undeliverable = 0;
};

class Bridge {
 public:
  static absl::StatusOr<std::unique_ptr<Bridge>> Create(IoUringManager& manager, std::unique_ptr<Channel> channel,
                                                        BridgeOptions options);
  // Closes the channel. In a forked child it does nothing.
  ~Bridge();
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;

  // A buffer to be sent to one of the remote processes without a copy. As Channel::Loan.
  absl::StatusOr<LoanedBuffer> Loan(size_t size, absl::Duration timeout = absl::ZeroDuration());
  // OK while the two are joined, then what parted them.
  absl::Status status() const;
  // Waits until they are parted: false when they are not within `timeout`.
  bool AwaitEnd(absl::Duration timeout) const;
  const PeerIdentity& peer() const;
  BridgeStats Stats() const;

 private:
  class Impl;
  explicit Bridge(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace agentos::ipc

#endif  // AGENTOS_IPC_BRIDGE_H_
