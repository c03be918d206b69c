#include <unistd.h>

#include <utility>

#include "agentos/executor/lane.h"

// Rings that an event loop watches: what rings when, and how the descriptors of rings follow what is in them.

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

void Lane::RingLoopBell() {
  const int fd = bell_fd_.load(std::memory_order_seq_cst);
  if (fd == kNoFd) return;
  const uint64_t one = 1;
  // It fails only when the counter is about to overflow, and then the bell is ringing anyway.
  [[maybe_unused]] const ssize_t written = write(fd, &one, sizeof(one));
}

}  // namespace agentos
