// The deadlines of a lane's entries, the earliest first: a binary heap whose members know their places.
//
// An entry without a timeout never comes here. One with a timeout that ends in time costs an append and a removal near the end of
// an array, because deadlines are mostly added in rising order; a kernel timeout for each (IORING_OP_LINK_TIMEOUT) costs a
// submission entry, a completion and a kernel timer.
//
// Thread rule: externally synchronised.
//
//   timers.Add(slot, now_ns + timeout_ns);
//   while (Slot* late = timers.PopIfOver(now_ns)) ...

#ifndef AGENTOS_EXECUTOR_TIMER_HEAP_H_
#define AGENTOS_EXECUTOR_TIMER_HEAP_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "agentos/ring/slot.h"

namespace agentos {

class TimerHeap {
 public:
  bool empty() const { return slots_.empty(); }
  // Precondition: not empty.
  int64_t earliest_ns() const { return slots_.front()->deadline_ns; }

  void Add(Slot& slot, int64_t deadline_ns) {
    slot.deadline_ns = deadline_ns;
    slot.progress.has_timer = true;
    slots_.push_back(&slot);
    SiftUp(slots_.size() - 1, &slot);
  }

  void Remove(Slot& slot) {
    slot.progress.has_timer = false;
    const size_t hole = slot.timer_place;
    Slot* last = slots_.back();
    slots_.pop_back();
    if (last == &slot) return;
    if (hole > 0 && last->deadline_ns < slots_[Parent(hole)]->deadline_ns) {
      SiftUp(hole, last);
    } else {
      SiftDown(hole, last);
    }
  }

  // Takes out the earliest whose time is over; null when there is none.
  Slot* PopIfOver(int64_t now_ns) {
    if (slots_.empty() || earliest_ns() > now_ns) return nullptr;
    Slot* slot = slots_.front();
    Remove(*slot);
    return slot;
  }

 private:
  static size_t Parent(size_t place) { return (place - 1) / 2; }

  void Put(size_t place, Slot* slot) {
    slots_[place] = slot;
    slot->timer_place = static_cast<uint32_t>(place);
  }

  void SiftUp(size_t place, Slot* slot) {
    while (place > 0 && slot->deadline_ns < slots_[Parent(place)]->deadline_ns) {
      Put(place, slots_[Parent(place)]);
      place = Parent(place);
    }
    Put(place, slot);
  }

  void SiftDown(size_t place, Slot* slot) {
    for (;;) {
      size_t child = 2 * place + 1;
      if (child >= slots_.size()) break;
      if (child + 1 < slots_.size() && slots_[child + 1]->deadline_ns < slots_[child]->deadline_ns) ++child;
      if (slots_[child]->deadline_ns >= slot->deadline_ns) break;
      Put(place, slots_[child]);
      place = child;
    }
    Put(place, slot);
  }

  std::vector<Slot*> slots_;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_TIMER_HEAP_H_
