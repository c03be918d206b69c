#include <cerrno>
#include <utility>

#include "agentos/executor/lane.h"

// Entries with modifiers: how chains go on and how timeouts stop what is late. Entries without one never come here.
//
// Links are the lane's own and not the kernel's: so a chain may mix operations of every kind and place (a ReadFile of several
// steps, a message, an Lseek), behaves the same on every executor, and cannot be split over two submissions (P7).

namespace agentos {

void Lane::AddTimer(Slot& slot, int64_t timeout_ns) {
  const int64_t deadline_ns = timeout_ns >= Deadline::kNever - now_ns_ ? Deadline::kNever : now_ns_ + timeout_ns;
  timers_.Add(slot, deadline_ns);
  // A leader in the kernel does not know of it.
  if (leader_ != nullptr && deadline_ns < leader_sleeps_until_ns_) owes_wake_up_ = true;
}

bool Lane::StopLateEntries() {
  const int64_t now_ns = MonotonicNanos();
  bool any = false;
  while (Slot* slot = timers_.PopIfOver(now_ns)) {
    any = true;
    // Whoever has asked it to stop before wants to hear that it was cancelled.
    if (slot->progress.cancel_requested) continue;
    slot->progress.timed_out = true;
    RequestCancel(*slot);
  }
  return any;
}

void Lane::FinishMember(Slot& slot) {
  Slot::Progress& progress = slot.progress;
  if (progress.has_timer) timers_.Remove(slot);
  if (progress.timed_out && progress.cancelled) {
    // What was transferred is never turned into a timeout (P8).
    progress.cancelled = false;
    if (slot.value <= 0) progress.error = ETIMEDOUT;
  }
  const bool in_chain = slot.entry.link() != Link::kNone || progress.place == SlotPlace::kLinked;
  Slot* next = in_chain ? std::exchange(slot.chain_next, nullptr) : nullptr;
  // One that never started takes those after it along, whatever kind of link they have.
  const bool started = progress.state != SlotState::kQueued;
  const bool succeeded = progress.error == 0 && !progress.cancelled;
  const bool goes_on = succeeded || (started && slot.entry.link() == Link::kOnEnd);
  if (progress.place == SlotPlace::kLinked && slot.chain_previous != nullptr) slot.chain_previous->chain_next = nullptr;
  FinishAlone(slot);
  if (next == nullptr) return;
  next->chain_previous = nullptr;
  if (goes_on) {
    BoundRing& ring = RingOf(*next);
    ring.Unlink(next);
    shares_.Add(ring);
    return;
  }
  // By a loop: a chain is as long as the queue, the stack is not.
  while (next != nullptr) {
    Slot* following = std::exchange(next->chain_next, nullptr);
    if (following != nullptr) following->chain_previous = nullptr;
    if (next->progress.has_timer) timers_.Remove(*next);
    next->progress.cancelled = true;
    FinishAlone(*next);
    next = following;
  }
}

}  // namespace agentos
