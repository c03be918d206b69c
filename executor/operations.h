// What each operation asks of the kernel, step by step: the translation between slots and submission entries.
//
// BeginStep fills the submission entries of a slot's next step; EndStep hears the result of each and says how it goes on. Here
// and nowhere else -errno is interpreted, short transfers are continued, and EINTR and EAGAIN are kept from the caller.
//
// Thread rule: externally synchronised, as the kernel ring is.
// Errors: an errno lands in Slot::error; the step then answers kDone.
//
//   switch (BeginStep(context, slot)) { ... }
//   ...  // later, per result:
//   switch (EndStep(context, slot, MemberOf(user_data), value)) { ... }

#ifndef AGENTOS_EXECUTOR_OPERATIONS_H_
#define AGENTOS_EXECUTOR_OPERATIONS_H_

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "agentos/executor/provided_buffers.h"
#include "agentos/executor/result_buffers.h"
#include "agentos/executor/submission_ring.h"
#include "agentos/executor/zero_copy_policy.h"
#include "agentos/ring/slot.h"

namespace agentos {

enum class StepResult : uint8_t {
  // Results are still to come.
  kWaiting,
  // Ended: value, data, error and cancelled of the slot say how.
  kDone,
  // BeginStep wants to be called (again).
  kAgain,
  // The submission queue has no room: submit, then call BeginStep again.
  kNoRoom,
  // One completion of a multishot entry: value, data and error of the slot say what; then as kAgain, unless the kernel goes on by
  // itself.
  kMore,
  // The kernel cannot do it, a ReadFile because its chain does not fit this file: execute it as plain calls on a worker.
  kGeneral,
};

class OperationContext {
 public:
  OperationContext(SubmissionRing& ring, ResultBuffers& result_buffers, ProvidedBuffers& provided_buffers,
                   size_t zero_copy_send_from)
      : kernel(ring), buffers(result_buffers), provided(provided_buffers), zero_copy(zero_copy_send_from) {}

  SubmissionRing& kernel;
  ResultBuffers& buffers;
  ProvidedBuffers& provided;
  ZeroCopyPolicy zero_copy;

  // The descriptors of the rings themselves: an entry that names one (P16: a Close, a Read of the wake-up) is answered with
  // EBADF.
  void ProtectFds(std::vector<int> fds) {
    std::sort(fds.begin(), fds.end());
    first_own_fd_ = fds.front();
    own_fd_span_ = static_cast<unsigned>(fds.back() - fds.front());
    own_fds_ = std::move(fds);
  }
  bool IsOwnFd(int fd) const {
    if (static_cast<unsigned>(fd - first_own_fd_) > own_fd_span_) [[likely]] {
      return false;
    }
    return std::binary_search(own_fds_.begin(), own_fds_.end(), fd);
  }

 private:
  int first_own_fd_ = -1;
  unsigned own_fd_span_ = 0;
  std::vector<int> own_fds_;
};

// The most submission entries one step takes.
inline constexpr unsigned kMaxStepEntries = 4;

// How much of a file ReadFile's chain reads into its first buffer; a larger one takes the general path.
inline constexpr size_t kChainBufferSize = 65536;

// user_data as the kernel carries it: generation, slot index, and which member of the slot's step it is.
inline constexpr uint32_t kSlotIndexBits = 24;
inline constexpr uint32_t kNoSlotIndex = (1u << kSlotIndexBits) - 1;

inline uint64_t EncodeUserData(SlotToken token, unsigned member) {
  return (uint64_t{token.generation} << 32) | (uint64_t{token.index} << 8) | member;
}
// The result of a request to cancel the member.
inline constexpr unsigned kCancelFlag = 0x80;
// Results that name no slot: those nobody has to hear of, and that of the read which wakes a lane's leader.
inline constexpr unsigned kIgnoredMember = 0;
inline constexpr unsigned kWakeUpMember = 1;
inline uint64_t InternalUserData(unsigned member) { return EncodeUserData({kNoSlotIndex, 0}, member); }
inline SlotToken TokenOf(uint64_t user_data) {
  return {static_cast<uint32_t>(user_data >> 8) & kNoSlotIndex, static_cast<uint32_t>(user_data >> 32)};
}
inline unsigned MemberOf(uint64_t user_data) { return static_cast<unsigned>(user_data & 0xff); }

namespace executor_internal {

// One row per operation: how its submission entry is filled, and what a result means that is no error.
struct Steps {
  StepResult (*fill)(OperationContext& context, Slot& slot, io_uring_sqe& sqe);
  StepResult (*end)(Slot& slot, int32_t result);
};

// In the order of OperationKind. Empty rows are executed by a chain, a worker, a mailbox or inline.
extern const std::array<Steps, kOperationKinds> kSteps;

StepResult BeginUnusualStep(OperationContext& context, Slot& slot);
StepResult EndUnusualStep(OperationContext& context, Slot& slot, unsigned member, int32_t result);
void CallOff(Slot& slot, io_uring_sqe& sqe);
// Lets the entry name its file by its registration, if it has one.
StepResult UseFixedFile(OperationContext& context, Slot& slot, io_uring_sqe& sqe);

}  // namespace executor_internal

// Whether an Open may wait for somebody, as that of a FIFO does for its other end. io_uring's own first try opens with O_NONBLOCK
// and would not wait: such an Open is made slow, which gives it a thread of the kernel's. Like that first try this looks at what
// the kernel has in memory only: what is not there gets such a thread anyway.
bool OpenMayWait(const operation::Open& op);
void MakeSlowOpen(Slot& slot);
bool IsSlowOpen(const Slot& slot);

// Whether a ReadFile's chain has got hold of its file and may wait for ever: a FIFO, a terminal, a kernel log. Called when the
// chain has not ended at once.
bool MayWaitForEver(const Slot& slot);
// Gives such a chain up: once its members are cancelled, EndStep answers kGeneral.
void CallOffChain(Slot& slot);
bool IsCalledOff(const Slot& slot);
// Whether the slot's step is a Send without a copy.
bool IsZeroCopySend(const Slot& slot);
// Which member of the slot's step the kernel is at: those of a chain end one after the other.
inline unsigned RunningMember(const Slot& slot) {
  return slot.entry.kind() == OperationKind::kReadFile ? kMaxStepEntries - slot.progress.outstanding : 0;
}
// Whether this result says that a ReadFile's chain has opened its file.
bool HasOpenedFile(const Slot& slot, unsigned member, int32_t result);

inline StepResult BeginStep(OperationContext& context, Slot& slot) {
  const OperationKind kind = slot.entry.kind();
  if (slot.progress.phase != 0 || kind == OperationKind::kReadFile) [[unlikely]] {
    return executor_internal::BeginUnusualStep(context, slot);
  }
  io_uring_sqe* sqe = context.kernel.NextSqe();
  if (sqe == nullptr) return StepResult::kNoRoom;
  sqe->user_data = EncodeUserData(slot.token(), 0);
  slot.progress.outstanding = 1;
  StepResult filled = executor_internal::kSteps[static_cast<size_t>(kind)].fill(context, slot, *sqe);
  // A Socket's submission entry has its domain there.
  if (context.IsOwnFd(sqe->fd) && kind != OperationKind::kSocket) [[unlikely]] {
    slot.progress.error = EBADF;
    filled = StepResult::kDone;
  }
  if (context.kernel.MayBeFixedFile(sqe->fd) && filled == StepResult::kWaiting) [[unlikely]] {
    filled = executor_internal::UseFixedFile(context, slot, *sqe);
  }
  if (filled != StepResult::kWaiting) [[unlikely]] {
    executor_internal::CallOff(slot, *sqe);
  }
  return filled;
}

// Of a result after which the kernel goes on with the entry (IORING_CQE_F_MORE).
inline StepResult EndStepAndGoOn(OperationContext& context, Slot& slot, unsigned member, int32_t result) {
  const OperationKind kind = slot.entry.kind();
  if (result < 0 || slot.progress.phase != 0 || kind == OperationKind::kReadFile) [[unlikely]] {
    return executor_internal::EndUnusualStep(context, slot, member, result);
  }
  return executor_internal::kSteps[static_cast<size_t>(kind)].end(slot, result);
}

inline StepResult EndStep(OperationContext& context, Slot& slot, unsigned member, int32_t result) {
  --slot.progress.outstanding;
  return EndStepAndGoOn(context, slot, member, result);
}

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_OPERATIONS_H_
