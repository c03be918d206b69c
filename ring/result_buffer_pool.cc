#include "agentos/ring/result_buffer_pool.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

namespace agentos {

using ring_internal::BufferBlock;

namespace {

// Stands at the head of the stack of returned blocks once the pool is closed: whoever gives a block back then frees it.
BufferBlock closed_mark;

void FreeMemory(BufferBlock* block) {
  // An arena frees its memory and its blocks in one go.
  if (block->in_arena) return;
  std::free(block->data);
  delete block;
}

}  // namespace

void PooledBuffer::Release(BufferBlock* block) noexcept {
  if (block->pool != nullptr) {
    block->pool->Give(block);
    return;
  }
  if (block->give_back != nullptr) return block->give_back(block);
  FreeMemory(block);
}

PooledBuffer ResultBufferPool::AcquireAnew(size_t size, unsigned size_class) {
  // Not kept for reuse, so it need not come back here to be freed.
  if (size_class >= kClasses) return NewUnpooled(size);
  CollectReturned();
  if (free_[size_class].head != nullptr) return PooledBuffer(free_[size_class].Pop());
  return PooledBuffer(NewBlock(SizeOf(size_class), size_class));
}

PooledBuffer ResultBufferPool::NewUnpooled(size_t size) { return PooledBuffer(AllocateBlock(size)); }

ResultBufferPool::~ResultBufferPool() {
  for (const Arena& arena : arenas_) munmap(arena.memory, arena.bytes);
}

absl::Span<char> ResultBufferPool::AddArena(size_t buffer_size, size_t count, int16_t number) {
  const size_t bytes = buffer_size * count;
  std::unique_ptr<BufferBlock[]> blocks(new (std::nothrow) BufferBlock[count]);
  if (blocks == nullptr) return {};
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return {};
  char* begin = static_cast<char*>(memory);
  const auto size_class = static_cast<uint8_t>(ArenaClassOf(buffer_size));
  for (size_t i = count; i-- > 0;) {
    BufferBlock& block = blocks[i];
    block.data = begin + i * buffer_size;
    block.capacity = buffer_size;
    block.pool = this;
    block.size_class = size_class;
    block.in_arena = true;
    block.arena = number;
    ++allocated_;
    Keep(&block);
  }
  arenas_.push_back({number, count, begin, bytes, std::move(blocks)});
  return {begin, bytes};
}

void ResultBufferPool::ForgetArena(int16_t number) {
  for (Arena& arena : arenas_) {
    if (arena.number != number) continue;
    for (size_t i = 0; i < arena.count; ++i) arena.blocks[i].arena = -1;
  }
}

void ResultBufferPool::Close() {
  CollectReturned();
  for (FreeList& list : free_) {
    while (list.head != nullptr) {
      BufferBlock* block = list.head;
      list.head = block->next;
      Free(block);
    }
  }
  BufferBlock* late = returned_.exchange(&closed_mark, std::memory_order_acq_rel);
  while (late != nullptr) {
    BufferBlock* next = late->next;
    Free(late);
    late = next;
  }
  const int64_t out = allocated_;
  if (outstanding_.fetch_add(out, std::memory_order_acq_rel) + out == 0) delete this;
}

BufferBlock* ResultBufferPool::AllocateBlock(size_t capacity) {
  // No allocator gives this much, and rounding it up might wrap round to nothing.
  if (capacity > static_cast<size_t>(PTRDIFF_MAX)) return nullptr;
  // Whole pages from a page upward: O_DIRECT wants the length aligned as well as the address.
  const size_t alignment = capacity >= kPageAlignment ? kPageAlignment : alignof(std::max_align_t);
  const size_t rounded = (capacity + alignment - 1) / alignment * alignment;
  auto* block = new (std::nothrow) BufferBlock;
  if (block == nullptr) return nullptr;
  block->data = static_cast<char*>(std::aligned_alloc(alignment, rounded));
  if (block->data == nullptr) {
    delete block;
    return nullptr;
  }
  block->capacity = rounded;
  return block;
}

BufferBlock* ResultBufferPool::NewBlock(size_t capacity, unsigned size_class) {
  BufferBlock* block = AllocateBlock(capacity);
  if (block == nullptr) return nullptr;
  block->pool = this;
  block->size_class = static_cast<uint8_t>(size_class);
  ++allocated_;
  return block;
}

void ResultBufferPool::Free(BufferBlock* block) {
  FreeMemory(block);
  --allocated_;
}

void ResultBufferPool::Give(BufferBlock* block) noexcept {
  BufferBlock* head = returned_.load(std::memory_order_acquire);
  while (head != &closed_mark) {
    block->next = head;
    if (returned_.compare_exchange_weak(head, block, std::memory_order_release, std::memory_order_acquire)) return;
  }
  FreeMemory(block);
  if (outstanding_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void ResultBufferPool::KeepReturned() {
  BufferBlock* block = returned_.exchange(nullptr, std::memory_order_acquire);
  while (block != nullptr) {
    BufferBlock* next = block->next;
    Keep(block);
    block = next;
  }
}

void ResultBufferPool::Keep(BufferBlock* block) {
  FreeList& list = free_[block->size_class];
  if (!block->in_arena && list.count * block->capacity >= kKeptBytesPerClass) {
    Free(block);
    return;
  }
  block->next = list.head;
  list.head = block;
  ++list.count;
}

}  // namespace agentos
