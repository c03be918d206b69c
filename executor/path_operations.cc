#include <fcntl.h>
#include <sys/stat.h>

#include <cstdint>
#include <utility>

#include "agentos/executor/operation_steps.h"

// Operations on names. The kernel reads the paths when it comes to execute them: they stay in the slot's entry until then.

namespace agentos::executor_internal {

StepResult FillStatx(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Statx>(slot);
  if (!slot.buffer) slot.buffer = context.buffers.Acquire(sizeof(struct statx));
  if (!slot.buffer) return Fail(slot, ENOMEM);
  sqe.fd = AT_FDCWD;
  sqe.addr = AddressOf(op.path.c_str());
  sqe.len = op.mask;
  sqe.off = AddressOf(slot.buffer.data());
  sqe.statx_flags = static_cast<uint32_t>(op.flags);
  return UseOpcode(context, slot, sqe, IORING_OP_STATX);
}

StepResult EndStatx(Slot& slot, int32_t result) {
  if (result < 0) {
    slot.buffer.Reset();
    return Fail(slot, -result);
  }
  slot.data = Bytes(std::move(slot.buffer), sizeof(struct statx));
  return StepResult::kDone;
}

StepResult FillRename(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Rename>(slot);
  sqe.fd = AT_FDCWD;
  sqe.addr = AddressOf(op.from.c_str());
  sqe.len = static_cast<uint32_t>(AT_FDCWD);
  sqe.addr2 = AddressOf(op.to.c_str());
  sqe.rename_flags = op.flags;
  return UseOpcode(context, slot, sqe, IORING_OP_RENAMEAT);
}

StepResult FillUnlink(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Unlink>(slot);
  sqe.fd = AT_FDCWD;
  sqe.addr = AddressOf(op.path.c_str());
  sqe.unlink_flags = static_cast<uint32_t>(op.flags);
  return UseOpcode(context, slot, sqe, IORING_OP_UNLINKAT);
}

StepResult FillMkdir(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Mkdir>(slot);
  sqe.fd = AT_FDCWD;
  sqe.addr = AddressOf(op.path.c_str());
  sqe.len = op.mode;
  return UseOpcode(context, slot, sqe, IORING_OP_MKDIRAT);
}

}  // namespace agentos::executor_internal
