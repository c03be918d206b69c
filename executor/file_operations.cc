#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "agentos/executor/confined_open.h"
#include "agentos/executor/operation_steps.h"

// Linux 6.18; the headers of older distributions do not name it.
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100
#endif

namespace agentos::executor_internal {

namespace {

// Where the kernel cannot be told to leave SIGPIPE out: a socket is written with send, a pipe by the kernel's own worker thread,
// whose signals reach nobody.
void AvoidSigpipe(int fd, io_uring_sqe& sqe) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return;
  if (S_ISSOCK(status.st_mode)) {
    sqe.opcode = IORING_OP_SEND;
    sqe.off = 0;
    sqe.msg_flags = MSG_NOSIGNAL;
  } else if (S_ISFIFO(status.st_mode)) {
    sqe.flags |= IOSQE_ASYNC;
  }
}

StepResult FillOpenBeneath(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  if (const int error = WhyNotConfined()) return Fail(slot, error);
  const auto& op = As<operation::Open>(slot);
  slot.how = ConfinedHow(op.flags | O_CLOEXEC, op.mode);
  sqe.opcode = IORING_OP_OPENAT2;
  sqe.fd = *op.beneath_fd;
  sqe.addr = AddressOf(op.path.c_str());
  sqe.len = sizeof(slot.how);
  sqe.off = AddressOf(&slot.how);
  const bool slow = slot.progress.phase == kPhaseSlowOpen;
  if (slow) sqe.flags |= IOSQE_ASYNC;
  if (context.kernel.Supports(IORING_OP_OPENAT2)) return StepResult::kWaiting;
  // Of the workers none may be lost to a wait that nothing ends.
  return slow ? Fail(slot, ENOSYS) : StepResult::kGeneral;
}

}  // namespace

StepResult FillNop(OperationContext& /*context*/, Slot& /*slot*/, io_uring_sqe& sqe) {
  sqe.opcode = IORING_OP_NOP;
  return StepResult::kWaiting;
}

StepResult FillRead(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Read>(slot);
  if (!slot.buffer) slot.buffer = context.buffers.Acquire(op.size);
  if (!slot.buffer) return Fail(slot, ENOMEM);
  PointAtBuffer(slot.buffer, sqe);
  sqe.fd = op.fd;
  sqe.addr = AddressOf(slot.buffer.data());
  sqe.len = static_cast<uint32_t>(op.size);
  sqe.off = static_cast<uint64_t>(op.offset);
  return StepResult::kWaiting;
}

StepResult FillReadInto(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  auto& op = std::get<operation::ReadInto>(slot.entry.operation());
  if (!slot.buffer) slot.buffer = std::move(op.buffer);
  sqe.opcode = IORING_OP_READ;
  sqe.fd = op.fd;
  sqe.addr = AddressOf(slot.buffer.data());
  sqe.len = static_cast<uint32_t>(op.size);
  sqe.off = static_cast<uint64_t>(op.offset);
  UseRegistration(context, slot.buffer.arena(), slot.buffer.data(), sqe, IORING_OP_READ_FIXED);
  return StepResult::kWaiting;
}

StepResult FillWrite(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Write>(slot);
  sqe.opcode = IORING_OP_WRITE;
  sqe.fd = op.fd;
  sqe.addr = AddressOf(op.data.data() + slot.value);
  sqe.len = static_cast<uint32_t>(op.data.size() - static_cast<size_t>(slot.value));
  sqe.off = static_cast<uint64_t>(op.offset == kCurrentPosition ? kCurrentPosition : op.offset + slot.value);
  if (context.kernel.has_nosignal_writes()) {
    sqe.rw_flags = RWF_NOSIGNAL;
  } else {
    AvoidSigpipe(op.fd, sqe);
  }
  if (op.data.arena() >= 0 && sqe.opcode == IORING_OP_WRITE) [[unlikely]] {
    UseRegistration(context, op.data.arena(), op.data.data(), sqe, IORING_OP_WRITE_FIXED);
  }
  return StepResult::kWaiting;
}

StepResult EndWrite(Slot& slot, int32_t result) { return Continue(slot, result, As<operation::Write>(slot).data.size()); }

StepResult FillOpen(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Open>(slot);
  if (op.beneath_fd.has_value()) return FillOpenBeneath(context, slot, sqe);
  sqe.opcode = IORING_OP_OPENAT;
  sqe.fd = AT_FDCWD;
  sqe.addr = AddressOf(op.path.c_str());
  sqe.len = op.mode;
  sqe.open_flags = static_cast<uint32_t>(op.flags | O_CLOEXEC);
  if (slot.progress.phase == kPhaseSlowOpen) sqe.flags |= IOSQE_ASYNC;
  return StepResult::kWaiting;
}

StepResult EndOpen(Slot& slot, int32_t result) {
  // A rename came between, and the kernel cannot say where the path would have led.
  if (result == -EAGAIN && As<operation::Open>(slot).beneath_fd.has_value() && slot.progress.retries < kMostConfinedTries) {
    ++slot.progress.retries;
    return StepResult::kAgain;
  }
  return EndValue(slot, result);
}

StepResult FillClose(OperationContext& /*context*/, Slot& slot, io_uring_sqe& sqe) {
  sqe.opcode = IORING_OP_CLOSE;
  sqe.fd = As<operation::Close>(slot).fd;
  return StepResult::kWaiting;
}

// Interrupted or not, the fd is closed: trying again could close somebody else's.
StepResult EndClose(Slot& slot, int32_t result) { return EndValue(slot, result == -EINTR ? 0 : result); }

StepResult FillFsync(OperationContext& /*context*/, Slot& slot, io_uring_sqe& sqe) {
  sqe.opcode = IORING_OP_FSYNC;
  sqe.fd = As<operation::Fsync>(slot).fd;
  return StepResult::kWaiting;
}

StepResult FillFallocate(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Fallocate>(slot);
  sqe.fd = op.fd;
  sqe.len = static_cast<uint32_t>(op.mode);
  sqe.off = static_cast<uint64_t>(op.offset);
  sqe.addr = static_cast<uint64_t>(op.size);
  return UseOpcode(context, slot, sqe, IORING_OP_FALLOCATE);
}

StepResult FillFtruncate(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Ftruncate>(slot);
  sqe.opcode = kOpFtruncate;
  sqe.fd = op.fd;
  sqe.off = static_cast<uint64_t>(op.size);
  // Never inline: it may wait for a device or a network.
  return context.kernel.Supports(kOpFtruncate) ? StepResult::kWaiting : StepResult::kGeneral;
}

// The kernel executes every splice on a thread of its own. One that waited for a pipe there would keep it, as long as the wait
// lasts, from others that could run: so it never waits, and what is not ready is waited for by a poll, which takes no thread and
// is cancelled at once. A blocking socket it writes to is the exception, which the flag does not concern.
StepResult FillSplice(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Splice>(slot);
  // The other one is where that of every operation is checked.
  if (context.IsOwnFd(op.from_fd)) return Fail(slot, EBADF);
  sqe.fd = op.to_fd;
  sqe.off = static_cast<uint64_t>(op.to_offset);
  sqe.splice_fd_in = op.from_fd;
  sqe.splice_off_in = static_cast<uint64_t>(op.from_offset);
  sqe.len = static_cast<uint32_t>(op.size);
  sqe.splice_flags = op.flags | SPLICE_F_NONBLOCK;
  return UseOpcode(context, slot, sqe, IORING_OP_SPLICE);
}

void FillSplicePoll(const Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Splice>(slot);
  pollfd from = {.fd = op.from_fd, .events = POLLIN, .revents = 0};
  const bool has_input = poll(&from, 1, /*timeout=*/0) > 0;
  sqe.opcode = IORING_OP_POLL_ADD;
  sqe.fd = has_input ? op.to_fd : op.from_fd;
  sqe.poll32_events = has_input ? POLLOUT : POLLIN;
}

}  // namespace agentos::executor_internal

namespace agentos {

bool OpenMayWait(const operation::Open& op) {
  // Those that never wait, and those that make a file of their own.
  constexpr int kNoQuestion = O_NONBLOCK | O_TMPFILE | O_DIRECTORY | O_PATH;
  if ((op.flags & kNoQuestion) != 0 || (op.flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return false;
  open_how how = {};
  how.flags = static_cast<uint64_t>(O_PATH | O_CLOEXEC | (op.flags & O_NOFOLLOW));
  how.resolve = RESOLVE_CACHED | (op.beneath_fd.has_value() ? RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS : 0);
  // EAGAIN also comes from a rename or a mount anywhere, and io_uring's own try, a moment later, would then find what this did
  // not.
  constexpr int kTries = 3;
  int fd = -1;
  for (int tries = 0; tries < kTries; ++tries) {
    fd = static_cast<int>(syscall(SYS_openat2, op.beneath_fd.value_or(AT_FDCWD), op.path.c_str(), &how, sizeof(how)));
    if (fd >= 0 || errno != EAGAIN) break;
  }
  // EAGAIN: not in memory. Others are errors that the open itself will meet, unless it is the question that is not possible.
  if (fd < 0) return errno == ENOSYS || errno == EPERM || errno == EINVAL || errno == EMFILE || errno == ENFILE;
  struct stat status;
  const bool may_wait = fstat(fd, &status) != 0 || !(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
  close(fd);
  return may_wait;
}

void MakeSlowOpen(Slot& slot) { slot.progress.phase = executor_internal::kPhaseSlowOpen; }

bool IsSlowOpen(const Slot& slot) {
  return slot.entry.kind() == OperationKind::kOpen && slot.progress.phase == executor_internal::kPhaseSlowOpen;
}

}  // namespace agentos
