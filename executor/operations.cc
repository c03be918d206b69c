#include "agentos/executor/operations.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "agentos/executor/operation_steps.h"
#include "agentos/ring/lent_memory.h"

namespace agentos {

using namespace executor_internal;  // The private half of this very component.

namespace {

// ERESTARTSYS and its relatives: how the kernel says EINTR to itself. The open of a FIFO that is cancelled lets one out.
constexpr int32_t kFirstRestart = 512;
constexpr int32_t kLastRestart = 516;

// How often a step is begun again that was interrupted or taken back, before its error goes to the caller.
constexpr uint8_t kMostRetries = 200;

// An fd that is ready and refuses all the same: a Unix datagram socket whose addressee is full, or a non-blocking Unix socket
// that connects to a full backlog. Linux has nothing to wait for there, so after a few tries there are pauses, longer each time.
constexpr int64_t kFirstPauseNs = 500'000;
constexpr uint8_t kMostDoublings = 6;

bool WaitsForOutput(OperationKind kind) {
  return kind == OperationKind::kWrite || kind == OperationKind::kSend || kind == OperationKind::kSendTo ||
         kind == OperationKind::kConnect;
}

// Whether the caller wants to hear EAGAIN.
bool MustNotWait(const Operation& operation) {
  if (const auto* op = std::get_if<operation::Send>(&operation)) return (op->flags & MSG_DONTWAIT) != 0;
  if (const auto* op = std::get_if<operation::Recv>(&operation)) return (op->flags & MSG_DONTWAIT) != 0;
  if (const auto* op = std::get_if<operation::RecvInto>(&operation)) return (op->flags & MSG_DONTWAIT) != 0;
  if (const auto* op = std::get_if<operation::SendTo>(&operation)) return (op->flags & MSG_DONTWAIT) != 0;
  if (const auto* op = std::get_if<operation::RecvFrom>(&operation)) return (op->flags & MSG_DONTWAIT) != 0;
  if (const auto* op = std::get_if<operation::Splice>(&operation)) return (op->flags & SPLICE_F_NONBLOCK) != 0;
  return false;
}

bool IsStream(int fd) {
  int type = 0;
  socklen_t size = sizeof(type);
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

void FillPoll(const Slot& slot, io_uring_sqe& sqe) {
  if (slot.entry.kind() == OperationKind::kSplice) return FillSplicePoll(slot, sqe);
  sqe.opcode = IORING_OP_POLL_ADD;
  sqe.fd = FdOf(slot.entry.operation());
  sqe.poll32_events = WaitsForOutput(slot.entry.kind()) ? POLLOUT : POLLIN;
}

void FillPause(Slot& slot, io_uring_sqe& sqe) {
  const uint8_t doublings = std::min<uint8_t>(slot.progress.retries - kTriesBeforePause, kMostDoublings);
  slot.pause = {0, kFirstPauseNs << doublings};
  sqe.opcode = IORING_OP_TIMEOUT;
  sqe.fd = -1;
  sqe.addr = AddressOf(&slot.pause);
  sqe.len = 1;
}

// Not ready: wait for it, however long that takes.
StepResult WaitUntilReady(Slot& slot) {
  if (slot.progress.retries < kMostRetries) ++slot.progress.retries;
  slot.progress.phase = slot.progress.retries <= kTriesBeforePause ? kPhasePoll : kPhasePause;
  return StepResult::kAgain;
}

StepResult Retry(Slot& slot, int error_number) {
  if (slot.progress.retries >= kMostRetries) return Fail(slot, error_number);
  ++slot.progress.retries;
  return StepResult::kAgain;
}

// A result that says nothing about the operation yet.
StepResult EndTransient(Slot& slot, int error_number) {
  switch (error_number) {
    case EINTR:
      return Retry(slot, EINTR);
    case ECANCELED:
      // Nobody asked: the thread that submitted it has ended and the kernel took
      // its work back.
      return Retry(slot, ECANCELED);
    default:
      if (MustNotWait(slot.entry.operation())) {
        // What a non-blocking call has moved before it would wait is its result.
        return slot.value > 0 ? StepResult::kDone : Fail(slot, error_number);
      }
      if (slot.entry.kind() == OperationKind::kSend && slot.progress.phase == kPhaseCall &&
          IsStream(FdOf(slot.entry.operation()))) {
        slot.progress.phase = kPhaseWholeSend;
        return Retry(slot, error_number);
      }
      return WaitUntilReady(slot);
  }
}

bool IsTransient(const Slot& slot, int error_number) {
  switch (error_number) {
    case EAGAIN:
      return FdOf(slot.entry.operation()) >= 0;
    case EINTR:
      // close(2) has closed the fd all the same, and a connection goes on being made.
      return slot.entry.kind() != OperationKind::kClose && slot.entry.kind() != OperationKind::kConnect;
    case EALREADY:
      // The socket is being connected for another entry, or for one that was cancelled. A call that blocks waits for that.
      return slot.entry.kind() == OperationKind::kConnect;
    case ECANCELED:
      return true;
    default:
      return false;
  }
}

}  // namespace

bool IsZeroCopySend(const Slot& slot) {
  return slot.entry.kind() == OperationKind::kSend && slot.progress.phase == kPhaseZeroCopySend;
}

namespace executor_internal {

const std::array<Steps, kOperationKinds> kSteps = {{
    {},
    {FillNop, EndValue},
    {},
    {},
    {FillOpen, EndOpen},
    {FillClose, EndClose},
    {FillRead, EndRead},
    {FillWrite, EndWrite},
    {FillFsync, EndValue},
    {},
    {FillSend, EndSend},
    {FillRecv, EndRead},
    {FillAccept, EndAccept},
    {FillConnect, EndConnect},
    {FillSendTo, EndSendTo},
    {FillRecvFrom, EndRecvFrom},
    {},
    {},
    {FillStatx, EndStatx},
    {FillRename, EndValue},
    {FillUnlink, EndValue},
    {FillMkdir, EndValue},
    {FillFallocate, EndValue},
    {FillFtruncate, EndValue},
    {FillSplice, EndValue},
    {FillSocket, EndValue},
    {FillShutdown, EndValue},
    {FillPollEntry, EndPollEntry},
    {FillSleep, EndSleep},
    {FillReadInto, EndRead},
    {FillRecvInto, EndRead},
    {FillAcceptMany, EndAcceptMany},
    {FillRecvMany, EndRecvMany},
    {},
}};

// A Close would leave the registration behind; the others name no file there, or have a way of their own to do it.
StepResult UseFixedFile(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  static constexpr OperationKinds kWithFile = {OperationKind::kRead,      OperationKind::kReadInto,   OperationKind::kWrite,
                                               OperationKind::kFsync,     OperationKind::kSend,       OperationKind::kRecv,
                                               OperationKind::kRecvInto,  OperationKind::kSendTo,     OperationKind::kRecvFrom,
                                               OperationKind::kAccept,    OperationKind::kAcceptMany, OperationKind::kRecvMany,
                                               OperationKind::kConnect,   OperationKind::kShutdown,   OperationKind::kFallocate,
                                               OperationKind::kFtruncate, OperationKind::kSplice,     OperationKind::kPoll};
  const int place = context.kernel.FixedFileOf(sqe.fd);
  if (place < 0) return StepResult::kWaiting;
  if (slot.entry.kind() == OperationKind::kClose) return Fail(slot, EBADF);
  if (!kWithFile.Has(slot.entry.kind())) return StepResult::kWaiting;
  sqe.fd = place;
  sqe.flags |= IOSQE_FIXED_FILE;
  return StepResult::kWaiting;
}

namespace {

void FillUnusual(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  switch (slot.progress.phase) {
    case kPhaseWholeSend:
      FillSend(context, slot, sqe);
      break;
    case kPhasePause:
      return FillPause(slot, sqe);
    default:
      FillPoll(slot, sqe);
      break;
  }
  if (context.kernel.MayBeFixedFile(sqe.fd)) UseFixedFile(context, slot, sqe);
}

}  // namespace

StepResult BeginUnusualStep(OperationContext& context, Slot& slot) {
  if (slot.entry.kind() == OperationKind::kReadFile) return BeginReadFileChain(context, slot);
  io_uring_sqe* sqe = context.kernel.NextSqe();
  if (sqe == nullptr) return StepResult::kNoRoom;
  sqe->user_data = EncodeUserData(slot.token(), 0);
  slot.progress.outstanding = 1;
  if (slot.progress.phase == kPhaseSlowOpen) {
    const StepResult filled = FillOpen(context, slot, *sqe);
    if (filled != StepResult::kWaiting) CallOff(slot, *sqe);
    return filled;
  }
  FillUnusual(context, slot, *sqe);
  return StepResult::kWaiting;
}

StepResult EndZeroCopySend(OperationContext& context, Slot& slot, int32_t result) {
  slot.progress.phase = kPhaseCall;
  switch (-result) {
    // Not on this socket, not with this kernel, or not with so little memory to be locked.
    case EOPNOTSUPP:
    case EINVAL:
    case ENOMEM:
    case ENOBUFS:
    case EPERM:
      if (!slot.progress.lent) context.zero_copy.Report(/*copied=*/true);
      slot.progress.retries = 1;
      return StepResult::kAgain;
    default:
      if (!slot.progress.lent) context.zero_copy.Forget();
      return EndUnusualStep(context, slot, 0, result);
  }
}

void CallOff(Slot& slot, io_uring_sqe& sqe) {
  // The entry is taken already: let it do nothing, and let its result find no slot.
  sqe = io_uring_sqe{};
  sqe.opcode = IORING_OP_NOP;
  sqe.user_data = InternalUserData(kIgnoredMember);
  slot.progress.outstanding = 0;
}

StepResult EndUnusualStep(OperationContext& context, Slot& slot, unsigned member, int32_t result) {
  const OperationKind kind = slot.entry.kind();
  if (result <= -kFirstRestart && result >= -kLastRestart) result = -EINTR;
  if (kind == OperationKind::kReadFile) return EndReadFileChain(context, slot, member, result);
  if (slot.progress.phase == kPhaseZeroCopySend) return EndZeroCopySend(context, slot, result);
  if (result < 0) {
    if (slot.progress.cancel_requested && (result == -ECANCELED || result == -EINTR)) {
      slot.progress.cancelled = true;
      return StepResult::kDone;
    }
    if (kind == OperationKind::kRecvMany && result == -ENOBUFS && context.provided.Ready()) {
      // More than all buffers were filled since the last look; or the network has no memory.
      return context.provided.Grow() ? Retry(slot, ENOBUFS) : Fail(slot, ENOMEM);
    }
    if (IsTransient(slot, -result)) return EndTransient(slot, -result);
  }
  if (slot.progress.phase == kPhasePoll || slot.progress.phase == kPhasePause) {
    if (result < 0 && result != -ETIME) return Fail(slot, -result);
    slot.progress.phase = kPhaseCall;
    return StepResult::kAgain;
  }
  return kSteps[static_cast<size_t>(kind)].end(slot, result);
}

StepResult Continue(Slot& slot, int32_t result, size_t size) {
  if (result < 0) return Fail(slot, -result);
  slot.value += result;
  if (static_cast<size_t>(slot.value) >= size) return StepResult::kDone;
  if (result == 0) return Fail(slot, EIO);
  slot.progress.retries = 0;
  return StepResult::kAgain;
}

StepResult EndValue(Slot& slot, int32_t result) {
  if (result < 0) return Fail(slot, -result);
  slot.value = result;
  return StepResult::kDone;
}

StepResult PauseBeforeNext(Slot& slot) {
  if (slot.progress.retries < kMostRetries) ++slot.progress.retries;
  slot.progress.retries = std::max(slot.progress.retries, kTriesBeforePause);
  slot.progress.phase = kPhasePause;
  return StepResult::kMore;
}

StepResult EndRead(Slot& slot, int32_t result) {
  if (result < 0) {
    slot.buffer.Reset();
    return Fail(slot, -result);
  }
  slot.value = result;
  if (slot.buffer.is_lent()) [[unlikely]] {
    slot.data = FilledBytes(std::move(slot.buffer), static_cast<size_t>(result));
    return StepResult::kDone;
  }
  slot.data = Bytes(std::move(slot.buffer), static_cast<size_t>(result));
  return StepResult::kDone;
}

}  // namespace executor_internal
}  // namespace agentos
