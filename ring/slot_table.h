// Where the slots of one kernel ring live: fixed places in chunks that are made when needed, addressed by index and generation.
//
// A slot never moves, so the kernel may hold addresses into it. Freeing one raises its generation: a token of its former life
// finds nothing any more. An idle process costs no slot; the table is as large as the most entries that were ever outstanding at
// once.
//
// Thread rule: externally synchronised.
// Lifetime: destroying the table with a slot that is not free is a bug of the owner's; an owner that cannot avoid it leaks the
// table.
//
//   SlotTable slots(1024);
//   if (!slots.Reserve(1)) return ResourceExhausted;
//   Slot* slot = slots.Allocate();
//   slots.Find(slot->token()) == slot;

#ifndef AGENTOS_RING_SLOT_TABLE_H_
#define AGENTOS_RING_SLOT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "agentos/ring/slot.h"

namespace agentos {

class SlotTable {
 public:
  static constexpr uint32_t kSlotsPerChunk = 64;

  // `max_slots` is rounded up to whole chunks.
  explicit SlotTable(size_t max_slots);
  ~SlotTable();
  SlotTable(const SlotTable&) = delete;
  SlotTable& operator=(const SlotTable&) = delete;

  // Makes sure that `count` calls of Allocate succeed. False when the bound or the memory does not allow it.
  bool Reserve(size_t count) { return free_count_ >= count || Grow(count); }

  // Precondition: Reserve said so. The slot is kFree; everything but index and generation is as Reset leaves it.
  Slot* Allocate() {
    Slot* slot = free_;
    free_ = slot->next;
    slot->next = nullptr;
    --free_count_;
    return slot;
  }

  // Ends the slot's life; `slot` is kDone or kAbandoned, or fresh from Allocate.
  void Free(Slot* slot) {
    if (slot->progress.state != SlotState::kFree) slot->Become(SlotState::kFree);
    ++slot->generation;
    slot->ring = nullptr;
    // It stays among the live ones for good.
    if (slot->progress.phase == Slot::kLost) [[unlikely]] {
      return;
    }
    slot->progress = Slot::Progress();
    slot->value = 0;
    slot->entry.Clear();
    slot->buffer.Reset();
    slot->data.Clear();
    slot->peer_address.reset();
    slot->next = free_;
    free_ = slot;
    ++free_count_;
  }

  // The slot, or null when the token is of a former life or of no slot at all.
  Slot* Find(SlotToken token) const {
    const uint32_t chunk = token.index / kSlotsPerChunk;
    if (chunk >= chunks_.size()) return nullptr;
    Slot* slot = &chunks_[chunk][token.index % kSlotsPerChunk];
    return slot->generation == token.generation && slot->progress.state != SlotState::kFree ? slot : nullptr;
  }

  template <typename Visit>
  void ForEachLive(Visit visit) {
    for (const std::unique_ptr<Slot[]>& chunk : chunks_) {
      for (uint32_t i = 0; i < kSlotsPerChunk; ++i) {
        if (chunk[i].progress.state != SlotState::kFree) visit(chunk[i]);
      }
    }
  }

  size_t live() const { return chunks_.size() * kSlotsPerChunk - free_count_; }

 private:
  bool Grow(size_t count);

  const size_t max_chunks_;
  std::vector<std::unique_ptr<Slot[]>> chunks_;
  Slot* free_ = nullptr;
  size_t free_count_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_RING_SLOT_TABLE_H_
