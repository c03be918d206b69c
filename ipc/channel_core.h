// What a channel is made of; shared with the watch on its peer. See channel.h.
//
// Thread rule: as channel.h; PeerDied comes from the watching thread.

#ifndef AGENTOS_IPC_CHANNEL_CORE_H_
#define AGENTOS_IPC_CHANNEL_CORE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agentos/ipc/buffer_pool.h"
#include "agentos/ipc/channel_options.h"
#include "agentos/ipc/fork_guard.h"
#include "agentos/ipc/handshake.h"
#include "agentos/ipc/message_queue.h"
#include "agentos/ipc/peer_buffers.h"
#include "agentos/ipc/peer_watch.h"
#include "agentos/ipc/received_view.h"
#include "agentos/ipc/shared_memory.h"
#include "agentos/ring/unique_fd.h"

namespace agentos::ipc {

// What a slot of a channel's queue holds beside the queue's own word.
struct MessageSlot {
  // A BufferDescriptor is at the beginning of it when that is what is sent.
  char bytes[ReceivedView::kInlineBytes];
  uint64_t tag;
};
inline constexpr uint32_t kSlotSize = 128;
static_assert(sizeof(MessageSlot) == kSlotSize - sizeof(uint64_t));
// A slot's meta word: the size of a message inside it, or this.
inline constexpr uint32_t kInBuffer = 0x100;

class ChannelCore : public Mourner {
 public:
  struct Parts {
    UniqueFd socket;
    PeerHello peer;
    std::shared_ptr<BufferPool> pool;
    std::unique_ptr<SharedMemory> out_memory;
    std::unique_ptr<SharedMemory> in_memory;
    std::shared_ptr<PeerBuffers> peer_buffers;
    QueueShape out_shape;
    uint32_t max_held_by_peer = 0;
    int64_t spin_nanos = 0;
  };

  explicit ChannelCore(Parts parts)
      : parts_(std::move(parts)),
        out_(parts_.out_memory->data(), parts_.out_shape),
        in_(parts_.in_memory->data(), parts_.peer.queue) {}

  absl::StatusOr<LoanedBuffer> Loan(size_t size, absl::Duration timeout);
  absl::Status Send(absl::string_view bytes, uint64_t tag, absl::Duration timeout);
  absl::Status Send(LoanedBuffer&& buffer, uint64_t tag, absl::Duration timeout);
  absl::Status AwaitRoom(absl::Duration timeout);
  absl::StatusOr<bool> TryReceive(ReceivedView& view);
  absl::StatusOr<ReceivedView> Receive(absl::Duration timeout);
  absl::StatusOr<bool> ArmFd();
  void Close();
  void PeerDied() override;

  absl::Status status() const;
  ChannelStats Stats() const;
  bool InForkedChild() const { return guard_.InForkedChild(); }
  const Parts& parts() const { return parts_; }

 private:
  enum class End { kOpen, kPeerClosed, kPeerDied, kPeerLied, kClosedHere };

  // The first end counts. Wakes whoever waits here.
  absl::Status EndWith(End end, absl::Status why);
  absl::Status PeerLied(absl::string_view how);
  absl::Status PeerClosed();
  // What closed the pool ends the channel.
  absl::Status PoolClosed();

  absl::Status CheckOpen();
  absl::Status CheckQuota(absl::Duration timeout);
  // A slot to fill, or why there is none.
  absl::StatusOr<MessageSlot*> Reserve(absl::Duration timeout);
  void Publish(uint32_t meta);
  // The next message if there is one.
  bool Pop(ReceivedView& view, absl::Status& problem);
  bool SpinForNews();

  const ForkGuard guard_;
  Parts parts_;
  QueueProducer out_;
  QueueConsumer in_;

  std::atomic<End> end_{End::kOpen};
  mutable std::mutex mutex_;
  absl::Status why_;

  // Each of the two sides has its own line.
  alignas(64) std::atomic<uint64_t> sent_{0};
  std::atomic<uint64_t> bytes_sent_{0};
  alignas(64) std::atomic<uint64_t> received_{0};
  std::atomic<uint64_t> bytes_received_{0};
};

}  // namespace agentos::ipc

#endif  // AGENTOS_IPC_CHANNEL_CORE_H_
