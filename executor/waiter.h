// A thread that waits for something of a ring, and the ring as the executor sees it. Private to executor/.
//
// Thread rule: guarded by the lock of the ring's lane, except Waiter::wake_up, which is a condition variable on that lock.

#ifndef AGENTOS_EXECUTOR_WAITER_H_
#define AGENTOS_EXECUTOR_WAITER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "agentos/executor/position_order.h"
#include "agentos/executor/ring_events.h"
#include "agentos/ring/completion_ring.h"
#include "agentos/ring/registered_buffer_pool.h"

namespace agentos {

class Lane;
class BoundRing;
struct RingGroup;

struct Waiter {
  enum class For : uint8_t {
    // The completion of `seq`.
    kEntry,
    // At least `count` completions.
    kCount,
    // Nothing under way any more.
    kDrained,
    // A completion of any ring of the group.
    kGroup,
  };
  enum class Outcome : uint8_t { kWaiting, kSatisfied, kTakenByAnother, kRingGone };

  For what = For::kCount;
  Seq seq = 0;
  size_t count = 0;
  // Of kGroup the group, of the others the ring.
  BoundRing* ring = nullptr;
  RingGroup* group = nullptr;

  Outcome outcome = Outcome::kWaiting;
  // For kEntry: the completion, handed over the moment it came, out of every queue.
  Slot* slot = nullptr;
  std::condition_variable wake_up;

  // Membership among the ring's and the lane's waiters. A ring that is destroyed lets its waiters go at once.
  bool of_ring = false;
  Waiter* next_of_ring = nullptr;
  Waiter* prev_of_ring = nullptr;
  Waiter* next_of_lane = nullptr;
  Waiter* prev_of_lane = nullptr;
};

// A list through one pair of a waiter's links.
template <Waiter* Waiter::*Next, Waiter* Waiter::*Prev>
class WaiterList {
 public:
  bool empty() const { return head_ == nullptr; }
  Waiter* front() const { return head_; }

  void PushBack(Waiter* waiter) {
    waiter->*Prev = tail_;
    waiter->*Next = nullptr;
    (tail_ == nullptr ? head_ : tail_->*Next) = waiter;
    tail_ = waiter;
  }

  void Remove(Waiter* waiter) {
    (waiter->*Prev == nullptr ? head_ : waiter->*Prev->*Next) = waiter->*Next;
    (waiter->*Next == nullptr ? tail_ : waiter->*Next->*Prev) = waiter->*Prev;
  }

 private:
  Waiter* head_ = nullptr;
  Waiter* tail_ = nullptr;
};

using RingWaiters = WaiterList<&Waiter::next_of_ring, &Waiter::prev_of_ring>;
using LaneWaiters = WaiterList<&Waiter::next_of_lane, &Waiter::prev_of_lane>;

// Rings of one lane that are waited for together.
struct RingGroup {
  explicit RingGroup(Lane* its_lane) : lane(its_lane) {}

  Lane* const lane;
  RingWaiters waiters;
  // Those that have completions, the longest waiting first. Some may have been reaped meanwhile.
  std::deque<BoundRing*> ready;
};

// A process's ring bound to the lane that drives it. Its memory is never given back while the executor lives, only reused, so
// that a caller may look at one without holding a lock; what it finds is settled under the lane's lock.
class BoundRing : public SyscallCompletionRing {
 public:
  enum class Life : uint8_t { kUnused, kActive, kClosing };

  explicit BoundRing(Lane* first_lane) : lane(first_lane) {}

  std::atomic<Lane*> lane;
  Life life = Life::kUnused;
  // Whether it is among the rings that the lane will start more entries of.
  bool wants_start = false;
  RingWaiters waiters;
  PositionOrder positions;
  // Multishot entries that stopped because the completion queue was full.
  std::vector<SlotToken> paused;
  // Memory of the process that is registered with the lane's submission ring, and its numbers there. As long as there is any, or
  // any file, the ring stays on its lane.
  struct Registration {
    int number;
    std::shared_ptr<RegisteredBufferPool> pool;
  };
  std::vector<Registration> registrations;
  // Descriptors of files that are registered there.
  std::vector<int> files;
  // Set when an event loop watches the ring: it stays on its lane then, too.
  std::unique_ptr<RingEvents> events;
  RingGroup* group = nullptr;
  // Whether it stands in the group's `ready`.
  bool is_ready = false;
  bool must_stay() const { return !registrations.empty() || !files.empty() || events != nullptr || group != nullptr; }
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_WAITER_H_
