#include <poll.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>

#include "absl/time/time.h"
#include "agentos/executor/operation_steps.h"

// Poll and Sleep: operations that do nothing but wait. Neither takes a thread.

namespace agentos::executor_internal {

StepResult FillPollEntry(OperationContext& /*context*/, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Poll>(slot);
  sqe.opcode = IORING_OP_POLL_ADD;
  sqe.fd = op.fd;
  sqe.poll32_events = op.events;
  return StepResult::kWaiting;
}

StepResult EndPollEntry(Slot& slot, int32_t result) {
  if (result < 0) return Fail(slot, -result);
  // The kernel adds POLLRDHUP to what is asked for. To wait on when nothing else came would be to find it again and again.
  const int32_t asked = result & static_cast<int32_t>(As<operation::Poll>(slot).events | POLLERR | POLLHUP | POLLNVAL);
  slot.value = asked != 0 ? asked : result;
  return StepResult::kDone;
}

// By a moment and not by a length: should the kernel give it back and it is begun again, it is over when it would have been.
StepResult FillSleep(OperationContext& /*context*/, Slot& slot, io_uring_sqe& sqe) {
  if (slot.progress.retries == 0) {
    constexpr int64_t kSecond = 1'000'000'000;
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t now_ns = int64_t{now.tv_sec} * kSecond + now.tv_nsec;
    const absl::Duration duration = absl::Ceil(As<operation::Sleep>(slot).duration, absl::Nanoseconds(1));
    const int64_t most = std::numeric_limits<int64_t>::max() - now_ns;
    const int64_t until_ns = now_ns + std::min(absl::ToInt64Nanoseconds(duration), most);  // saturates
    slot.pause = {until_ns / kSecond, until_ns % kSecond};
  }
  sqe.opcode = IORING_OP_TIMEOUT;
  sqe.fd = -1;
  sqe.addr = AddressOf(&slot.pause);
  sqe.len = 1;
  sqe.timeout_flags = IORING_TIMEOUT_ABS;
  return StepResult::kWaiting;
}

StepResult EndSleep(Slot& slot, int32_t result) { return EndValue(slot, result == -ETIME ? 0 : result); }

}  // namespace agentos::executor_internal
