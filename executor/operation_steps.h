// The families of operations behind operations.h, one file each. Private to executor/.
//
// A Fill writes the submission entry of the slot's step, an End takes its result; operations.cc has the table of them.

#ifndef AGENTOS_EXECUTOR_OPERATION_STEPS_H_
#define AGENTOS_EXECUTOR_OPERATION_STEPS_H_

#include <cerrno>
#include <cstdint>

#include "agentos/executor/operations.h"

namespace agentos::executor_internal {

// The steps that the simple operations know.
enum Phase : uint8_t {
  kPhaseCall = 0,
  // The fd was not ready: wait until it is, then call again.
  kPhasePoll = 1,
  // Connect only: wait until the connection stands or has failed.
  kPhaseConnecting = 2,
  // The fd says that it is ready and still refuses: there is nothing to wait for but time.
  kPhasePause = 3,
  // Send only: the stream was full once, so the kernel may wait for it.
  kPhaseWholeSend = 4,
  // ReadFile only: its chain waits for somebody and is being cancelled; plain calls tell what the file is.
  kPhaseCalledOff = 5,
  // Open only: it may wait for somebody, so the kernel must not try it without a thread of its own.
  kPhaseSlowOpen = 6,
  // Send only: the kernel tries it without a copy.
  kPhaseZeroCopySend = 7,
};

// The members of ReadFile's chain.
enum ChainMember : unsigned { kChainOpen = 0, kChainRead = 1, kChainReadEnd = 2, kChainClose = 3 };

// Linux 6.9; the headers of older distributions do not name it.
inline constexpr uint8_t kOpFtruncate = 55;

inline uint64_t AddressOf(const void* memory) { return reinterpret_cast<uintptr_t>(memory); }

inline StepResult Fail(Slot& slot, int error_number) {
  slot.progress.error = error_number;
  return StepResult::kDone;
}

// A read into this buffer of the lane's own, by the registration where it has one.
inline void PointAtBuffer(const PooledBuffer& buffer, io_uring_sqe& sqe) {
  sqe.opcode = buffer.arena() < 0 ? IORING_OP_READ : IORING_OP_READ_FIXED;
  sqe.buf_index = static_cast<uint16_t>(buffer.arena() < 0 ? 0 : buffer.arena());
}

// What a transfer to or from memory of the caller's is told of it: its registration, if it is one with this very ring.
inline bool UseRegistration(OperationContext& context, int arena, const char* data, io_uring_sqe& sqe, uint8_t opcode) {
  if (arena < 0 || !context.kernel.HasRegistered(arena, data)) return false;
  sqe.opcode = opcode;
  sqe.buf_index = static_cast<uint16_t>(arena);
  return true;
}

// For opcodes that came to io_uring late: where there is none, the operation is ENOSYS, as a system call of an older kernel.
inline StepResult UseOpcode(OperationContext& context, Slot& slot, io_uring_sqe& sqe, uint8_t opcode) {
  if (!context.kernel.Supports(opcode)) return Fail(slot, ENOSYS);
  sqe.opcode = opcode;
  return StepResult::kWaiting;
}

template <typename Op>
const Op& As(const Slot& slot) {
  return *std::get_if<Op>(&slot.entry.operation());
}

// Ends of more than one operation. The first hands the result on as value(); the second hands over what was read or received; the
// third adds what was written or sent and goes on until `size` has been reached.
StepResult EndValue(Slot& slot, int32_t result);
// Of a multishot operation: the slot's error is worth a completion, and the next try is after a pause, longer each time.
StepResult PauseBeforeNext(Slot& slot);
inline constexpr uint8_t kTriesBeforePause = 2;
StepResult EndRead(Slot& slot, int32_t result);
StepResult Continue(Slot& slot, int32_t result, size_t size);

// file_operations.cc
StepResult FillNop(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillRead(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillReadInto(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillWrite(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillOpen(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillClose(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillFsync(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult EndOpen(Slot& slot, int32_t result);
StepResult EndWrite(Slot& slot, int32_t result);
StepResult EndClose(Slot& slot, int32_t result);
StepResult FillFallocate(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillFtruncate(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillSplice(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
// Waits for that end of a Splice which is not ready.
void FillSplicePoll(const Slot& slot, io_uring_sqe& sqe);

// path_operations.cc
StepResult FillStatx(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillRename(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillUnlink(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillMkdir(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult EndStatx(Slot& slot, int32_t result);

// socket_operations.cc
StepResult FillSend(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillRecv(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillRecvInto(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillAccept(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillAcceptMany(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillRecvMany(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillConnect(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillSendTo(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillRecvFrom(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillSocket(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillShutdown(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult EndSend(Slot& slot, int32_t result);
StepResult EndSendTo(Slot& slot, int32_t result);
StepResult EndAccept(Slot& slot, int32_t result);
StepResult EndAcceptMany(Slot& slot, int32_t result);
StepResult EndRecvMany(Slot& slot, int32_t result);
StepResult EndConnect(Slot& slot, int32_t result);
StepResult EndRecvFrom(Slot& slot, int32_t result);

// waiting_operations.cc
StepResult FillPollEntry(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult FillSleep(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
StepResult EndPollEntry(Slot& slot, int32_t result);
StepResult EndSleep(Slot& slot, int32_t result);

// ReadFile as a chain: open into a direct descriptor, read, read again to see the end, close.
StepResult BeginReadFileChain(OperationContext& context, Slot& slot);
StepResult EndReadFileChain(OperationContext& context, Slot& slot, unsigned member, int32_t result);

}  // namespace agentos::executor_internal

#endif  // AGENTOS_EXECUTOR_OPERATION_STEPS_H_
