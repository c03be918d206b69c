// The receiver's side of another process's BufferPool: takes buffers as they arrive, and gives them back.
//
// Thread rule: any thread.
// Lifetime: views keep it alive, and with it the mapping.
// Errors: Create answers what SharedMemory::Adopt does. Take answers DataLoss for a descriptor that is not of a buffer that was
// sent. After a lie lied() is true; what was taken before stays readable.
//
//   auto buffers = PeerBuffers::Create(std::move(memory), /*me=*/getpid());
//   ReceivedView view;
//   if (absl::Status status = (*buffers)->Take(descriptor, tag, view); !status.ok()) ...

#ifndef AGENTOS_IPC_PEER_BUFFERS_H_
#define AGENTOS_IPC_PEER_BUFFERS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/ipc/buffer_pool.h"
#include "agentos/ipc/buffer_word.h"
#include "agentos/ipc/fork_guard.h"
#include "agentos/ipc/message_queue.h"
#include "agentos/ipc/pool_layout.h"
#include "agentos/ipc/received_view.h"
#include "agentos/ipc/shared_memory.h"

namespace agentos {

class PeerBuffers : public std::enable_shared_from_this<PeerBuffers> {
 public:
  // Takes both descriptors over. `sender` and `me` are what the words call the two sides.
  static absl::StatusOr<std::shared_ptr<PeerBuffers>> Create(PoolLayout layout, int data_fd, int ledger_fd, uint32_t sender,
                                                             uint32_t me);
  PeerBuffers(const PeerBuffers&) = delete;
  PeerBuffers& operator=(const PeerBuffers&) = delete;

  absl::Status Take(const BufferDescriptor& descriptor, uint64_t tag, ReceivedView& view);
  // Tells the sender that no more is taken; what was taken can still be given back.
  void Close();
  bool lied() const { return lied_.load(std::memory_order_relaxed); }
  // Who has the buffers, as the words say.
  BufferCensus Census() const { return Count(words_, layout_.buffers()); }

 private:
  friend class ReceivedView;

  PeerBuffers(PoolLayout layout, std::unique_ptr<SharedMemory> data, std::unique_ptr<SharedMemory> ledger, uint32_t sender,
              uint32_t me);

  void GiveBack(const BufferDescriptor& descriptor);

  const ForkGuard guard_;
  const PoolLayout layout_;
  const std::unique_ptr<SharedMemory> data_;
  const std::unique_ptr<SharedMemory> ledger_;
  SharedWord* const words_;
  const uint32_t sender_;
  const uint32_t me_;
  std::atomic<bool> lied_{false};

  std::mutex mutex_;
  QueueProducer returns_;
};

}  // namespace agentos

#endif  // AGENTOS_IPC_PEER_BUFFERS_H_
