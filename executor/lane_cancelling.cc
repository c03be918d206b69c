#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agentos/executor/lane.h"

// How a lane stops entries: each where it is, which SlotPlace says.

namespace agentos {

namespace {

// Whose mailbox an IpcSend or IpcRecv works on.
Pid MailboxOf(const SyscallSubmissionEntry& entry) {
  const auto* send = std::get_if<operation::IpcSend>(&entry.operation());
  return send == nullptr ? entry.pid() : send->target;
}

}  // namespace

void Lane::RequestCancel(Slot& slot) {
  slot.progress.cancel_requested = true;
  now_ns_ = MonotonicNanos();
  switch (slot.progress.place) {
    case SlotPlace::kNowhere:
      std::erase(ready_, &slot);
      break;
    case SlotPlace::kParked:
      RingOf(slot).positions.Withdraw(slot, ready_);
      break;
    case SlotPlace::kKernel:
      return CancelInKernel(slot);
    case SlotPlace::kWorker:
      if (!options_.workers->RemoveQueued(static_cast<FileJob*>(slot.job))) return;
      delete static_cast<FileJob*>(std::exchange(slot.job, nullptr));
      --jobs_under_way_;
      break;
    case SlotPlace::kMailbox:
      if (!options_.exchange->Withdraw({this, slot.token()}, MailboxOf(slot.entry), outbox_)) return;
      break;
  }
  slot.progress.cancelled = true;
  Finish(slot);
}

size_t Lane::RequestCancelAll(BoundRing& ring) {
  std::vector<Slot*> slots;
  for (Slot* slot = ring.queued().front(); slot != nullptr; slot = slot->next) slots.push_back(slot);
  for (Slot* slot = ring.in_flight().front(); slot != nullptr; slot = slot->next) slots.push_back(slot);
  for (Slot* slot : slots) RequestCancel(*slot);
  return slots.size();
}

void Lane::CancelInKernel(Slot& slot) {
  // Of a chain, whichever member has been started; the kernel answers ENOENT for the others.
  const unsigned members = slot.entry.kind() == OperationKind::kReadFile ? kMaxStepEntries - 1 : 1;
  for (unsigned member = 0; member < members; ++member) {
    io_uring_sqe* sqe = kernel_->NextSqe();
    if (sqe == nullptr) {
      Submit();
      sqe = kernel_->NextSqe();
    }
    if (sqe == nullptr) return;
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->fd = -1;
    sqe->addr = EncodeUserData(slot.token(), member);
    sqe->user_data = InternalUserData(kIgnoredMember);
  }
}

std::string Lane::Abandon(Slot& slot) {
  const int fd = FdOf(slot.entry.operation());
  std::string name = absl::StrCat(OperationName(slot.entry.kind()), fd >= 0 ? absl::StrCat("(fd ", fd, ")") : "", ", ",
                                  (MonotonicNanos() - slot.accepted_ns) / 1'000'000, " ms old");
  slot.ring->Abandon(&slot);
  return name;
}

}  // namespace agentos
