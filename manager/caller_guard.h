// Who may call a manager: not a forked child, and with Threading::kOneThread only the thread that made it.
//
// Thread rule: any thread. Costs a few loads: the process is recognised by a counter that fork raises in the child, not by
// getpid(2).
//
//   if (absl::Status status = guard.Check(); !status.ok()) return status;

#ifndef AGENTOS_MANAGER_CALLER_GUARD_H_
#define AGENTOS_MANAGER_CALLER_GUARD_H_

#include <cstdint>

#include "absl/status/status.h"
#include "agentos/executor/executor_info.h"

namespace agentos {

class CallerGuard {
 public:
  explicit CallerGuard(Threading threading);

  absl::Status Check() const {
    if (InForkedChild()) [[unlikely]] {
      return ForkedChild();
    }
    if (owner_ != nullptr && owner_ != ThisThread()) [[unlikely]] {
      return WrongThread();
    }
    return absl::OkStatus();
  }

  bool InForkedChild() const { return forks_ != Forks(); }
  bool IsForOneThread() const { return owner_ != nullptr; }

 private:
  // How often this process's ancestors, up to the library's first use, have forked.
  static uint64_t Forks();
  static const void* ThisThread();
  static absl::Status ForkedChild();
  static absl::Status WrongThread();

  const uint64_t forks_;
  // Null when every thread may call.
  const void* const owner_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_CALLER_GUARD_H_
