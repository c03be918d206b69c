// Decides where a ReadFile is executed: as a chain inside the kernel, or as plain calls on a worker.
//
// What was measured (docs/execution-model.md): on a disk file system a chain of a cached file runs to its end inside the caller's
// own kernel entry and is as fast as plain calls; half of a large batch on the workers then uses the second core. On tmpfs the
// kernel hands chains over to threads of its own, which costs twice the plain calls: there the workers are better. A single file
// is never worth the 50 us of waking a worker.
//
// So the policy watches two things: whether chains come back within the kernel entry that submitted them, and how long a worker
// takes for a file. Files that make workers wait for a device belong into the kernel, which can wait for many at once.
//
// Thread rule: externally synchronised. Pure policy: no clock, no kernel; tests drive it by its inputs.
//
//   if (router.UseWorker(reads_under_way, backlog)) ...
//   router.OnChainEnd(at_once);
//   router.OnJobEnd(duration_ns);

#ifndef AGENTOS_EXECUTOR_WHOLE_FILE_ROUTER_H_
#define AGENTOS_EXECUTOR_WHOLE_FILE_ROUTER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace agentos {

class WholeFileRouter {
 public:
  // Up to so many ReadFiles under way stay in the kernel.
  static constexpr size_t kFew = 4;
  // A job that takes longer waited for a device.
  static constexpr int64_t kSlowJobNs = 30'000;
  // How many jobs may wait for `threads` workers when they are quick.
  static constexpr size_t kQuickBacklog = 256;
  // When workers are better, one in so many files is tried as a chain again: the next directory may be on another file system. A
  // chain that is handed over costs as much as ten files, so each try in vain makes the next one rarer.
  static constexpr uint32_t kFirstTryAfter = 64;
  static constexpr uint32_t kLastTryAfter = 4096;

  // `threads` is 0 where there is no second processor to gain from.
  explicit WholeFileRouter(size_t threads) : threads_(threads) {}

  // `under_way` counts the lane's ReadFiles, `backlog` the jobs that no worker has taken yet.
  bool UseWorker(size_t under_way, size_t backlog) {
    if (threads_ == 0 || under_way < kFew) return false;
    const size_t most = job_ns_ > kSlowJobNs ? threads_ : kQuickBacklog;
    if (backlog >= most) return false;
    if (!chains_handed_over()) return (++turn_ & 1) == 0;
    if (++turn_ < try_after_) return true;
    turn_ = 0;
    return false;
  }

  // A chain has ended; `at_once` within the kernel entry that submitted it.
  void OnChainEnd(bool at_once) {
    handed_over_ += ((at_once ? 0 : kOne) - handed_over_) / 8;
    try_after_ = at_once ? kFirstTryAfter : std::min(2 * try_after_, kLastTryAfter);
  }

  // A worker has finished a file.
  void OnJobEnd(int64_t duration_ns) { job_ns_ += (duration_ns - job_ns_) / 16; }

  bool chains_handed_over() const { return handed_over_ > kOne / 2; }

 private:
  static constexpr int32_t kOne = 1 << 16;

  const size_t threads_;
  // Moving averages: the share of chains that did not end at once, and the time of a job.
  int32_t handed_over_ = 0;
  int64_t job_ns_ = 0;
  uint32_t turn_ = 0;
  uint32_t try_after_ = kFirstTryAfter;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_WHOLE_FILE_ROUTER_H_
