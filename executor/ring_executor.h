// Executes the entries of many processes' rings on a few submission rings: what every executor shares.
//
// Each submission ring has a lane, one per processor (with io_uring a kernel ring of its own would cost each of ten thousand
// processes 41 KiB and 20 us). A ring that has nothing under way moves to the lane of the processor its submitter runs on, so
// that threads do not meet on a lock; while it has something under way it stays.
//
// Thread rule: as IoUringManagerOptions::threading says.
// Lifetime: rings are lent by MakeRing and belong to the executor; they are reused, never freed while it lives. Shutdown must
// have run before the destructor.
// Errors: as IoUringManager's methods of the same names, which pass them on.
//
//   auto executor = RingExecutor::Create(options, [] { return KernelRing::Create({}); }, exchange);
//   BoundRing* ring = (*executor)->MakeRing(pid, ring_options);
//   (*executor)->Submit(*ring, pid, entries, seqs);

#ifndef AGENTOS_EXECUTOR_RING_EXECUTOR_H_
#define AGENTOS_EXECUTOR_RING_EXECUTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "agentos/executor/executor_info.h"
#include "agentos/executor/file_workers.h"
#include "agentos/executor/ipc_exchange.h"
#include "agentos/executor/lane.h"
#include "agentos/executor/submission_ring.h"
#include "agentos/executor/waiter.h"
#include "agentos/executor/zero_copy_policy.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/observer.h"
#include "agentos/ring/registered_buffer_pool.h"
#include "agentos/ring/registered_file.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/submission_entry.h"

namespace agentos {

class RingExecutor {
 public:
  struct Options {
    Threading threading = Threading::kAnyThread;
    RingObserver* observer = nullptr;
    // Submission rings; 0 means one per processor.
    size_t rings = 0;
    // Entries of each.
    size_t ring_entries = 256;
    // 0 means one per processor, at most 4.
    size_t file_workers = 0;
    size_t zero_copy_send_from = ZeroCopyPolicy::kNever;
  };

  using RingMaker = std::function<absl::StatusOr<std::unique_ptr<SubmissionRing>>()>;

  // `exchange` outlives the executor. Fails as the first call of `make_ring` does; when a later one fails there are fewer.
  static absl::StatusOr<std::unique_ptr<RingExecutor>> Create(const Options& options, const RingMaker& make_ring,
                                                              IpcExchange* exchange);
  ~RingExecutor();
  RingExecutor(const RingExecutor&) = delete;
  RingExecutor& operator=(const RingExecutor&) = delete;

  // A group without rings.
  RingGroupId MakeGroup();
  bool HasGroup(RingGroupId group) const { return FindGroup(group) != nullptr; }
  // Waits for `min` completions of a group's rings and takes them. Precondition: HasGroup.
  absl::StatusOr<size_t> WaitGroup(RingGroupId group, size_t min, absl::Span<SyscallCompletionEntry> out, Deadline& deadline);

  // A ring for `pid`, active. Precondition: the options are valid, and HasGroup or no group.
  BoundRing* MakeRing(Pid pid, const RingOptions& options);

  // Each answers NotFound when `ring` is not (any more) that of `pid`.
  absl::Status Submit(BoundRing& ring, Pid pid, absl::Span<SyscallSubmissionEntry> entries, absl::Span<Seq> seqs);
  absl::StatusOr<size_t> Reap(BoundRing& ring, Pid pid, absl::Span<SyscallCompletionEntry> out);
  // How many completions a ring holds, after collecting from the kernel.
  absl::StatusOr<size_t> CountCompleted(BoundRing& ring, Pid pid);
  // Waits for `min` completions and leaves them there: how many a ring holds.
  absl::StatusOr<size_t> AwaitCount(BoundRing& ring, Pid pid, size_t min, Deadline& deadline);
  absl::StatusOr<SyscallCompletionEntry> WaitOne(BoundRing& ring, Pid pid, Seq seq, Deadline& deadline);
  absl::StatusOr<size_t> WaitMany(BoundRing& ring, Pid pid, size_t min, absl::Span<SyscallCompletionEntry> out,
                                  Deadline& deadline);
  absl::StatusOr<size_t> SubmitAndWait(BoundRing& ring, Pid pid, absl::Span<SyscallSubmissionEntry> entries, absl::Span<Seq> seqs,
                                       size_t min, absl::Span<SyscallCompletionEntry> out, Deadline& deadline);
  absl::Status Cancel(BoundRing& ring, Pid pid, Seq seq);
  absl::StatusOr<size_t> CancelAll(BoundRing& ring, Pid pid, int fd = Lane::kEveryFd);

  absl::StatusOr<RingOptions> OptionsOf(BoundRing& ring, Pid pid);

  // Memory that belongs to the process and is registered if that can be had.
  absl::StatusOr<std::shared_ptr<RegisteredBufferPool>> RegisterBuffers(BoundRing& ring, Pid pid, size_t count, size_t size);

  // The file of a descriptor, registered if that can be had.
  absl::StatusOr<RegisteredFile> RegisterFile(BoundRing& ring, Pid pid, int fd);

  // A descriptor that is readable when there may be something for Reap; the same at every call.
  absl::StatusOr<int> EventFd(BoundRing& ring, Pid pid);

  // Stops accepting, cancels, waits until the ring's own deadline and empties it. The ring is `pid`'s no longer, whatever it
  // answers. Give it back with ReleaseRing once nobody can find it any more.
  absl::Status Destroy(BoundRing& ring, Pid pid);
  void ReleaseRing(BoundRing* ring);

  // Completes an entry that waits for a message.
  void CompleteIpc(IpcDelivery delivery);

  LaneCounters Counters() const;
  size_t rings() const { return lanes_.size(); }
  // SubmissionRing::Features of its rings.
  std::string Features() const { return lanes_.front()->kernel().Features(); }

  // After every ring was destroyed: ends the workers and the kernel rings. What could not be stopped is leaked on purpose, and
  // named.
  absl::Status Shutdown();

 private:
  RingExecutor(const Options& options, std::unique_ptr<FileWorkers> workers, std::vector<std::unique_ptr<Lane>> lanes);

  class FileRegistry;
  class FileRegistration;

  // Locks the ring's lane and checks that the ring is `pid`'s and alive.
  absl::Status LockRing(LaneLock& lock, BoundRing& ring, Pid pid, bool for_submit);
  Lane* LaneOfThisProcessor() const;
  void ProtectFds(absl::Span<const int> fds);
  void UnprotectFds(absl::Span<const int> fds);
  void TellOwnFds();
  // `events`: what is left of a ring that was watched.
  absl::Status DestroyLocked(BoundRing& ring, Pid pid, std::unique_ptr<RingEvents>& events);
  // Waits until the ring holds `min` completions: how many it holds, or DeadlineExceeded when there is none.
  static absl::StatusOr<size_t> AwaitInRing(LaneLock& lock, BoundRing& ring, size_t min, Deadline& deadline);

  const Options options_;
  std::unique_ptr<FileWorkers> workers_;
  std::vector<std::unique_ptr<Lane>> lanes_;

  // Outlives the executor with the last registered file.
  const std::shared_ptr<FileRegistry> files_;

  // The descriptors that entries must not touch, which every lane knows.
  std::mutex own_fds_mutex_;
  std::vector<int> own_fds_;

  RingGroup* FindGroup(RingGroupId group) const;

  mutable std::mutex groups_mutex_;
  std::vector<std::unique_ptr<RingGroup>> groups_;

  std::mutex rings_mutex_;
  std::vector<std::unique_ptr<BoundRing>> rings_;
  std::vector<BoundRing*> free_rings_;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_RING_EXECUTOR_H_
