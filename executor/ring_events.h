// What makes rings part of an event loop that somebody runs already: a descriptor for each ring that epoll, poll or select finds
// readable when there may be something to reap. Private to executor/.
//
// A ring's descriptor is an epoll instance over three others:
//
//     RingEvents::fd()  <--+-- ready  (of the ring)   its completion queue holds something
//                          +-- bell   (of its lane)   the kernel, or a worker, has a result that nobody has collected yet
//                          +-- timer  (of its lane)   an entry's timeout is due
//
// The bell and the timer are the lane's: they make the descriptors of all its watched rings readable, and the first one that is
// reaped collects for all.
//
// Thread rule: guarded by the lane's lock, except bell_fd(), which anybody may write to.
// Lifetime: a lane keeps its LaneEvents once it has them, for its workers may ring at any time.
// Source: eventfd(2), timerfd_create(2), epoll(7).

#ifndef AGENTOS_EXECUTOR_RING_EVENTS_H_
#define AGENTOS_EXECUTOR_RING_EVENTS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "agentos/ring/unique_fd.h"

namespace agentos {

class LaneEvents {
 public:
  static constexpr int64_t kNoTimer = 0;

  static absl::StatusOr<std::unique_ptr<LaneEvents>> Create();

  int bell_fd() const { return bell_.get(); }
  int timer_fd() const { return timer_.get(); }

  // Everything that has rung until now is about to be looked at.
  void Quiet();
  // Rings at this moment of the monotonic clock, in nanoseconds; kNoTimer: not at all.
  void SetTimer(int64_t at_ns);

 private:
  LaneEvents(UniqueFd bell, UniqueFd timer);

  const UniqueFd bell_;
  const UniqueFd timer_;
  int64_t timer_set_ns_ = kNoTimer;
};

class RingEvents {
 public:
  static absl::StatusOr<std::unique_ptr<RingEvents>> Create(const LaneEvents& lane);

  int fd() const { return epoll_.get(); }
  // All that must not be touched by entries.
  std::vector<int> OwnFds() const { return {epoll_.get(), ready_.get()}; }

  // Whether the ring has something to reap.
  void Show(bool readable);

  // Whether it stands in its lane's list of rings that have changed.
  bool changed = false;

 private:
  RingEvents(UniqueFd epoll, UniqueFd ready);

  const UniqueFd epoll_;
  const UniqueFd ready_;
  bool shown_ = false;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_RING_EVENTS_H_
