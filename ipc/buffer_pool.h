// Buffers in shared memory: loaned by the process that owns them, filled in place, and handed to another one without a copy.
//
// A pool is bounded by construction: size classes, each of so many buffers. A loan comes from the smallest class that fits; when
// that one is exhausted, larger ones are not raided, so that many small messages never take the large frames away.
//
// The pool has two pieces of memory. The data is writable for the owner only. The ledger is writable for the receiver as well: a
// word for each buffer, which says who has it (buffer_word.h), and a queue on which the receiver gives buffers back. The pool
// believes neither: free buffers are a list of its own, and what comes back must be what it has handed out.
//
// Thread rule: any thread; a LoanedBuffer is a value that belongs to one thread at a time.
// Lifetime: a LoanedBuffer keeps its pool's memory alive, and gives the buffer back when it is destroyed.
// Units: bytes; buffers are aligned to 4096.
// Errors: Loan answers ResourceExhausted at once, or DeadlineExceeded after waiting, when the class is exhausted; InvalidArgument
// for a size that no class holds; DataLoss when the receiver gave back what it did not have; once the pool is closed what closed
// it.
// Cost: a loan is a lock without contention and a pop, whatever its size. No allocation, no system call.
//
//   auto pool = BufferPool::Create({.classes = {{4096, 256}, {65536, 64}}});
//   absl::StatusOr<LoanedBuffer> frame = (*pool)->Loan(1000);
//   std::memcpy(frame->data(), bytes, 1000);

#ifndef AGENTOS_IPC_BUFFER_POOL_H_
#define AGENTOS_IPC_BUFFER_POOL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentos/ipc/buffer_word.h"
#include "agentos/ipc/fork_guard.h"
#include "agentos/ipc/message_queue.h"
#include "agentos/ipc/pool_layout.h"
#include "agentos/ipc/shared_memory.h"

namespace agentos {

class BufferPool;

struct BufferPoolOptions {
  std::vector<SizeClass> classes = {{size_t{4} << 10, 256}, {size_t{64} << 10, 64}, {size_t{1} << 20, 16}};
  // Written into the words of loaned buffers; 0 stands for the process id.
  uint32_t owner = 0;
};

struct SizeClassStats {
  size_t size = 0;
  uint32_t count = 0;
  // free + loaned + out == count.
  uint32_t free = 0;
  uint32_t loaned = 0;
  // Sent and not given back yet.
  uint32_t out = 0;
  uint64_t loans = 0;
  // Loans that found the class exhausted.
  uint64_t refusals = 0;
};

// What travels instead of the bytes.
struct BufferDescriptor {
  uint32_t index = 0;
  uint32_t generation = 0;
  uint64_t size = 0;

  friend bool operator==(const BufferDescriptor&, const BufferDescriptor&) = default;
};

class LoanedBuffer {
 public:
  // Empty.
  LoanedBuffer() = default;
  LoanedBuffer(LoanedBuffer&& other) noexcept { *this = std::move(other); }
  LoanedBuffer& operator=(LoanedBuffer&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  LoanedBuffer(const LoanedBuffer&) = delete;
  LoanedBuffer& operator=(const LoanedBuffer&) = delete;
  ~LoanedBuffer() { Reset(); }

  explicit operator bool() const { return pool_ != nullptr; }
  // With undefined content at first.
  char* data() const { return data_; }
  // How much of it is the message.
  size_t size() const { return descriptor_.size; }
  size_t capacity() const { return capacity_; }
  // InvalidArgument when `size` is over the capacity.
  absl::Status Resize(size_t size);
  // Gives the buffer back unsent.
  void Reset();

 private:
  friend class BufferPool;

  std::shared_ptr<BufferPool> pool_;
  char* data_ = nullptr;
  size_t capacity_ = 0;
  BufferDescriptor descriptor_;
};

class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  static absl::StatusOr<std::shared_ptr<BufferPool>> Create(BufferPoolOptions options = {});
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // A buffer of at least `size` bytes, whose size() is `size`. Waits up to `timeout` for one.
  absl::StatusOr<LoanedBuffer> Loan(size_t size, absl::Duration timeout = absl::ZeroDuration());

  std::vector<SizeClassStats> Stats();
  // OK, or what closed the pool.
  absl::Status status();
  // Buffers that were sent and have not come back.
  uint32_t out();
  const PoolLayout& layout() const { return layout_; }
  uint32_t owner() const { return owner_; }
  // What the words in shared memory say. For a look from outside; the pool itself does not go by it.
  BufferCensus Census() const { return Count(words_, layout_.buffers()); }

  // For whoever carries buffers to another process.

  bool Owns(const LoanedBuffer& buffer) const { return buffer.pool_.get() == this; }
  // The buffer, which is this pool's, is the receiver's from here on, and `buffer` empty. Nullopt, and nothing happens, when the
  // pool is closed: it would come back no more.
  std::optional<BufferDescriptor> MarkSent(LoanedBuffer&& buffer);
  // Whether fewer than `limit` buffers are out, or became so within `timeout`, or the pool is closed.
  bool AwaitOutBelow(uint32_t limit, absl::Duration timeout);
  enum class WhatIsOut {
    kComesBack,
    // Nobody is left who would give it back, or who could be believed.
    kReclaimed,
  };
  // From here on nothing is loaned, and whoever waits is told why. The first cause counts.
  void Close(absl::Status why, WhatIsOut what_is_out = WhatIsOut::kComesBack);
  int data_fd() const { return data_->fd(); }
  int ledger_fd() const { return ledger_->fd(); }

  // The ledger is the words, then the queue of what comes back.
  static QueueShape ReturnsShape(const PoolLayout& layout);
  static size_t ReturnsOffset(const PoolLayout& layout);
  static size_t LedgerBytes(const PoolLayout& layout) { return ReturnsOffset(layout) + ReturnsShape(layout).Bytes(); }

 private:
  friend class LoanedBuffer;

  BufferPool(PoolLayout layout, uint32_t owner, std::unique_ptr<SharedMemory> data, std::unique_ptr<SharedMemory> ledger);

  // With mutex_ held.
  absl::Status CollectReturns();
  absl::StatusOr<LoanedBuffer> TryLoan(size_t size, size_t size_class);
  void MoveTo(uint32_t index, BufferMove move);
  void Reclaim();
  void MakeFree(uint32_t index, BufferMove move);

  void Drop(uint32_t index);

  const ForkGuard guard_;
  const PoolLayout layout_;
  const uint32_t owner_;
  const std::unique_ptr<SharedMemory> data_;
  const std::unique_ptr<SharedMemory> ledger_;
  SharedWord* const words_;

  std::mutex mutex_;
  QueueConsumer returns_;
  // What the words would say if nobody else could write them; of a buffer that is out always kSent.
  std::vector<BufferWord> own_words_;
  // Of each class, the last one given back on top: its memory is the likeliest to be in a cache.
  std::vector<std::vector<uint32_t>> free_;
  std::vector<SizeClassStats> stats_;
  uint32_t out_ = 0;
  absl::Status closed_;
};

}  // namespace agentos

#endif  // AGENTOS_IPC_BUFFER_POOL_H_
