// Recycled memory for results: what a read or a receive fills, and what the caller then owns.
//
// A pool serves one kernel ring. Acquire is cheap because only the pool's owner calls it, under the lock that it holds anyway; a
// buffer may be given back from any thread, also after the pool's owner is gone, so results outlive their ring and manager.
// Buffers are warm when they are handed out again: in a virtual machine the first touch of a fresh page costs microseconds.
//
// Thread rule: Acquire and Close by the owner only (externally synchronised); NewUnpooled by anyone. PooledBuffer is a value of
// one thread at a time; its destructor may run on any thread.
// Lifetime: the pool deletes itself when it is closed and its last buffer is back.
//
//   ResultBufferPool* pool = ResultBufferPool::Create();
//   PooledBuffer buffer = pool->Acquire(4096);  // 4 KiB aligned, as O_DIRECT asks; empty when memory has run out
//   pool->Close();                              // the buffer stays valid

#ifndef AGENTOS_RING_RESULT_BUFFER_POOL_H_
#define AGENTOS_RING_RESULT_BUFFER_POOL_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/types/span.h"

namespace agentos {

class ResultBufferPool;

namespace ring_internal {

// The bookkeeping of one buffer. It lives apart from the memory so that a 4 KiB buffer takes 4 KiB and stays aligned.
struct BufferBlock {
  char* data = nullptr;
  size_t capacity = 0;
  ResultBufferPool* pool = nullptr;
  BufferBlock* next = nullptr;
  uint8_t size_class = 0;
  // Part of an arena: its memory is not freed by itself.
  bool in_arena = false;
  // The arena's number, -1 outside of one.
  int16_t arena = -1;
  // Of memory that is no pool's but lent (lent_memory.h): how it is given back.
  void (*give_back)(BufferBlock* block) noexcept = nullptr;
};

struct LentBlock;

}  // namespace ring_internal

// Owns one buffer of a pool; gives it back when destroyed.
class PooledBuffer {
 public:
  PooledBuffer() noexcept = default;
  PooledBuffer(PooledBuffer&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  PooledBuffer& operator=(PooledBuffer&& other) noexcept {
    if (this != &other) {
      Reset();
      block_ = std::exchange(other.block_, nullptr);
    }
    return *this;
  }
  PooledBuffer(const PooledBuffer&) = delete;
  PooledBuffer& operator=(const PooledBuffer&) = delete;
  ~PooledBuffer() { Reset(); }

  explicit operator bool() const { return block_ != nullptr; }
  char* data() const { return block_ == nullptr ? nullptr : block_->data; }
  size_t capacity() const { return block_ == nullptr ? 0 : block_->capacity; }

  // The number of the arena that it is part of, -1 when of none.
  int arena() const { return block_ == nullptr ? -1 : block_->arena; }

  // Whether it is over memory that was lent.
  bool is_lent() const { return block_ != nullptr && block_->give_back != nullptr; }

  // As Reset, without the detour that a release by any thread takes: for the owner of `owner`, in whose pool the buffer often is.
  void ReturnTo(ResultBufferPool& owner) noexcept;

  // Gives the buffer back now.
  void Reset() noexcept {
    if (block_ != nullptr) Release(std::exchange(block_, nullptr));
  }

 private:
  friend class ResultBufferPool;
  friend struct ring_internal::LentBlock;
  explicit PooledBuffer(ring_internal::BufferBlock* block) noexcept : block_(block) {}
  static void Release(ring_internal::BufferBlock* block) noexcept;

  ring_internal::BufferBlock* block_ = nullptr;
};

class ResultBufferPool {
 public:
  // Buffers of at least this size are aligned to it.
  static constexpr size_t kPageAlignment = 4096;
  // Larger buffers are not kept for reuse: they are rare, and the memory is worth more to the rest of the program.
  static constexpr size_t kLargestPooled = size_t{1} << 20;
  // How many bytes of each size class a pool keeps for reuse.
  static constexpr size_t kKeptBytesPerClass = size_t{16} << 20;

  static ResultBufferPool* Create() { return new ResultBufferPool; }

  ResultBufferPool(const ResultBufferPool&) = delete;
  ResultBufferPool& operator=(const ResultBufferPool&) = delete;

  // Adds `count` buffers of `buffer_size` that lie in one piece of memory, so that the piece can be registered with the kernel;
  // PooledBuffer::arena() of each is `number`. Acquire hands them out first, for which their size must be that of a class, a page
  // or more. The piece is the pool's and is returned; empty when the memory is not to be had.
  absl::Span<char> AddArena(size_t buffer_size, size_t count, int16_t number);

  // The arena could not be registered: its buffers are like all others from now on. Before the first Acquire of its size.
  void ForgetArena(int16_t number);
  // Of a pool of one arena: what PooledBuffer::arena() of its buffers is from now on. Before the first Acquire.
  void NumberArena(int16_t number) {
    for (size_t i = 0; i < arenas_.front().count; ++i) arenas_.front().blocks[i].arena = number;
  }

  // Which of the pool's sizes serves `size`; kClasses or more when none does.
  static constexpr unsigned kClasses = 7;
  static constexpr unsigned ClassOf(size_t size) {
    // Each class is four times the one before: two more bits.
    const unsigned width = static_cast<unsigned>(std::bit_width(size - (size > 0 ? 1 : 0)));
    return width <= kSmallestBits ? 0 : (width - kSmallestBits + 1) / 2;
  }

  // A buffer of at least `size` bytes with undefined content. Empty when the memory is not to be had.
  PooledBuffer Acquire(size_t size) {
    const unsigned size_class = ClassOf(size);
    if (size_class < kClasses && free_[size_class].head != nullptr) [[likely]] {
      return PooledBuffer(free_[size_class].Pop());
    }
    return AcquireAnew(size, size_class);
  }

  // For a pool of one arena, with buffers of this size: empty when all are out.
  PooledBuffer AcquireFromArena(size_t size) {
    const unsigned size_class = ArenaClassOf(size);
    if (free_[size_class].head == nullptr) CollectReturned();
    return free_[size_class].head == nullptr ? PooledBuffer() : PooledBuffer(free_[size_class].Pop());
  }

  // Takes back what was released meanwhile, so that the next Acquire hands out what is still warm in the cache. Once per batch:
  // Acquire by itself does it only when it has run out.
  void CollectReturned() {
    if (returned_.load(std::memory_order_relaxed) != nullptr) KeepReturned();
  }

  // As Acquire, but the buffer belongs to no pool: any thread may ask for one, and its memory is freed when it is released.
  static PooledBuffer NewUnpooled(size_t size);

  // The owner will not acquire again. Deletes the pool now, or when its last buffer comes home.
  void Close();

 private:
  friend class PooledBuffer;
  static constexpr unsigned kSmallestBits = 8;
  // Where buffers of an arena are kept: those that no class serves, with the largest.
  static constexpr unsigned ArenaClassOf(size_t size) { return std::min(ClassOf(size), kClasses - 1); }
  static constexpr size_t SizeOf(unsigned size_class) { return size_t{1} << (kSmallestBits + 2 * size_class); }

  struct FreeList {
    ring_internal::BufferBlock* head = nullptr;
    size_t count = 0;

    ring_internal::BufferBlock* Pop() {
      ring_internal::BufferBlock* block = std::exchange(head, head->next);
      --count;
      return block;
    }
  };

  struct Arena {
    int16_t number;
    size_t count;
    char* memory;
    size_t bytes;
    std::unique_ptr<ring_internal::BufferBlock[]> blocks;
  };

  ResultBufferPool() = default;
  ~ResultBufferPool();

  PooledBuffer AcquireAnew(size_t size, unsigned size_class);
  // Belongs to no pool yet.
  static ring_internal::BufferBlock* AllocateBlock(size_t capacity);
  ring_internal::BufferBlock* NewBlock(size_t capacity, unsigned size_class);
  void Free(ring_internal::BufferBlock* block);
  void Give(ring_internal::BufferBlock* block) noexcept;
  void KeepReturned();
  void Keep(ring_internal::BufferBlock* block);

  std::array<FreeList, kClasses> free_;
  std::vector<Arena> arenas_;
  // Blocks that exist, in use or not.
  int64_t allocated_ = 0;

  // Blocks that other threads gave back: a stack that anyone pushes to and only the owner empties, all at once, so that no block
  // can be popped and pushed again under a pusher's eyes.
  alignas(64) std::atomic<ring_internal::BufferBlock*> returned_{nullptr};
  // After Close: blocks still out. Releases that come before Close has added its count drive it below zero meanwhile.
  std::atomic<int64_t> outstanding_{0};
};

inline void PooledBuffer::ReturnTo(ResultBufferPool& owner) noexcept {
  if (block_ != nullptr && block_->pool == &owner) {
    owner.Keep(std::exchange(block_, nullptr));
  } else {
    Reset();
  }
}

static_assert(ResultBufferPool::ClassOf(ResultBufferPool::kLargestPooled) == ResultBufferPool::kClasses - 1);
static_assert(ResultBufferPool::ClassOf(ResultBufferPool::kLargestPooled + 1) == ResultBufferPool::kClasses);

}  // namespace agentos

#endif  // AGENTOS_RING_RESULT_BUFFER_POOL_H_
