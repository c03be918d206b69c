#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "agentos/executor/operation_steps.h"
#include "agentos/ring/completion_ring.h"

// ReadFile inside the kernel: four submission entries, one kernel entry for many files.
//
//   OPENAT into a direct descriptor --soft link--> READ --hard link--> READ --hard link--> CLOSE of the descriptor
//
// The links after the first are hard because a read that is short of its buffer, as that of every small file is, breaks a soft
// one. The second read is there to see the end: a short first read means the end on a disk file, but not on one of /proc (P12),
// and nothing but a read that gives 0 tells the two apart. It costs 0.14 us of 2.7 (docs/execution-model.md). Whatever does not
// end within the first buffer is read anew as plain calls on a worker, which knows no such limits.
//
// O_NONBLOCK keeps the open from waiting, but not the reads: of a file that can be polled io_uring waits for data, however it was
// opened. A chain that has its file and does not end at once is therefore looked at (MayWaitForEver) and called off when what it
// waits for may never come.
//
// Without direct descriptors the same is done by plain calls that cannot wait.

namespace agentos::executor_internal {

namespace {

// The part of the buffer behind the first read: where the second one puts what, in a small file, is not there.
constexpr size_t kEndProbeSize = 4096;
constexpr size_t kFirstReadSize = kChainBufferSize - kEndProbeSize;

void FillChainRead(Slot& slot, io_uring_sqe& sqe, char* to, size_t size) {
  PointAtBuffer(slot.buffer, sqe);
  sqe.fd = slot.direct_file;
  sqe.addr = AddressOf(to);
  sqe.len = static_cast<uint32_t>(size);
  sqe.off = static_cast<uint64_t>(kCurrentPosition);
  sqe.flags = IOSQE_FIXED_FILE | IOSQE_IO_HARDLINK;
}

StepResult Conclude(Slot& slot, size_t max_file_size) {
  const auto& results = slot.chain_results;
  if (slot.progress.cancel_requested && (results[kChainReadEnd] == -ECANCELED || results[kChainReadEnd] == -EINTR)) {
    slot.progress.cancelled = true;
    return StepResult::kDone;
  }
  if (results[kChainOpen] < 0) {
    // What the name says about the file is final; everything else may be the chain's own trouble, and plain calls tell.
    const bool final = results[kChainOpen] == -ENOENT || results[kChainOpen] == -EACCES || results[kChainOpen] == -ENOTDIR ||
                       results[kChainOpen] == -ELOOP || results[kChainOpen] == -ENAMETOOLONG;
    return final ? Fail(slot, -results[kChainOpen]) : StepResult::kGeneral;
  }
  if (results[kChainRead] == -EISDIR) return Fail(slot, EISDIR);
  if (results[kChainRead] < 0 || results[kChainReadEnd] != 0) return StepResult::kGeneral;
  if (static_cast<size_t>(results[kChainRead]) > max_file_size) return Fail(slot, EFBIG);
  return EndRead(slot, results[kChainRead]);
}

// Where there are no direct descriptors, as without io_uring: plain calls that cannot wait, for files that are in memory. All
// others are a worker's.
StepResult ReadWhatIsInMemory(OperationContext& context, Slot& slot) {
  open_how how = {};
  how.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  how.resolve = RESOLVE_CACHED;
  const char* path = std::get<operation::ReadFile>(slot.entry.operation()).path.c_str();
  const auto fd = static_cast<int>(syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how)));
  if (fd < 0) {
    const bool final = errno == ENOENT || errno == EACCES || errno == ENOTDIR || errno == ELOOP || errno == ENAMETOOLONG;
    return final ? Fail(slot, errno) : StepResult::kGeneral;
  }
  if (!slot.buffer) slot.buffer = context.buffers.Acquire(kChainBufferSize);
  const auto read = [&](char* to, size_t size) {
    const iovec vector = {to, size};
    return preadv2(fd, &vector, 1, kCurrentPosition, RWF_NOWAIT);
  };
  // As the chain: a second read is there to see the end.
  const ssize_t size = slot.buffer ? read(slot.buffer.data(), kFirstReadSize) : -1;
  const bool whole = size >= 0 && read(slot.buffer.data() + size, kEndProbeSize) == 0;
  close(fd);
  if (!whole) {
    slot.buffer.Reset();
    return StepResult::kGeneral;
  }
  if (static_cast<size_t>(size) > slot.ring->options().max_file_size) {
    slot.buffer.Reset();
    return Fail(slot, EFBIG);
  }
  return EndRead(slot, static_cast<int32_t>(size));
}

}  // namespace

StepResult BeginReadFileChain(OperationContext& context, Slot& slot) {
  if (context.kernel.SpaceLeft() < kMaxStepEntries) return StepResult::kNoRoom;
  slot.direct_file = context.kernel.TakeDirectFile();
  if (slot.direct_file < 0) return ReadWhatIsInMemory(context, slot);
  if (!slot.buffer) slot.buffer = context.buffers.Acquire(kChainBufferSize);
  if (!slot.buffer) {
    context.kernel.GiveDirectFile(slot.direct_file);
    return Fail(slot, ENOMEM);
  }
  io_uring_sqe* members[kMaxStepEntries];
  for (unsigned i = 0; i < kMaxStepEntries; ++i) members[i] = context.kernel.NextSqe();

  io_uring_sqe& open = *members[kChainOpen];
  open.opcode = IORING_OP_OPENAT;
  open.fd = AT_FDCWD;
  open.addr = AddressOf(std::get<operation::ReadFile>(slot.entry.operation()).path.c_str());
  // Non-blocking, so that the open of a FIFO does not wait for its other end. A direct descriptor is not in the table of the
  // process: O_CLOEXEC would be refused.
  open.open_flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;
  open.file_index = static_cast<uint32_t>(slot.direct_file) + 1;
  open.flags = IOSQE_IO_LINK;

  FillChainRead(slot, *members[kChainRead], slot.buffer.data(), kFirstReadSize);
  FillChainRead(slot, *members[kChainReadEnd], slot.buffer.data() + kFirstReadSize, kEndProbeSize);

  io_uring_sqe& close = *members[kChainClose];
  close.opcode = IORING_OP_CLOSE;
  close.file_index = static_cast<uint32_t>(slot.direct_file) + 1;

  for (unsigned i = 0; i < kMaxStepEntries; ++i) members[i]->user_data = EncodeUserData(slot.token(), i);
  slot.progress.outstanding = kMaxStepEntries;
  return StepResult::kWaiting;
}

StepResult EndReadFileChain(OperationContext& context, Slot& slot, unsigned member, int32_t result) {
  slot.chain_results[member] = result;
  if (slot.progress.outstanding > 0) return StepResult::kWaiting;
  context.kernel.GiveDirectFile(slot.direct_file);
  // An abandoned entry has no ring and no reader.
  const StepResult step = Conclude(slot, slot.ring == nullptr ? 0 : slot.ring->options().max_file_size);
  if (step != StepResult::kDone || slot.progress.error != 0 || slot.progress.cancelled) slot.buffer.Reset();
  return step;
}

}  // namespace agentos::executor_internal

namespace agentos {

using namespace executor_internal;  // The private half of this very component.

bool HasOpenedFile(const Slot& slot, unsigned member, int32_t result) {
  return slot.entry.kind() == OperationKind::kReadFile && member == kChainOpen && result >= 0;
}

bool MayWaitForEver(const Slot& slot) {
  if (slot.entry.kind() != OperationKind::kReadFile || slot.progress.phase == kPhaseCalledOff) return false;
  // By name, because a direct descriptor cannot be asked. What the kernel has in memory is enough: nothing is asked of a server.
  struct statx status;
  const char* path = std::get<operation::ReadFile>(slot.entry.operation()).path.c_str();
  if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_SIZE, &status) != 0) return true;
  // Regular files with content come from a device, which answers. Those of /proc that say size 0 may wait for an event.
  return !S_ISREG(status.stx_mode) || status.stx_size == 0;
}

void CallOffChain(Slot& slot) { slot.progress.phase = kPhaseCalledOff; }

bool IsCalledOff(const Slot& slot) {
  return slot.entry.kind() == OperationKind::kReadFile && slot.progress.phase == kPhaseCalledOff;
}

}  // namespace agentos
