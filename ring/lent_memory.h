// Memory of somebody else's that entries fill, send and write as if it were a pool's: a loan of shared memory, a received view.
//
// Lend gives a PooledBuffer over it, which ReadInto and RecvInto fill and which a Bytes takes. The memory lives until the last of
// them is gone, wherever the kernel still uses one.
//
// One batch can fill memory and send it on: LendToFill gives a second buffer over the same memory, for a ReadInto or RecvInto that
// is linked to the entry which sends it. The reader's completion then has its value() and no data, and the IpcSend sends as many
// bytes as were filled in. An IpcSend that is started before the filling has ended fails with EBUSY.
//
// Thread rule: the memory is filled by one entry at a time; buffers over it are values of one thread each.
//
//   struct Frame final : LentMemory { ... };
//   auto frame = std::make_shared<Frame>(...);
//   batch.push_back(Entry::ReadInto(pid, fd, LendToFill(frame), size, 0, 1).WithLink());
//   batch.push_back(Entry::IpcSend(pid, target, Bytes(Lend(frame), size), 2));

#ifndef AGENTOS_RING_LENT_MEMORY_H_
#define AGENTOS_RING_LENT_MEMORY_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>

#include "agentos/ring/bytes.h"
#include "agentos/ring/result_buffer_pool.h"

namespace agentos {

class LentMemory;

namespace ring_internal {

struct LentBlock : BufferBlock {
  static PooledBuffer Make(std::shared_ptr<LentMemory> memory, bool to_fill);
  // Null for a buffer that is not over lent memory.
  static LentBlock* Of(const PooledBuffer& buffer);
  static void GiveBack(BufferBlock* block) noexcept;

  std::shared_ptr<LentMemory> memory;
  bool to_fill = false;
};

}  // namespace ring_internal

class LentMemory {
 public:
  LentMemory() = default;
  LentMemory(const LentMemory&) = delete;
  LentMemory& operator=(const LentMemory&) = delete;
  virtual ~LentMemory() = default;

  // Neither changes while buffers over it exist.
  virtual char* data() = 0;
  virtual size_t capacity() const = 0;

  // How many bytes an entry has filled in.
  std::optional<size_t> filled() const { return filled_; }
  bool is_being_filled() const { return fillers_.load(std::memory_order_acquire) != 0; }

  // For whoever executes entries.
  void SetFilled(size_t bytes) { filled_ = bytes; }

 private:
  friend struct ring_internal::LentBlock;

  std::atomic<int> fillers_{0};
  std::optional<size_t> filled_;
};

PooledBuffer Lend(std::shared_ptr<LentMemory> memory);
PooledBuffer LendToFill(std::shared_ptr<LentMemory> memory);

// The memory that a buffer is over, null when it is a pool's.
std::shared_ptr<LentMemory> LentBy(const PooledBuffer& buffer);

// For whoever executes entries: what became of a buffer that an entry has filled. Of LendToFill's nothing is left in the result.
Bytes FilledBytes(PooledBuffer buffer, size_t size);
// Bytes that are about to be sent, and as many as were filled in; false while they are being filled.
bool IsReadyToSend(Bytes& bytes);

}  // namespace agentos

#endif  // AGENTOS_RING_LENT_MEMORY_H_
