// The accepted entries of a ring that wait to be started, and which of them is next: by priority with aging (priority_turns.h),
// then in order of submission.
//
// Thread rule: externally synchronised. Pure policy: no clock, no kernel; one start is one tick.
//
//   queue.PushBack(slot);
//   while (Slot* next = queue.PopNext()) Start(next);

#ifndef AGENTOS_RING_START_QUEUE_H_
#define AGENTOS_RING_START_QUEUE_H_

#include <array>
#include <cstddef>

#include "agentos/ring/priority_turns.h"
#include "agentos/ring/slot.h"
#include "agentos/ring/types.h"

namespace agentos {

class StartQueue {
 public:
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
    turns_.Take(level, [this](size_t below) { return Waits(below); });
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
  SlotList& LevelOf(const Slot& slot) { return levels_[static_cast<size_t>(slot.entry.priority())]; }

  bool Waits(size_t level) const { return !levels_[level].empty(); }
  size_t NextLevel() const {
    return turns_.Next([this](size_t level) { return Waits(level); });
  }

  std::array<SlotList, PriorityTurns::kLevels> levels_;
  PriorityTurns turns_;
  size_t size_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_RING_START_QUEUE_H_
