// The moments between which a process can die, by name, so that a test can have it die exactly there.
//
// Thread rule: SetStepHook before any channel is used; the hook is called on the thread that makes the step.
// Cost: a load and a branch.
//
//   SetStepHook(+[](Step step) { if (step == Step::kSentMarked) raise(SIGKILL); });

#ifndef AGENTOS_IPC_STEPS_H_
#define AGENTOS_IPC_STEPS_H_

#include <atomic>
#include <cstddef>

namespace agentos {

enum class Step {
  kHelloSent,
  kVerdictSent,
  // The sender, in order.
  kLoanMarked,
  kSentMarked,
  kDescriptorWritten,
  kPublished,
  kReceiverWoken,
  // The receiver.
  kHeldMarked,
  kSlotConsumed,
  kReturnedMarked,
  kReturnPushed,
  // The sender again.
  kReturnPopped,
  kFreeMarked,
};
inline constexpr size_t kSteps = 13;

using StepHook = void (*)(Step);

namespace ipc_internal {
inline std::atomic<StepHook> step_hook{nullptr};
}  // namespace ipc_internal

inline void SetStepHook(StepHook hook) { ipc_internal::step_hook.store(hook, std::memory_order_relaxed); }

inline void AtStep(Step step) {
  if (const StepHook hook = ipc_internal::step_hook.load(std::memory_order_relaxed); hook != nullptr) [[unlikely]] {
    hook(step);
  }
}

}  // namespace agentos

#endif  // AGENTOS_IPC_STEPS_H_
