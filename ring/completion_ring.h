// SyscallCompletionRing: one process's submission queue, the entries under way, and its completion queue.
//
// Pure bookkeeping: it numbers entries, bounds them, keeps them in order and knows what became of each. Who executes them and who
// waits is not its business, and no step calls back upwards.
//
//     Accept -> [queued: sq_size] -> Start -> [in flight: max_in_flight] -> Complete -> [completed: cq_size] -> Take
//
// A multishot entry has completions beside its last one, each in a slot of its own (CompleteMore). They are nobody's to count on
// beforehand, so they may come when the completion queue is full: then they wait in a backlog, and move up as somebody reaps.
//
// Thread rule: externally synchronised.
// Lifetime: the slots belong to the caller's SlotTable; the ring only links them. Destroying a ring that still links slots is a
// bug.
// Errors: CheckRoom answers what Submit passes on: InvalidArgument (a batch that never fits), ResourceExhausted (no room now).
//
//   SyscallCompletionRing ring(pid, options, observer);
//   absl::Status room = ring.CheckRoom(1);
//   if (ring.Accept(slot, std::move(entry), now_ns)) Execute(slot);
//   while (Slot* next = ring.Start()) Execute(next);
//   if (Slot* dropped = ring.Complete(slot, now_ns)) Dispose(dropped);

#ifndef AGENTOS_RING_COMPLETION_RING_H_
#define AGENTOS_RING_COMPLETION_RING_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/observer.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/slot.h"
#include "agentos/ring/start_queue.h"
#include "agentos/ring/types.h"

namespace agentos {

class SyscallCompletionRing {
 public:
  // How many dropped entries a ring remembers, to answer DataLoss for them.
  static constexpr size_t kRememberedDrops = 1024;

  enum class Whereabouts : uint8_t { kUnknown, kQueued, kInFlight, kCompleted, kDropped };

  SyscallCompletionRing() = default;
  SyscallCompletionRing(const SyscallCompletionRing&) = delete;
  SyscallCompletionRing& operator=(const SyscallCompletionRing&) = delete;
  ~SyscallCompletionRing();

  // Begins a new life for `pid`, with sequence numbers from 1. Precondition: idle().
  void Reset(Pid pid, const RingOptions& options, RingObserver* observer);

  Pid pid() const { return pid_; }
  const RingOptions& options() const { return options_; }
  size_t max_in_flight() const { return max_in_flight_; }

  // Whether `count` more entries may be accepted.
  absl::Status CheckRoom(size_t count) const {
    const size_t committed = waiting() + in_flight_.size() + completed_.size() + backlog_.size();
    const bool fits = waiting() + count <= options_.sq_size &&
                      (options_.overflow == OverflowPolicy::kDropOldest || committed + count <= options_.cq_size);
    return fits ? absl::OkStatus() : NoRoom(count);
  }

  // Takes the entry over. Precondition: CheckRoom was OK. True: it is in flight at once, because nothing waits before it and
  // there is room; execute it. False: it waits for Start.
  bool Accept(Slot* slot, SyscallSubmissionEntry&& entry, int64_t now_ns) {
    Number(slot, std::move(entry), now_ns);
    if (queued_.empty() && !looks_closer_ && in_flight_.size() < max_in_flight_ && !slot->entry.drain()) [[likely]] {
      slot->Become(SlotState::kInKernel);
      in_flight_.PushBack(slot);
      if (observer_ != nullptr) observer_->OnQueuedAndDispatched(slot->entry, slot->seq, now_ns);
      return true;
    }
    ObserveQueued(*slot);
    return Enqueue(slot);
  }

  // Takes over an entry that shall wait for its turn even if there is room. Precondition: it is no drain.
  void AcceptWaiting(Slot* slot, SyscallSubmissionEntry&& entry, int64_t now_ns) {
    Number(slot, std::move(entry), now_ns);
    ObserveQueued(*slot);
    if (held_back_) return WaitBehindDrain(slot);
    queued_.PushBack(slot);
  }

  // Takes over an entry that waits for another one of its chain: nothing starts it before Unlink. Precondition: it is no drain.
  void AcceptLinked(Slot* slot, SyscallSubmissionEntry&& entry, int64_t now_ns) {
    Number(slot, std::move(entry), now_ns);
    ObserveQueued(*slot);
    slot->progress.place = SlotPlace::kLinked;
    linked_.PushBack(slot);
  }

  // The entry before it has ended: from now on it waits for its turn.
  void Unlink(Slot* slot) {
    linked_.Remove(slot);
    slot->progress.place = SlotPlace::kNowhere;
    queued_.Insert(slot);
  }

  // The next entry to execute, now in flight; null when nothing waits or max_in_flight is reached.
  Slot* Start() {
    if (in_flight_.size() >= max_in_flight_) return nullptr;
    if (looks_closer_) [[unlikely]] {
      return StartCloser();
    }
    Slot* slot = queued_.PopNext();
    if (slot != nullptr) Launch(slot);
    return slot;
  }

  // Places the completion of a queued or started entry. Answers the entry that had to be dropped for it: unlinked, to be disposed
  // of and freed by the caller; null in general.
  Slot* Complete(Slot* slot, int64_t now_ns) {
    Conclude(slot, now_ns);
    completed_.PushBack(slot);
    return completed_.size() <= options_.cq_size ? nullptr : Overflow(slot);
  }

  // Makes `result`, fresh from the table, a completion of `origin` that is not its last: what `origin` has so far moves there.
  // Complete or Conclude it.
  static void MakeMore(Slot& origin, Slot& result);
  // Whether the next completion would find no room.
  bool is_full() const { return completed_.size() >= options_.cq_size; }

  // Ends a queued or started entry whose completion goes straight to somebody who waits for it: the slot is kDone and in no
  // queue.
  void Conclude(Slot* slot, int64_t now_ns) {
    if (slot->progress.state == SlotState::kInKernel) [[likely]] {
      in_flight_.Remove(slot);
    } else if (!slot->progress.more) {
      RemoveWaiting(slot);
    }
    if (looks_closer_) [[unlikely]] {
      ConcludeCloser(*slot);
    }
    slot->Become(SlotState::kDone);
    if (observer_ != nullptr) ObserveEnd(*slot, now_ns);
  }

  // Unlinks an entry in flight for good: DestroyRing could not stop it.
  void Abandon(Slot* slot);

  // Takes the oldest completion out; null when there is none.
  Slot* TakeOldest() {
    Slot* slot = completed_.PopFront();
    if (!backlog_.empty()) [[unlikely]] {
      MoveUp();
    }
    return slot;
  }

  // Takes a completed entry out. Precondition: `slot` is completed and of this ring.
  void Take(Slot* slot) {
    if (slot->progress.place == SlotPlace::kBacklog) return backlog_.Remove(slot);
    completed_.Remove(slot);
    if (!backlog_.empty()) MoveUp();
  }

  // Where the entry `seq` is; `*slot` is set unless it is kUnknown or kDropped.
  Whereabouts Find(Seq seq, Slot** slot) const;
  // The entry itself, as long as it has not ended, wherever completions of it are; null afterwards.
  Slot* FindUnderWay(Seq seq) const;

  // What would start now if there were room.
  const StartQueue& queued() const { return queued_; }
  // Whether Start may find something.
  bool may_start() const { return !queued_.empty() || held_back_; }
  // How many have been accepted and not started: queued, behind an entry of their chain, or behind a drain.
  size_t waiting() const { return queued_.size() + linked_.size() + behind_drain_.size(); }
  // All of them, in no particular order.
  template <typename Visit>
  void ForEachWaiting(Visit visit) const {
    queued_.ForEach(visit);
    for (Slot* slot = linked_.front(); slot != nullptr; slot = slot->next) visit(slot);
    for (Slot* slot = behind_drain_.front(); slot != nullptr; slot = slot->next) visit(slot);
  }
  const SlotList& in_flight() const { return in_flight_; }
  const SlotList& completed() const { return completed_; }
  bool idle() const { return waiting() == 0 && in_flight_.empty() && completed_.empty() && backlog_.empty(); }

  // What a reaper gets of a completed slot; the slot's result moves out.
  static void Fill(Slot& slot, SyscallCompletionEntry& out) {
    out.seq = slot.seq;
    out.pid = slot.entry.pid();
    out.more = slot.progress.more;
    out.user_data = slot.entry.user_data();
    if (slot.progress.error == 0 && !slot.progress.cancelled) [[likely]] {
      out.status.SetSuccess();
    } else {
      out.status = StatusOf(slot);
    }
    out.result.Set(slot.value, slot.data, slot.peer_address);
  }

 private:
  void Number(Slot* slot, SyscallSubmissionEntry&& entry, int64_t now_ns) {
    slot->entry = std::move(entry);
    slot->ring = this;
    slot->seq = ++last_seq_;
    slot->accepted_ns = now_ns;
    slot->Become(SlotState::kQueued);
  }
  void ObserveQueued(const Slot& slot) {
    if (observer_ != nullptr) observer_->OnQueued(slot.entry, slot.seq, slot.accepted_ns);
  }
  // Of an entry that may not start at once, or not without a closer look. True: it was started, nothing holds it up.
  bool Enqueue(Slot* slot);
  void WaitBehindDrain(Slot* slot);
  Slot* StartCloser();
  void ConcludeCloser(Slot& slot);
  void LaunchCounted(Slot* slot);
  bool BytesFit(const Slot& slot) const;
  void SetHeldBack(bool held_back) {
    held_back_ = held_back;
    looks_closer_ = held_back || counts_bytes_;
  }
  void RemoveWaiting(Slot* slot);
  // The drain at the front of behind_drain_, once nothing before it is left.
  Slot* PopDrain();
  void EndDrain(const Slot& slot);

  void Launch(Slot* slot) {
    slot->Become(SlotState::kInKernel);
    in_flight_.PushBack(slot);
    if (observer_ != nullptr) observer_->OnDispatched(pid_, slot->seq, slot->entry.kind(), slot->accepted_ns);
  }
  absl::Status NoRoom(size_t count) const;
  // Of an entry that did not succeed.
  static SyscallCompletionStatus StatusOf(const Slot& slot);
  Slot* DropOldest();
  // `slot` is the last of a completion queue that has one too many: whom to drop, if anybody.
  Slot* Overflow(Slot* slot);
  void MoveUp();
  void ObserveEnd(const Slot& slot, int64_t now_ns);

  Pid pid_ = 0;
  RingOptions options_;
  size_t max_in_flight_ = 0;
  RingObserver* observer_ = nullptr;
  Seq last_seq_ = 0;
  StartQueue queued_;
  SlotList linked_;
  // A drain that has not started and what was accepted after it, in order.
  SlotList behind_drain_;
  // Whether a drain is under way or waits.
  bool held_back_ = false;
  // Whether there is a limit of bytes in flight.
  bool counts_bytes_ = false;
  // Either of them: what starts and what ends has to be looked at.
  bool looks_closer_ = false;
  size_t bytes_in_flight_ = 0;
  SlotList in_flight_;
  SlotList completed_;
  SlotList backlog_;
  // The last kRememberedDrops dropped entries, as a circle; made at the first drop.
  std::vector<Seq> dropped_;
  size_t next_dropped_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_RING_COMPLETION_RING_H_
