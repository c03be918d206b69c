// Whose turn it is to start entries, among the rings of a lane that have some waiting: in turns, each as long as the ring's
// weight.
//
// A ring comes here when it has entries that wait for their turn, which most never have: an entry that finds room starts at once.
// Those that do take turns of kStartsPerTurn times RingOptions::weight starts, so a process with ten thousand queued entries
// delays another's by one turn, and a ring of twice the weight starts twice as many.
//
// Thread rule: externally synchronised. Pure policy: no clock, no kernel; one start is one tick.
//
//   shares.Add(ring);
//   FairShare::Turn turn = shares.Next();
//   if (Start(*turn.ring, turn.starts) == turn.starts) shares.Add(*turn.ring);

#ifndef AGENTOS_EXECUTOR_FAIR_SHARE_H_
#define AGENTOS_EXECUTOR_FAIR_SHARE_H_

#include <cstddef>
#include <deque>

#include "agentos/executor/waiter.h"

namespace agentos {

class FairShare {
 public:
  static constexpr size_t kStartsPerTurn = 16;

  struct Turn {
    BoundRing* ring;
    size_t starts;
  };

  bool empty() const { return rings_.empty(); }
  size_t size() const { return rings_.size(); }

  // At the end, unless it is here already.
  void Add(BoundRing& ring) {
    if (ring.wants_start) return;
    ring.wants_start = true;
    rings_.push_back(&ring);
  }

  // Takes out the ring whose turn it is. Precondition: not empty.
  Turn Next() {
    BoundRing* ring = rings_.front();
    rings_.pop_front();
    ring->wants_start = false;
    return {ring, kStartsPerTurn * ring->options().weight};
  }

  void Remove(BoundRing& ring) {
    if (!ring.wants_start) return;
    ring.wants_start = false;
    std::erase(rings_, &ring);
  }

 private:
  std::deque<BoundRing*> rings_;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_FAIR_SHARE_H_
