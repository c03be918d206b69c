#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "agentos/executor/lane.h"

// Entries that complete many times. Each completion but the last is a slot of its own, which takes what the entry's slot has so
// far. The kernel goes on by itself where it can; elsewhere the entry is begun again after each.

namespace agentos {

void Lane::OnFlaggedResult(const SubmissionRing::Result& result) {
  if ((result.flags & IORING_CQE_F_NOTIF) != 0) return OnNotification(result);
  // Before anything else: whoever it was for, the kernel has given the buffer away.
  PooledBuffer buffer;
  if ((result.flags & IORING_CQE_F_BUFFER) != 0) {
    buffer = provided_.Take(static_cast<uint16_t>(result.flags >> IORING_CQE_BUFFER_SHIFT));
  }
  Slot* slot = slots_.Find(TokenOf(result.user_data));
  if (slot == nullptr || slot->progress.outstanding == 0) {
    ++counters_.stale;
    return;
  }
  if (IsZeroCopySend(*slot)) return OnZeroCopyResult(*slot, result);
  if (buffer) slot->buffer = std::move(buffer);
  const unsigned member = MemberOf(result.user_data);
  if ((result.flags & IORING_CQE_F_MORE) == 0) return OnStep(*slot, EndStep(context_, *slot, member, result.value));
  const StepResult step = EndStepAndGoOn(context_, *slot, member, result.value);
  // An error after which the kernel goes on all the same is worth a completion; what it would have made of the entry is not.
  slot->progress.phase = 0;
  if (step != StepResult::kMore && slot->progress.error == 0) return;
  const bool emitted = Emit(*slot);
  if (emitted && !slot->progress.pausing) return;
  if (slot->progress.state != SlotState::kAbandoned) CancelInKernel(*slot);
}

bool Lane::Emit(Slot& origin) {
  const bool abandoned = origin.progress.state == SlotState::kAbandoned;
  if (abandoned || !slots_.Reserve(1)) {
    // Nobody will read it.
    if (origin.entry.kind() == OperationKind::kAcceptMany && origin.progress.error == 0) close(static_cast<int>(origin.value));
    origin.value = 0;
    origin.data.Clear();
    origin.progress.error = abandoned ? 0 : ENOMEM;
    return abandoned;
  }
  Slot* result = slots_.Allocate();
  SyscallCompletionRing::MakeMore(origin, *result);
  ++counters_.multishot_completions;
  if (origin.entry.kind() == OperationKind::kRecvMany) counters_.bytes += static_cast<uint64_t>(result->value);
  BoundRing& ring = RingOf(origin);
  Place(ring, *result);
  // What came to a queue that is full already waits behind it, so nothing is lost; but no more than that shall come.
  if (ring.is_full()) origin.progress.pausing = true;
  return true;
}

void Lane::Pause(Slot& slot) {
  slot.progress.retries = 0;
  slot.progress.pausing = false;
  BoundRing& ring = RingOf(slot);
  if (!ring.is_full()) {
    slot.progress.place = SlotPlace::kNowhere;
    return ready_.push_back(&slot);
  }
  slot.progress.place = SlotPlace::kPaused;
  ring.paused.push_back(slot.token());
}

void Lane::LetGoOn(BoundRing& ring) {
  if (ring.is_full()) return;
  for (const SlotToken token : std::exchange(ring.paused, {})) {
    Slot* slot = slots_.Find(token);
    if (slot == nullptr || slot->ring != &ring || slot->progress.place != SlotPlace::kPaused) continue;
    slot->progress.place = SlotPlace::kNowhere;
    ready_.push_back(slot);
  }
  Drive();
}

}  // namespace agentos
