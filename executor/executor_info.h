// Which executor runs, and why; which threads may use it.
//
// Thread rule: plain values.

#ifndef AGENTOS_EXECUTOR_EXECUTOR_INFO_H_
#define AGENTOS_EXECUTOR_EXECUTOR_INFO_H_

#include <cstdint>
#include <string>

namespace agentos {

enum class ExecutorKind : uint8_t {
  // What the probe finds to work.
  kAuto,
  kIoUring,
  kThreadPool,
  // Not to be asked for: IoUringManagerOptions::submission_rings are used.
  kCustom,
};

enum class Threading : uint8_t {
  // Every method from any thread.
  kAnyThread,
  // Only the thread that made the manager calls it; any other is refused with FailedPrecondition. In exchange the kernel's
  // single-issuer fast paths are used (IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_DEFER_TASKRUN, a registered ring fd).
  kOneThread,
};

struct ExecutorInfo {
  ExecutorKind kind = ExecutorKind::kAuto;
  // "io_uring", "threads" or "custom".
  std::string name;
  // One sentence a person understands.
  std::string reason;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_EXECUTOR_INFO_H_
