// The accepted entries of a ring that wait to be started, and which of them is next: by priority, then in order of submission,
// with aging.
//
// A higher priority goes first, but every level that is passed over kPatience times in a row has the next turn: however much
// urgent work keeps coming, one start in kPatience + 1 is left for what is below it (P6).
//
// Thread rule: externally synchronised. Pure policy: no clock, no kernel; one start is one tick.
//
//   queue.PushBack(slot);
//   while (Slot* next = queue.PopNext()) Start(next);

#ifndef AGENTOS_RING_START_QUEUE_H_
#define AGENTOS_RING_START_QUEUE_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "agentos/ring/slot.h"
#include "agentos/ring/types.h"

namespace agentos {

class StartQueue {
 public:
  // How often in a row others may start before the entries of a lower priority.
  static constexpr uint32_t kPatience = 16;

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  // Behind the others of its priority.
  void PushBack(Slot* slot) {
    LevelOf(*slot).PushBack(slot);
    ++size_;
  }

  // Where its number belongs among the others of its priority: it was accepted long ago, and had to wait for another entry.
  void Insert(Slot* slot) {
    LevelOf(*slot).InsertBySeq(slot);
    ++size_;
  }

  // What PopNext would take out.
  const Slot* PeekNext() const { return size_ == 0 ? nullptr : levels_[NextLevel()].front(); }

  // Takes out the entry that starts next; null when there is none.
  Slot* PopNext() {
    if (size_ == 0) return nullptr;
    const size_t level = NextLevel();
    for (size_t below = 0; below < level; ++below) {
      if (!levels_[below].empty()) ++passed_over_[below];
    }
    passed_over_[level] = 0;
    --size_;
    return levels_[level].PopFront();
  }

  void Remove(Slot* slot) {
    LevelOf(*slot).Remove(slot);
    --size_;
  }

  Slot* Find(Seq seq) const {
    for (const SlotList& level : levels_) {
      if (Slot* slot = level.Find(seq)) return slot;
    }
    return nullptr;
  }

  // In no particular order.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const SlotList& level : levels_) {
      for (Slot* slot = level.front(); slot != nullptr; slot = slot->next) visit(slot);
    }
  }

 private:
  static constexpr size_t kLevels = 3;
  static_assert(static_cast<size_t>(Priority::kUrgent) == kLevels - 1);

  SlotList& LevelOf(const Slot& slot) { return levels_[static_cast<size_t>(slot.entry.priority())]; }

  size_t NextLevel() const {
    for (size_t level = 0; level < kLevels; ++level) {
      if (!levels_[level].empty() && passed_over_[level] >= kPatience) return level;
    }
    size_t level = kLevels - 1;
    while (levels_[level].empty()) --level;
    return level;
  }

  std::array<SlotList, kLevels> levels_;
  std::array<uint32_t, kLevels> passed_over_{};
  size_t size_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_RING_START_QUEUE_H_
