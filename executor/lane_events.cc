#include <unistd.h>

#include <algorithm>
#include <utility>

#include "agentos/executor/lane.h"

// Who else hears of completions than those that wait for one ring: event loops that watch descriptors, and whoever waits for a group
// of rings.

namespace agentos {

namespace {

// How long to leave a kernel alone that has no memory for submissions, before they are offered again.
constexpr int64_t kPauseNs = 1'000'000;

}  // namespace

absl::StatusOr<std::vector<int>> Lane::Watch(BoundRing& ring) {
  std::vector<int> made;
  if (events_ == nullptr) {
    absl::StatusOr<std::unique_ptr<LaneEvents>> events = LaneEvents::Create();
    if (!events.ok()) return events.status();
    if (!kernel_->Announce((*events)->bell_fd())) {
      return absl::UnimplementedError("these rings cannot announce their results: there is no event_fd for them, wait for them");
    }
    events_ = *std::move(events);
    made = {events_->bell_fd(), events_->timer_fd()};
    bell_fd_.store(events_->bell_fd(), std::memory_order_seq_cst);
  }
  absl::StatusOr<std::unique_ptr<RingEvents>> events = RingEvents::Create(*events_);
  if (!events.ok()) return events.status();
  ring.events = *std::move(events);
  for (const int fd : ring.events->OwnFds()) made.push_back(fd);
  // What came before there was a bell.
  Drive();
  NoteChange(ring);
  return made;
}

std::unique_ptr<RingEvents> Lane::Unwatch(BoundRing& ring) {
  std::erase(changed_, &ring);
  return std::move(ring.events);
}

void Lane::ShowChanges() {
  for (BoundRing* ring : changed_) {
    ring->events->changed = false;
    ring->events->Show(!ring->completed().empty());
  }
  changed_.clear();
  if (kernel_->Unsubmitted() > 0) return events_->SetTimer(MonotonicNanos() + kPauseNs);
  events_->SetTimer(timers_.empty() ? LaneEvents::kNoTimer : timers_.earliest_ns());
}

void Lane::TellGroup(BoundRing& ring) {
  ring.is_ready = true;
  ring.group->ready.push_back(&ring);
  for (Waiter* waiter = ring.group->waiters.front(); waiter != nullptr; waiter = waiter->next_of_ring) {
    if (waiter->outcome == Waiter::Outcome::kWaiting) Satisfy(*waiter, Waiter::Outcome::kSatisfied);
  }
}

size_t Lane::DeliverReady(RingGroup& group, absl::Span<SyscallCompletionEntry> out) {
  size_t count = 0;
  while (count < out.size() && !group.ready.empty()) {
    BoundRing& ring = *group.ready.front();
    group.ready.pop_front();
    count += DeliverOldest(ring, out.subspan(count));
    ring.is_ready = !ring.completed().empty();
    // With more than there was room for: the others first.
    if (ring.is_ready) group.ready.push_back(&ring);
  }
  return count;
}

void Lane::LeaveGroup(BoundRing& ring) {
  if (ring.group == nullptr) return;
  std::erase(ring.group->ready, &ring);
  ring.is_ready = false;
  ring.group = nullptr;
}

void Lane::RingLoopBell() {
  const int fd = bell_fd_.load(std::memory_order_seq_cst);
  if (fd == kNoFd) return;
  const uint64_t one = 1;
  // It fails only when the counter is about to overflow, and then the bell is ringing anyway.
  [[maybe_unused]] const ssize_t written = write(fd, &one, sizeof(one));
}

}  // namespace agentos
