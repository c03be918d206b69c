#include <linux/time_types.h>

#include <cerrno>
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
    case SlotPlace::kLinked:
    case SlotPlace::kBehindDrain:
    case SlotPlace::kPaused:
    case SlotPlace::kBacklog:
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

size_t Lane::RequestCancelAll(BoundRing& ring, int fd) {
  // Those that have not started first, so that nothing starts because another one ends.
  std::vector<SlotToken> tokens;
  const auto add = [&](const Slot* slot) {
    if (fd == kEveryFd || WorksOn(slot->entry.operation(), fd)) tokens.push_back(slot->token());
  };
  ring.ForEachWaiting(add);
  for (Slot* slot = ring.in_flight().front(); slot != nullptr; slot = slot->next) add(slot);
  for (const SlotToken token : tokens) {
    // It may have ended with one that was cancelled before it.
    Slot* slot = slots_.Find(token);
    if (slot == nullptr || (slot->progress.state != SlotState::kQueued && slot->progress.state != SlotState::kInKernel)) continue;
    RequestCancel(*slot);
  }
  return tokens.size();
}

io_uring_sqe* Lane::NextInternalSqe(unsigned needed) {
  if (kernel_->SpaceLeft() < needed) Submit();
  return kernel_->SpaceLeft() < needed ? nullptr : kernel_->NextSqe();
}

void Lane::CancelInKernel(Slot& slot, bool after_pause) {
  static const __kernel_timespec pause = {.tv_sec = 0, .tv_nsec = 200'000};
  io_uring_sqe* sqe = NextInternalSqe(after_pause ? 2 : 1);
  if (sqe == nullptr) {
    not_cancelled_.push_back(slot.token());
    return;
  }
  if (after_pause) {
    sqe->opcode = IORING_OP_TIMEOUT;
    sqe->fd = -1;
    sqe->addr = reinterpret_cast<uintptr_t>(&pause);
    sqe->len = 1;
    sqe->flags = IOSQE_IO_HARDLINK;
    sqe->user_data = InternalUserData(kIgnoredMember);
    sqe = kernel_->NextSqe();
  }
  const unsigned member = RunningMember(slot);
  sqe->opcode = IORING_OP_ASYNC_CANCEL;
  sqe->fd = -1;
  sqe->addr = EncodeUserData(slot.token(), member);
  sqe->user_data = EncodeUserData(slot.token(), kCancelFlag | member);
}

void Lane::OnCancelResult(SlotToken token, unsigned member, int32_t result) {
  Slot* slot = slots_.Find(token);
  if (result != -ENOENT || slot == nullptr || slot->progress.outstanding == 0 || RunningMember(*slot) != member) return;
  // It has not ended, and the kernel did not find it: it is on its way from one place to the next (the following member of a
  // chain, a poll that fired) and may yet come to wait.
  CancelInKernel(*slot, /*after_pause=*/true);
}

void Lane::CancelTheRest() {
  for (const SlotToken token : std::exchange(not_cancelled_, {})) {
    Slot* slot = slots_.Find(token);
    if (slot != nullptr && slot->progress.outstanding > 0) CancelInKernel(*slot);
  }
}

// Chains that opened their file and did not come to their end with it. True: some were called off, there is something to submit.
bool Lane::CallOffStuckChains() {
  bool any = false;
  for (const SlotToken token : std::exchange(opened_chains_, {})) {
    Slot* slot = slots_.Find(token);
    if (slot == nullptr || slot->progress.outstanding == 0 || !MayWaitForEver(*slot)) continue;
    CallOffChain(*slot);
    CancelInKernel(*slot);
    any = true;
  }
  return any;
}

std::string Lane::Abandon(Slot& slot) {
  const int fd = FdOf(slot.entry.operation());
  std::string name = absl::StrCat(OperationName(slot.entry.kind()), fd >= 0 ? absl::StrCat("(fd ", fd, ")") : "", ", ",
                                  (MonotonicNanos() - slot.accepted_ns) / 1'000'000, " ms old");
  slot.ring->Abandon(&slot);
  return name;
}

}  // namespace agentos
