// A lane: one kernel ring, the slots of the entries it executes, and the threads that wait for them.
//
// A lane has one lock. Whoever submits, reaps or waits holds it while it moves slots, and nobody holds it while waiting in the
// kernel. There is no thread of the lane's own: the first thread that has to wait becomes the leader and waits in the kernel for
// all; the others sleep until their completion was placed or the leader's place is free.
//
//     thread A: WaitCompletion(a)          thread B: WaitCompletion(b)          kernel
//       lock, nothing there
//       leader = A, unlock
//       io_uring_enter(wait) ............. lock, leader is taken
//                                          sleep on B.wake_up (unlocks)
//                                                                               completion of b
//       returns; lock; leader = none
//       places b, wakes B; a is not there:
//       leader = A, unlock, wait again ... wakes, takes b, leaves
//
// A completion that another thread places while the leader is in the kernel (a submitter that collected it, a worker, a message)
// does not end the leader's wait by itself: it is woken through an eventfd that a read of the kernel ring waits on.
//
// Thread rule: every method but PostFromWorker with the lock held (LaneLock). With Options::one_thread there is no lock: one
// thread makes all calls.
// Lifetime: the executor owns it. Close must have succeeded before it is destroyed; otherwise it is leaked on purpose, because
// the kernel may still write to its memory.

#ifndef AGENTOS_EXECUTOR_LANE_H_
#define AGENTOS_EXECUTOR_LANE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "agentos/executor/fair_share.h"
#include "agentos/executor/file_job.h"
#include "agentos/executor/ipc_exchange.h"
#include "agentos/executor/operations.h"
#include "agentos/executor/provided_buffers.h"
#include "agentos/executor/result_buffers.h"
#include "agentos/executor/ring_events.h"
#include "agentos/executor/submission_ring.h"
#include "agentos/executor/timer_heap.h"
#include "agentos/executor/waiter.h"
#include "agentos/executor/whole_file_router.h"
#include "agentos/executor/zero_copy_policy.h"
#include "agentos/ring/bytes.h"
#include "agentos/ring/latency_histogram.h"
#include "agentos/ring/monotonic_clock.h"
#include "agentos/ring/registered_buffer_pool.h"
#include "agentos/ring/slot_table.h"
#include "agentos/ring/submission_entry.h"

namespace agentos {

struct LaneCounters {
  uint64_t submissions = 0;
  uint64_t completions = 0;
  uint64_t errors = 0;
  uint64_t cancelled = 0;
  uint64_t dropped = 0;
  uint64_t bytes = 0;
  uint64_t kernel_entries = 0;
  // Completions that named a slot of a former life.
  uint64_t stale = 0;
  uint64_t multishot_completions = 0;
  uint64_t receive_buffer_exhaustions = 0;
  uint64_t zero_copy_sends = 0;
  uint64_t zero_copy_copied = 0;
  std::array<uint64_t, kOperationKinds> completions_by_operation{};
  LatencyHistogram latency;

  void Add(const LaneCounters& other);
};

// The end of a wait. Its time begins when somebody first has to wait: most calls never do, and a look at the clock costs as much
// as a lock.
class Deadline {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  // A negative timeout is none at all, as zero.
  explicit Deadline(absl::Duration timeout) : timeout_(timeout) {}

  // On the clock of MonotonicNanos; kNever for absl::InfiniteDuration().
  int64_t ns() {
    if (ns_ == kNotStarted) Start(timeout_ == absl::InfiniteDuration() ? 0 : MonotonicNanos());
    return ns_;
  }
  // Lets the time begin at a moment that is known already.
  void Start(int64_t now_ns);

 private:
  static constexpr int64_t kNotStarted = -1;

  absl::Duration timeout_;
  int64_t ns_ = kNotStarted;
};

class Lane {
 public:
  struct Options {
    bool one_thread = false;
    // Both outlive the lane.
    FileWorkers* workers = nullptr;
    IpcExchange* exchange = nullptr;
    // From how many bytes on a Send may do without a copy.
    size_t zero_copy_send_from = ZeroCopyPolicy::kNever;
  };

  static absl::StatusOr<std::unique_ptr<Lane>> Create(const Options& options, std::unique_ptr<SubmissionRing> kernel);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Accepts all entries and starts them, or refuses all. `seqs` is as long as `entries`, or empty.
  absl::Status Accept(BoundRing& ring, absl::Span<SyscallSubmissionEntry> entries, absl::Span<Seq> seqs);

  // The loop: starts what may start, submits, collects results, places completions, until there is nothing left to do now.
  void Drive();

  // Whether submitting and waiting may be one kernel entry: one thread has the lane to itself, and everything that is under way
  // is with the kernel.
  bool MaySubmitAndWait() const {
    return options_.one_thread && first_new_job_ == nullptr && jobs_under_way_ == 0 && reads_under_way_ == 0 && ready_.empty() &&
           outbox_.empty();
  }
  // That one kernel entry, and the loop after it. Precondition: MaySubmitAndWait.
  void SubmitAndWaitForAny(Deadline& deadline);

  // Waits until `waiter` has an outcome or `deadline` is over. Releases the lock meanwhile.
  void Await(class LaneLock& lock, Waiter& waiter, Deadline& deadline);

  // Asks one entry to stop; it may be completed when this returns.
  void RequestCancel(Slot& slot);
  // Asks all entries of a ring to stop, or those that work on one fd: how many.
  static constexpr int kEveryFd = -1;
  size_t RequestCancelAll(BoundRing& ring, int fd = kEveryFd);

  // Ends what an entry that can no longer be waited for leaves behind, and says what it was.
  std::string Abandon(Slot& slot);

  // Moves a completed slot's content to `out` and frees it. The slot is in no queue.
  void Deliver(Slot* slot, SyscallCompletionEntry& out);
  // The same for the oldest completions of a ring, as many as there are and `out` takes: how many.
  size_t DeliverOldest(BoundRing& ring, absl::Span<SyscallCompletionEntry> out);
  // After room was made in a ring's completion queue: multishot entries that have paused go on.
  void ResumePaused(BoundRing& ring) {
    NoteChange(ring);
    if (!ring.paused.empty()) [[unlikely]] {
      LetGoOn(ring);
    }
  }
  // Disposes of a completion that nobody will read: an fd in it is closed.
  void Discard(Slot* slot);

  // The same for the rings of a group, each in its turn.
  size_t DeliverReady(RingGroup& group, absl::Span<SyscallCompletionEntry> out);
  // Takes a ring out of its group.
  void LeaveGroup(BoundRing& ring);

  // Tells all waiters of a ring that it is gone.
  void DismissWaiters(BoundRing& ring);
  // Registers the pool's memory with the submission ring, for as long as `ring` lives; tells the pool what came of it.
  void Register(BoundRing& ring, const std::shared_ptr<RegisteredBufferPool>& pool);
  // The same with the file of a descriptor: "", or why not.
  std::string RegisterFile(BoundRing& ring, int fd);
  // Harmless when the ring has gone meanwhile.
  void UnregisterFile(BoundRing& ring, int fd);
  // Whether the descriptor is one of the library's own.
  bool IsOwnFd(int fd) const { return context_.IsOwnFd(fd); }
  // Makes ring.events, and whatever it needs: the descriptors that entries must not touch from now on. Such a ring stays on its
  // lane.
  absl::StatusOr<std::vector<int>> Watch(BoundRing& ring);
  // Takes it back.
  std::unique_ptr<RingEvents> Unwatch(BoundRing& ring);
  // Nothing of the lane names the ring any more.
  void Forget(BoundRing& ring);

  // A worker has finished a job. Any thread, no lock.
  void PostFromWorker(FileJob* job);
  // A worker is to submit an Open that may wait. Any thread, no lock.
  void SubmitFromWorker(FileJob* job);
  // Messages have been sent or have arrived; all are this lane's.
  void CompleteIpc(absl::Span<IpcDelivery> deliveries);

  // Ends the lane's own traffic with the kernel. False: something is still under way and the lane must be leaked.
  bool Close();

  // The fds that entries must not touch: those of all lanes.
  void ProtectFds(std::vector<int> fds) { context_.ProtectFds(std::move(fds)); }
  static constexpr int kNoFd = -1;
  // kNoFd when the ring wakes by itself.
  int wake_fd() const { return wake_fd_; }

  size_t live_slots() const { return slots_.live(); }
  // Sends that have ended and whose data the kernel still reads.
  size_t lent() const { return lent_.size(); }
  const LaneCounters& counters() {
    counters_.receive_buffer_exhaustions = provided_.exhaustions();
    return counters_;
  }
  const SubmissionRing& kernel() const { return *kernel_; }
  bool one_thread() const { return options_.one_thread; }

 private:
  friend class LaneLock;

  Lane(const Options& options, std::unique_ptr<SubmissionRing> kernel, int wake_fd);

  // Starting.
  // Accepts an entry with modifiers, and those that it is linked to: how many more than one.
  size_t AcceptChain(BoundRing& ring, absl::Span<SyscallSubmissionEntry> entries, absl::Span<Seq> seqs);
  // Accepts entries that other threads have to be let in before.
  void AcceptWaiting(BoundRing& ring, absl::Span<SyscallSubmissionEntry> entries, absl::Span<Seq> seqs);
  size_t StartQueued(BoundRing& ring, size_t most);
  void Begin(Slot& slot);
  void BeginKernelStep(Slot& slot);
  void BeginLseek(Slot& slot);
  void BeginJob(Slot& slot);
  // Another descriptor of an entry's file; empty, and errno, where there is none to be had.
  UniqueFd HoldFile(int fd) const;
  void BeginIpc(Slot& slot);
  void BeginOpen(Slot& slot);
  void BeginSlowOpen(FileJob* job);
  void Resume(Slot& slot);
  bool StartWaiting();
  void AddNewJobs();
  void Submit();
  // For the lane's own purposes, with so many places free; null when the kernel takes no submissions now.
  io_uring_sqe* NextInternalSqe(unsigned needed);
  void DriveOnce();

  // Ending.
  size_t Collect();
  void OnResult(const SubmissionRing::Result& result);
  // One that names memory, or after which more will come.
  void OnFlaggedResult(const SubmissionRing::Result& result);
  void OnZeroCopyResult(Slot& slot, const SubmissionRing::Result& result);
  // The kernel is done with the data of a zero-copy send.
  void OnNotification(const SubmissionRing::Result& result);
  void KeepLent(Slot& slot);
  void OnStep(Slot& slot, StepResult step);
  // Makes a completion of what a multishot entry has so far. False: there is no memory for it, and the entry has the error.
  bool Emit(Slot& origin);
  void Pause(Slot& slot);
  void LetGoOn(BoundRing& ring);
  // The kernel says that it lost results, not whose: all that it has ends as an error.
  void FailAllInKernel();
  size_t CollectFromWorkers();
  void OnJobDone(FileJob& job);
  void Finish(Slot& slot);
  void FinishAlone(Slot& slot);
  // Of an entry with modifiers, or in a chain.
  void FinishMember(Slot& slot);
  void AddTimer(Slot& slot, int64_t timeout_ns);
  bool StopLateEntries();
  // When the leader must come back by itself, at the latest.
  int64_t NextTimer() const { return timers_.empty() ? Deadline::kNever : timers_.earliest_ns(); }
  void Count(const Slot& slot);
  void Place(BoundRing& ring, Slot& slot);
  void Drop(Slot* slot);
  void CancelInKernel(Slot& slot, bool after_pause = false);
  void OnCancelResult(SlotToken token, unsigned member, int32_t result);
  void CancelTheRest();
  bool CallOffStuckChains();

  // Waiting.
  void Lead(LaneLock& lock, Waiter& waiter, int64_t timeout_ns);
  void Satisfy(Waiter& waiter, Waiter::Outcome outcome);
  void ArmWakeUp();
  void WakeLeader();
  int64_t JobsWorthWaking(const Waiter& leader) const;
  // A second waiter has come: from now on each finished job wakes the leader. False when one may have finished unheard.
  bool EveryJobRingsTheBell();
  void RingBell();

  // Event loops.
  void NoteChange(BoundRing& ring) {
    if (ring.events == nullptr || ring.events->changed) [[likely]] {
      return;
    }
    ring.events->changed = true;
    changed_.push_back(&ring);
  }
  // After a completion was placed.
  void NoteReady(BoundRing& ring) {
    if (ring.group == nullptr || ring.is_ready) [[likely]] {
      return;
    }
    TellGroup(ring);
  }
  void TellGroup(BoundRing& ring);
  // Before the lock is given up.
  void ShowChanges();
  // Any thread.
  void RingLoopBell();
  BoundRing& RingOf(const Slot& slot) const { return static_cast<BoundRing&>(*slot.ring); }

  const Options options_;
  // Others are let in after so many starts: a thread with ten thousand entries does not keep the lane until all have started.
  static constexpr size_t kStartsPerHold = 64;
  bool IsWanted() const { return wanted_by_.load(std::memory_order_relaxed) != 0; }
  void LockInTurn();

  std::mutex mutex_;
  // Whoever finds the lane taken waits here first: so a thread that gives it up cannot take it again before those that waited.
  std::mutex next_mutex_;
  std::atomic<uint32_t> wanted_by_{0};
  size_t starts_in_hold_ = 0;
  SlotTable slots_;
  ResultBuffers buffers_;
  ProvidedBuffers provided_;
  // After the slots and the buffers: the kernel lets go of them before they are freed.
  std::unique_ptr<SubmissionRing> kernel_;
  OperationContext context_;
  WholeFileRouter router_;
  LaneCounters counters_;
  // The time of the batch that is being handled: one look at the clock serves all of it.
  int64_t now_ns_ = 0;
  // Counts the runs of the loop: a chain that ends in the run that began it was executed within the kernel entry.
  uint32_t drive_ = 0;
  size_t reads_under_way_ = 0;

  // Entries that have their turn but found no room in the submission queue, or were let go by PositionOrder.
  std::vector<Slot*> ready_;
  // Chains that have opened their file during this run of the loop.
  std::vector<SlotToken> opened_chains_;
  // Entries whose cancellation found no room in the submission queue.
  std::vector<SlotToken> not_cancelled_;
  // Data of sends that have ended which the kernel still reads, by user_data.
  absl::flat_hash_map<uint64_t, Bytes> lent_;
  // Rings that have entries to start.
  FairShare shares_;
  // Messages for entries of whichever lane, delivered when the lock is given up.
  std::vector<IpcDelivery> outbox_;

  TimerHeap timers_;
  LaneWaiters waiters_;
  Waiter* leader_ = nullptr;
  // Until when the leader sleeps if nothing happens.
  int64_t leader_sleeps_until_ns_ = 0;

  // The wake-up: a read of wake_fd_ in the kernel ring, unless the ring can wake. wake_value_ must stay valid until it has
  // completed.
  const int wake_fd_;
  uint64_t wake_value_ = 0;
  bool wake_armed_ = false;
  // The leader has what it waits for: the loop wakes it when it ends.
  bool owes_wake_up_ = false;
  // Whether the leader is in the kernel, or on its way there.
  std::atomic<bool> leader_asleep_{false};
  // While the leader is in the kernel, or on its way there: how many more finished jobs are worth waking it. Not positive
  // otherwise.
  std::atomic<int64_t> jobs_until_bell_{0};

  // Null as long as no ring of the lane was ever watched.
  std::unique_ptr<LaneEvents> events_;
  std::atomic<int> bell_fd_{kNoFd};
  // Watched rings whose completion queue may have become empty, or no longer is.
  std::vector<BoundRing*> changed_;

  // Jobs made since the workers were last told, linked by `next`.
  FileJob* first_new_job_ = nullptr;
  FileJob* last_new_job_ = nullptr;
  size_t new_jobs_ = 0;
  size_t jobs_under_way_ = 0;
  // Finished jobs, last first.
  std::atomic<FileJob*> finished_jobs_{nullptr};
};

// Holds a lane's lock and delivers, when it gives it up, the messages that were sent meanwhile.
class LaneLock {
 public:
  LaneLock() = default;
  explicit LaneLock(Lane& lane) { Lock(lane); }
  ~LaneLock() {
    if (lane_ != nullptr) Unlock();
  }
  LaneLock(const LaneLock&) = delete;
  LaneLock& operator=(const LaneLock&) = delete;

  void Lock(Lane& lane) {
    lane_ = &lane;
    if (lane.options_.one_thread) return;
    if (lane.IsWanted() || !lane.mutex_.try_lock()) lane.LockInTurn();
    lane.starts_in_hold_ = 0;
  }
  void Unlock();
  Lane* lane() const { return lane_; }

 private:
  friend class Lane;
  void Sleep(std::condition_variable& condition, int64_t deadline_ns);

  Lane* lane_ = nullptr;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_LANE_H_
