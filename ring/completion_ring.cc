#include "agentos/ring/completion_ring.h"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

namespace agentos {

namespace {

// What an error message names beside the operation: the path, the address, the fd or the process it was about.
std::string ContextOf(const Operation& operation) {
  return std::visit(
      [](const auto& op) -> std::string {
        if constexpr (requires { op.beneath_fd; }) {
          return op.beneath_fd.has_value() ? absl::StrCat(op.path, " beneath fd ", *op.beneath_fd) : op.path;
        } else if constexpr (requires { op.path; }) {
          return op.path;
        } else if constexpr (requires { op.from; }) {
          return absl::StrCat(op.from, " to ", op.to);
        } else if constexpr (requires { op.from_fd; }) {
          return absl::StrCat("fd ", op.from_fd, " to fd ", op.to_fd);
        } else if constexpr (requires { op.domain; }) {
          return absl::StrCat("domain ", op.domain, ", type ", op.type, ", protocol ", op.protocol);
        } else if constexpr (requires { op.address; }) {
          return absl::StrCat("fd ", op.fd, " to ", op.address);
        } else if constexpr (requires { op.fd; }) {
          return absl::StrCat("fd ", op.fd);
        } else if constexpr (requires { op.target; }) {
          return absl::StrCat("to pid ", op.target);
        } else {
          return "";
        }
      },
      operation);
}

}  // namespace

SyscallCompletionRing::~SyscallCompletionRing() { AGENTOS_CHECK(idle()); }

void SyscallCompletionRing::Reset(Pid pid, const RingOptions& options, RingObserver* observer) {
  AGENTOS_CHECK(idle());
  pid_ = pid;
  options_ = options;
  max_in_flight_ = options.max_in_flight == 0 ? options.cq_size : options.max_in_flight;
  observer_ = observer;
  last_seq_ = 0;
  queued_ = StartQueue();
  counts_bytes_ = options.max_bytes_in_flight > 0;
  bytes_in_flight_ = 0;
  SetHeldBack(false);
  dropped_ = {};
  next_dropped_ = 0;
}

absl::Status SyscallCompletionRing::NoRoom(size_t count) const {
  const bool reserves = options_.overflow == OverflowPolicy::kBackpressure;
  const size_t most = reserves ? std::min(options_.sq_size, options_.cq_size) : options_.sq_size;
  if (count > most) {
    return absl::InvalidArgumentError(absl::StrCat("a batch of ", count, " entries never fits the ring of pid ", pid_,
                                                   ": its queue holds ", most, "; split the batch or make the ring larger"));
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("the ring of pid ", pid_, " has no room for ", count, count == 1 ? " entry: " : " entries: ", waiting(),
                   " of ", options_.sq_size, " waiting, ", in_flight_.size(), " started, ", completed_.size(), " of ",
                   options_.cq_size, " completions not reaped; reap completions and submit again"));
}

bool SyscallCompletionRing::Enqueue(Slot* slot) {
  if (!held_back_ && !slot->entry.drain()) {
    if (counts_bytes_ && queued_.empty() && in_flight_.size() < max_in_flight_ && BytesFit(*slot)) {
      LaunchCounted(slot);
      return true;
    }
    queued_.PushBack(slot);
    return false;
  }
  if (!held_back_ && queued_.empty() && in_flight_.empty()) {
    SetHeldBack(true);
    LaunchCounted(slot);
    return true;
  }
  SetHeldBack(true);
  WaitBehindDrain(slot);
  return false;
}

void SyscallCompletionRing::WaitBehindDrain(Slot* slot) {
  slot->progress.place = SlotPlace::kBehindDrain;
  behind_drain_.PushBack(slot);
}

bool SyscallCompletionRing::BytesFit(const Slot& slot) const {
  // One that never fits goes alone.
  if (!counts_bytes_ || in_flight_.empty()) return true;
  const size_t left = options_.max_bytes_in_flight - std::min(options_.max_bytes_in_flight, bytes_in_flight_);
  return BytesOf(slot.entry.operation()) <= left;
}

void SyscallCompletionRing::LaunchCounted(Slot* slot) {
  if (counts_bytes_) {
    slot->charged_bytes = BytesOf(slot->entry.operation());
    bytes_in_flight_ += slot->charged_bytes;
  }
  Launch(slot);
}

Slot* SyscallCompletionRing::StartCloser() {
  const Slot* next = queued_.PeekNext();
  if (next != nullptr && !BytesFit(*next)) return nullptr;
  Slot* slot = next != nullptr ? queued_.PopNext() : held_back_ ? PopDrain() : nullptr;
  if (slot != nullptr) LaunchCounted(slot);
  return slot;
}

void SyscallCompletionRing::ConcludeCloser(Slot& slot) {
  if (counts_bytes_ && slot.progress.state == SlotState::kInKernel) bytes_in_flight_ -= slot.charged_bytes;
  if (held_back_ && slot.entry.drain()) EndDrain(slot);
}

void SyscallCompletionRing::RemoveWaiting(Slot* slot) {
  switch (slot->progress.place) {
    case SlotPlace::kLinked:
      return linked_.Remove(slot);
    case SlotPlace::kBehindDrain:
      return behind_drain_.Remove(slot);
    default:
      return queued_.Remove(slot);
  }
}

Slot* SyscallCompletionRing::PopDrain() {
  Slot* slot = in_flight_.empty() ? behind_drain_.PopFront() : nullptr;
  if (slot == nullptr) return nullptr;
  slot->progress.place = SlotPlace::kNowhere;
  return slot;
}

void SyscallCompletionRing::EndDrain(const Slot& slot) {
  // One that waited between others has held up nobody by itself.
  const bool waited = slot.progress.place == SlotPlace::kBehindDrain;
  if (waited && !in_flight_.empty() && in_flight_.front()->entry.drain()) return;
  while (!behind_drain_.empty() && !behind_drain_.front()->entry.drain()) {
    Slot* next = behind_drain_.PopFront();
    next->progress.place = SlotPlace::kNowhere;
    queued_.PushBack(next);
  }
  SetHeldBack(!behind_drain_.empty());
}

void SyscallCompletionRing::Abandon(Slot* slot) {
  in_flight_.Remove(slot);
  if (looks_closer_) ConcludeCloser(*slot);
  slot->Become(SlotState::kAbandoned);
  slot->ring = nullptr;
}

SyscallCompletionRing::Whereabouts SyscallCompletionRing::Find(Seq seq, Slot** slot) const {
  if (seq == 0 || seq > last_seq_) return Whereabouts::kUnknown;
  if ((*slot = completed_.Find(seq)) != nullptr) return Whereabouts::kCompleted;
  if ((*slot = backlog_.Find(seq)) != nullptr) return Whereabouts::kCompleted;
  if ((*slot = FindUnderWay(seq)) != nullptr) {
    return (*slot)->progress.state == SlotState::kInKernel ? Whereabouts::kInFlight : Whereabouts::kQueued;
  }
  return std::find(dropped_.begin(), dropped_.end(), seq) == dropped_.end() ? Whereabouts::kUnknown : Whereabouts::kDropped;
}

Slot* SyscallCompletionRing::FindUnderWay(Seq seq) const {
  Slot* slot = in_flight_.Find(seq);
  if (slot == nullptr) slot = queued_.Find(seq);
  if (slot == nullptr) slot = linked_.Find(seq);
  if (slot == nullptr) slot = behind_drain_.Find(seq);
  return slot;
}

void SyscallCompletionRing::MakeMore(Slot& origin, Slot& result) {
  const SyscallSubmissionEntry& entry = origin.entry;
  if (const auto* accept = std::get_if<operation::AcceptMany>(&entry.operation())) {
    result.entry = SyscallSubmissionEntry(entry.pid(), *accept, entry.user_data());
  } else {
    result.entry = SyscallSubmissionEntry(entry.pid(), std::get<operation::RecvMany>(entry.operation()), entry.user_data());
  }
  result.ring = origin.ring;
  result.seq = origin.seq;
  result.accepted_ns = origin.accepted_ns;
  result.Become(SlotState::kQueued);
  result.progress.more = true;
  result.progress.error = std::exchange(origin.progress.error, int16_t{0});
  result.value = std::exchange(origin.value, 0);
  result.data = std::move(origin.data);
}

Slot* SyscallCompletionRing::Overflow(Slot* slot) {
  const bool drops = options_.overflow == OverflowPolicy::kDropOldest && !slot->progress.more;
  if (drops && backlog_.empty()) return DropOldest();
  completed_.Remove(slot);
  slot->progress.place = SlotPlace::kBacklog;
  backlog_.PushBack(slot);
  if (!drops) return nullptr;
  Slot* dropped = DropOldest();
  MoveUp();
  return dropped;
}

void SyscallCompletionRing::MoveUp() {
  Slot* slot = backlog_.PopFront();
  slot->progress.place = SlotPlace::kNowhere;
  completed_.PushBack(slot);
}

Slot* SyscallCompletionRing::DropOldest() {
  Slot* slot = completed_.PopFront();
  if (dropped_.size() < kRememberedDrops) {
    dropped_.push_back(slot->seq);
  } else {
    dropped_[next_dropped_] = slot->seq;
    next_dropped_ = (next_dropped_ + 1) % kRememberedDrops;
  }
  if (observer_ != nullptr) observer_->OnDropped(pid_, slot->seq, slot->entry.kind());
  return slot;
}

void SyscallCompletionRing::ObserveEnd(const Slot& slot, int64_t now_ns) {
  ObservedResult result = {.error_number = slot.progress.error,
                           .cancelled = slot.progress.cancelled,
                           .value = slot.value,
                           .more = slot.progress.more,
                           .latency_ns = now_ns - slot.accepted_ns,
                           .ended_ns = now_ns,
                           .data = slot.data.view()};
  if (slot.peer_address != nullptr) result.peer_address = *slot.peer_address;
  if (slot.progress.cancelled) {
    observer_->OnCancelled(pid_, slot.seq, slot.entry.kind(), result);
  } else {
    observer_->OnCompleted(pid_, slot.seq, slot.entry.kind(), result);
  }
}

SyscallCompletionStatus SyscallCompletionRing::StatusOf(const Slot& slot) {
  const OperationKind kind = slot.entry.kind();
  if (slot.progress.cancelled) return SyscallCompletionStatus::Cancelled(kind);
  return SyscallCompletionStatus::Error(kind, slot.progress.error, ContextOf(slot.entry.operation()));
}

}  // namespace agentos
