#include "agentos/ring/slot_table.h"

#include <new>

namespace agentos {

SlotTable::SlotTable(size_t max_slots) : max_chunks_((max_slots + kSlotsPerChunk - 1) / kSlotsPerChunk) {}

SlotTable::~SlotTable() { AGENTOS_CHECK(live() == 0); }

bool SlotTable::Grow(size_t count) {
  while (free_count_ < count) {
    if (chunks_.size() >= max_chunks_) return false;
    std::unique_ptr<Slot[]> chunk(new (std::nothrow) Slot[kSlotsPerChunk]);
    if (chunk == nullptr) return false;
    const auto first = static_cast<uint32_t>(chunks_.size() * kSlotsPerChunk);
    // Backwards, so that the free list hands the chunk out in ascending order.
    for (uint32_t i = kSlotsPerChunk; i-- > 0;) {
      chunk[i].index = first + i;
      chunk[i].next = free_;
      free_ = &chunk[i];
    }
    chunks_.push_back(std::move(chunk));
    free_count_ += kSlotsPerChunk;
  }
  return true;
}

}  // namespace agentos
