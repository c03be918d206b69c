// Whether this is still the process that made an object, or a forked child with a copy of it.
//
// The memory of a channel is shared with the peer and, after a fork, with the child as well: whatever the child's copy did, even
// when it is destroyed, would be done to the parent's.
//
// Thread rule: any thread. Costs two loads: fork raises a counter in the child.
//
//   if (guard.InForkedChild()) return absl::FailedPreconditionError("...");

#ifndef AGENTOS_IPC_FORK_GUARD_H_
#define AGENTOS_IPC_FORK_GUARD_H_

#include <atomic>
#include <cstdint>

namespace agentos {

class ForkGuard {
 public:
  ForkGuard();
  bool InForkedChild() const { return forks_ != Counter().load(std::memory_order_relaxed); }

 private:
  static std::atomic<uint64_t>& Counter() {
    static constinit std::atomic<uint64_t> counter{0};
    return counter;
  }

  const uint64_t forks_;
};

}  // namespace agentos

#endif  // AGENTOS_IPC_FORK_GUARD_H_
