#include "agentos/ring/lent_memory.h"

#include <algorithm>
#include <utility>

namespace agentos {

namespace ring_internal {

PooledBuffer LentBlock::Make(std::shared_ptr<LentMemory> memory, bool to_fill) {
  auto* const block = new LentBlock;
  block->data = memory->data();
  block->capacity = memory->capacity();
  block->give_back = &LentBlock::GiveBack;
  block->to_fill = to_fill;
  if (to_fill) memory->fillers_.fetch_add(1, std::memory_order_relaxed);
  block->memory = std::move(memory);
  return PooledBuffer(block);
}

LentBlock* LentBlock::Of(const PooledBuffer& buffer) {
  return buffer.is_lent() ? static_cast<LentBlock*>(buffer.block_) : nullptr;
}

void LentBlock::GiveBack(BufferBlock* block) noexcept {
  auto* const lent = static_cast<LentBlock*>(block);
  if (lent->to_fill) lent->memory->fillers_.fetch_sub(1, std::memory_order_release);
  delete lent;
}

}  // namespace ring_internal

using ring_internal::LentBlock;

PooledBuffer Lend(std::shared_ptr<LentMemory> memory) { return LentBlock::Make(std::move(memory), /*to_fill=*/false); }

PooledBuffer LendToFill(std::shared_ptr<LentMemory> memory) { return LentBlock::Make(std::move(memory), /*to_fill=*/true); }

std::shared_ptr<LentMemory> LentBy(const PooledBuffer& buffer) {
  const LentBlock* const block = LentBlock::Of(buffer);
  return block == nullptr ? nullptr : block->memory;
}

Bytes FilledBytes(PooledBuffer buffer, size_t size) {
  const LentBlock* const block = LentBlock::Of(buffer);
  if (block == nullptr) return Bytes(std::move(buffer), size);
  block->memory->SetFilled(size);
  if (block->to_fill) return Bytes();
  return Bytes(std::move(buffer), size);
}

bool IsReadyToSend(Bytes& bytes) {
  const LentBlock* const block = bytes.buffer() == nullptr ? nullptr : LentBlock::Of(*bytes.buffer());
  if (block == nullptr) return true;
  if (block->memory->is_being_filled()) return false;
  const size_t size = std::min(block->memory->filled().value_or(bytes.size()), bytes.size());
  bytes = Bytes(std::move(bytes).IntoBuffer(), size);
  return true;
}

}  // namespace agentos
