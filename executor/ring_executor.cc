#include "agentos/executor/ring_executor.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"

namespace agentos {

namespace {

constexpr size_t kMostFileWorkers = 4;
constexpr absl::Duration kWorkerPatience = absl::Seconds(5);

absl::Status NoRing(Pid pid) {
  return absl::NotFoundError(absl::StrCat("pid ", pid, " has no ring; make one with CreateRing or Submit"));
}

absl::Status MoreThanHeld(const BoundRing& ring, size_t min) {
  return absl::InvalidArgumentError(absl::StrCat("min is ", min, ": the completion queue of pid ", ring.pid(),
                                                 " never holds more than ", ring.options().cq_size));
}

// The kernel or a worker may still write to its memory: better lost than overwritten under somebody's feet. Where tools that look
// for leaks see that it is on purpose.
void KeepForGood(std::unique_ptr<Lane> lane) {
  static std::mutex mutex;
  static auto* const kept = new std::vector<std::unique_ptr<Lane>>;
  const std::lock_guard<std::mutex> lock(mutex);
  kept->push_back(std::move(lane));
}

absl::Status RingGoing(Pid pid) {
  return absl::FailedPreconditionError(absl::StrCat("the ring of pid ", pid, " is being destroyed"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RingExecutor>> RingExecutor::Create(const Options& options, const RingMaker& make_ring,
                                                                   IpcExchange* exchange) {
  const size_t processors = std::max(1u, std::thread::hardware_concurrency());
  const size_t threads = options.file_workers == 0 ? std::min(processors, kMostFileWorkers) : options.file_workers;
  auto workers = std::make_unique<FileWorkers>(threads);

  Lane::Options lane_options;
  lane_options.one_thread = options.threading == Threading::kOneThread;
  lane_options.workers = workers.get();
  lane_options.exchange = exchange;
  lane_options.zero_copy_send_from = options.zero_copy_send_from;

  size_t count = options.rings == 0 ? processors : options.rings;
  if (options.threading == Threading::kOneThread) count = 1;
  std::vector<std::unique_ptr<Lane>> lanes;
  while (lanes.size() < count) {
    absl::StatusOr<std::unique_ptr<SubmissionRing>> ring = make_ring();
    absl::StatusOr<std::unique_ptr<Lane>> lane = ring.ok() ? Lane::Create(lane_options, *std::move(ring)) : ring.status();
    if (lane.ok()) {
      lanes.push_back(*std::move(lane));
      continue;
    }
    if (lanes.empty()) return lane.status();
    // Fewer than wished for is slower for many threads, and still right.
    break;
  }
  std::vector<int> own_fds;
  for (const std::unique_ptr<Lane>& lane : lanes) {
    const std::vector<int> fds = lane->kernel().OwnFds();
    own_fds.insert(own_fds.end(), fds.begin(), fds.end());
    if (lane->wake_fd() != Lane::kNoFd) own_fds.push_back(lane->wake_fd());
  }
  std::unique_ptr<RingExecutor> executor(new RingExecutor(options, std::move(workers), std::move(lanes)));
  executor->ProtectFds(own_fds);
  return executor;
}

RingExecutor::RingExecutor(const Options& options, std::unique_ptr<FileWorkers> workers, std::vector<std::unique_ptr<Lane>> lanes)
    : options_(options), workers_(std::move(workers)), lanes_(std::move(lanes)), files_(std::make_shared<FileRegistry>()) {}

RingExecutor::~RingExecutor() = default;

RingGroupId RingExecutor::MakeGroup() {
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  groups_.push_back(std::make_unique<RingGroup>(lanes_[groups_.size() % lanes_.size()].get()));
  return static_cast<RingGroupId>(groups_.size());
}

RingGroup* RingExecutor::FindGroup(RingGroupId group) const {
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  return group == 0 || group > groups_.size() ? nullptr : groups_[group - 1].get();
}

absl::StatusOr<size_t> RingExecutor::WaitGroup(RingGroupId id, size_t min, absl::Span<SyscallCompletionEntry> out,
                                               Deadline& deadline) {
  RingGroup& group = *FindGroup(id);
  LaneLock lock(*group.lane);
  Lane& lane = *lock.lane();
  lane.Drive();
  for (size_t count = 0;;) {
    count += lane.DeliverReady(group, out.subspan(count));
    if (count >= min) return count;
    Waiter waiter;
    waiter.what = Waiter::For::kGroup;
    waiter.group = &group;
    lane.Await(lock, waiter, deadline);
    if (waiter.outcome != Waiter::Outcome::kWaiting) continue;
    if (count > 0) return count;
    return absl::DeadlineExceededError(absl::StrCat("no completion for the rings of group ", id));
  }
}

BoundRing* RingExecutor::MakeRing(Pid pid, const RingOptions& options) {
  RingGroup* const group = FindGroup(options.group);
  BoundRing* ring = nullptr;
  {
    std::lock_guard<std::mutex> lock(rings_mutex_);
    if (free_rings_.empty()) {
      rings_.push_back(std::make_unique<BoundRing>(lanes_[rings_.size() % lanes_.size()].get()));
      ring = rings_.back().get();
    } else {
      ring = free_rings_.back();
      free_rings_.pop_back();
    }
  }
  // Somebody with an old look-up may be moving it to his own lane meanwhile.
  LaneLock lock;
  for (;;) {
    Lane* lane = ring->lane.load(std::memory_order_acquire);
    lock.Lock(*lane);
    if (ring->lane.load(std::memory_order_acquire) == lane) {
      if (group == nullptr || group->lane == lane) break;
      // Unused, so that nothing of it is on the lane.
      ring->lane.store(group->lane, std::memory_order_release);
    }
    lock.Unlock();
  }
  ring->group = group;
  ring->Reset(pid, options, options_.observer);
  // An abandoned entry of the former owner may have held a position.
  ring->positions = PositionOrder();
  ring->life = BoundRing::Life::kActive;
  return ring;
}

void RingExecutor::ReleaseRing(BoundRing* ring) {
  std::lock_guard<std::mutex> lock(rings_mutex_);
  free_rings_.push_back(ring);
}

Lane* RingExecutor::LaneOfThisProcessor() const {
  const int processor = sched_getcpu();
  return lanes_[processor < 0 ? 0 : static_cast<size_t>(processor) % lanes_.size()].get();
}

absl::Status RingExecutor::LockRing(LaneLock& lock, BoundRing& ring, Pid pid, bool for_submit) {
  bool may_move = for_submit && lanes_.size() > 1;
  for (;;) {
    Lane* lane = ring.lane.load(std::memory_order_acquire);
    lock.Lock(*lane);
    if (ring.lane.load(std::memory_order_acquire) == lane) {
      if (!may_move || !ring.idle() || !ring.waiters.empty() || ring.must_stay()) break;
      Lane* here = LaneOfThisProcessor();
      if (here == lane) break;
      // Nothing of the ring is on the old lane: the new one takes over with the release of this store.
      ring.lane.store(here, std::memory_order_release);
      may_move = false;
    }
    lock.Unlock();
  }
  if (ring.pid() != pid || ring.life == BoundRing::Life::kUnused) return NoRing(pid);
  return ring.life == BoundRing::Life::kActive ? absl::OkStatus() : RingGoing(pid);
}

absl::Status RingExecutor::Submit(BoundRing& ring, Pid pid, absl::Span<SyscallSubmissionEntry> entries, absl::Span<Seq> seqs) {
  LaneLock lock;
  if (absl::Status alive = LockRing(lock, ring, pid, /*for_submit=*/true); !alive.ok()) return alive;
  Lane& lane = *lock.lane();
  if (absl::Status accepted = lane.Accept(ring, entries, seqs); !accepted.ok()) return accepted;
  lane.Drive();
  return absl::OkStatus();
}

absl::StatusOr<size_t> RingExecutor::Reap(BoundRing& ring, Pid pid, absl::Span<SyscallCompletionEntry> out) {
  LaneLock lock;
  if (absl::Status alive = LockRing(lock, ring, pid, /*for_submit=*/false); !alive.ok()) return alive;
  lock.lane()->Drive();
  return lock.lane()->DeliverOldest(ring, out);
}

absl::StatusOr<size_t> RingExecutor::CountCompleted(BoundRing& ring, Pid pid) {
  LaneLock lock;
  if (absl::Status alive = LockRing(lock, ring, pid, /*for_submit=*/false); !alive.ok()) return alive;
  lock.lane()->Drive();
  return ring.completed().size();
}

absl::StatusOr<SyscallCompletionEntry> RingExecutor::WaitOne(BoundRing& ring, Pid pid, Seq seq, Deadline& deadline) {
  LaneLock lock;
  if (absl::Status alive = LockRing(lock, ring, pid, /*for_submit=*/false); !alive.ok()) return alive;
  Lane& lane = *lock.lane();
  if (ring.completed().empty()) lane.Drive();

  using Whereabouts = SyscallCompletionRing::Whereabouts;
  Slot* slot = nullptr;
  Whereabouts where = ring.Find(seq, &slot);
  if (where == Whereabouts::kInFlight || where == Whereabouts::kQueued) {
    lane.Drive();
    where = ring.Find(seq, &slot);
  }
  switch (where) {
    case Whereabouts::kUnknown:
      return absl::NotFoundError(absl::StrCat("entry ", seq, " of pid ", pid, " is unknown or was reaped"));
    case Whereabouts::kDropped:
      return absl::DataLossError(absl::StrCat("the completion of entry ", seq, " of pid ", pid,
                                              " was dropped by a full completion queue; reap sooner, "
                                              "use a larger cq_size or "
                                              "OverflowPolicy::kBackpressure"));
    case Whereabouts::kCompleted:
      ring.Take(slot);
      break;
    case Whereabouts::kQueued:
    case Whereabouts::kInFlight: {
      Waiter waiter;
      waiter.what = Waiter::For::kEntry;
      waiter.seq = seq;
      waiter.ring = &ring;
      lane.Await(lock, waiter, deadline);
      if (waiter.outcome == Waiter::Outcome::kRingGone) return RingGoing(pid);
      if (waiter.outcome == Waiter::Outcome::kTakenByAnother) {
        return absl::NotFoundError(absl::StrCat("entry ", seq, " of pid ", pid, " was taken by another waiter"));
      }
      if (waiter.outcome == Waiter::Outcome::kWaiting) {
        return absl::DeadlineExceededError(absl::StrCat("entry ", seq, " of pid ", pid, " is still under way"));
      }
      slot = waiter.slot;
      break;
    }
  }
  SyscallCompletionEntry done;
  lane.Deliver(slot, done);
  lane.ResumePaused(ring);
  return done;
}

absl::StatusOr<size_t> RingExecutor::AwaitInRing(LaneLock& lock, BoundRing& ring, size_t min, Deadline& deadline) {
  const Pid pid = ring.pid();
  while (ring.completed().size() < min) {
    Waiter waiter;
    waiter.what = Waiter::For::kCount;
    waiter.count = min;
    waiter.ring = &ring;
    lock.lane()->Await(lock, waiter, deadline);
    if (waiter.outcome == Waiter::Outcome::kRingGone) return RingGoing(pid);
    if (waiter.outcome == Waiter::Outcome::kWaiting) break;
  }
  if (ring.completed().empty() && min > 0) {
    return absl::DeadlineExceededError(
        absl::StrCat("no completion for pid ", pid, "; ", ring.in_flight().size() + ring.waiting(), " under way"));
  }
  return ring.completed().size();
}

absl::StatusOr<size_t> RingExecutor::AwaitCount(BoundRing& ring, Pid pid, size_t min, Deadline& deadline) {
  LaneLock lock;
  if (absl::Status alive = LockRing(lock, ring, pid, /*for_submit=*/false); !alive.ok()) return alive;
  if (min > ring.options().cq_size) return MoreThanHeld(ring, min);
  lock.lane()->Drive();
  return AwaitInRing(lock, ring, min, deadline);
}

absl::StatusOr<size_t> RingExecutor::WaitMany(BoundRing& ring, Pid pid, size_t min, absl::Span<SyscallCompletionEntry> out,
                                              Deadline& deadline) {
  LaneLock lock;
  if (absl::Status alive = LockRing(lock, ring, pid, /*for_submit=*/false); !alive.ok()) return alive;
  if (min > ring.options().cq_size) return MoreThanHeld(ring, min);
  lock.lane()->Drive();
  absl::StatusOr<size_t> there = AwaitInRing(lock, ring, min, deadline);
  if (!there.ok()) return there;
  return lock.lane()->DeliverOldest(ring, out);
}

absl::StatusOr<size_t> RingExecutor::SubmitAndWait(BoundRing& ring, Pid pid, absl::Span<SyscallSubmissionEntry> entries,
                                                   absl::Span<Seq> seqs, size_t min, absl::Span<SyscallCompletionEntry> out,
                                                   Deadline& deadline) {
  LaneLock lock;
  if (absl::Status alive = LockRing(lock, ring, pid, /*for_submit=*/true); !alive.ok()) return alive;
  if (min > ring.options().cq_size) return MoreThanHeld(ring, min);
  Lane& lane = *lock.lane();
  if (absl::Status accepted = lane.Accept(ring, entries, seqs); !accepted.ok()) return accepted;
  if (ring.completed().size() < min && lane.MaySubmitAndWait()) {
    lane.SubmitAndWaitForAny(deadline);
  } else {
    lane.Drive();
  }
  absl::StatusOr<size_t> there = AwaitInRing(lock, ring, min, deadline);
  if (!there.ok()) return there;
  return lane.DeliverOldest(ring, out);
}

absl::Status RingExecutor::Cancel(BoundRing& ring, Pid pid, Seq seq) {
  LaneLock lock;
  if (absl::Status alive = LockRing(lock, ring, pid, /*for_submit=*/false); !alive.ok()) return alive;
  Lane& lane = *lock.lane();
  lane.Drive();
  Slot* slot = ring.FindUnderWay(seq);
  if (slot == nullptr) {
    return absl::NotFoundError(absl::StrCat("entry ", seq, " of pid ", pid, " is unknown or has completed"));
  }
  lane.RequestCancel(*slot);
  lane.Drive();
  return absl::OkStatus();
}

absl::StatusOr<size_t> RingExecutor::CancelAll(BoundRing& ring, Pid pid, int fd) {
  LaneLock lock;
  if (absl::Status alive = LockRing(lock, ring, pid, /*for_submit=*/false); !alive.ok()) return alive;
  Lane& lane = *lock.lane();
  lane.Drive();
  const size_t asked = lane.RequestCancelAll(ring, fd);
  lane.Drive();
  return asked;
}

absl::StatusOr<RingOptions> RingExecutor::OptionsOf(BoundRing& ring, Pid pid) {
  LaneLock lock;
  if (absl::Status alive = LockRing(lock, ring, pid, /*for_submit=*/false); !alive.ok()) return alive;
  return ring.options();
}

absl::StatusOr<std::shared_ptr<RegisteredBufferPool>> RingExecutor::RegisterBuffers(BoundRing& ring, Pid pid, size_t count,
                                                                                    size_t size) {
  absl::StatusOr<std::shared_ptr<RegisteredBufferPool>> pool = RegisteredBufferPool::Create(count, size);
  if (!pool.ok()) return pool;
  LaneLock lock;
  if (absl::Status alive = LockRing(lock, ring, pid, /*for_submit=*/false); !alive.ok()) return alive;
  lock.lane()->Register(ring, *pool);
  return pool;
}

// Where the handles of registered files find the lanes, as long as there are any.
class RingExecutor::FileRegistry {
 public:
  // Takes a registration back. False: the thread is the wrong one for that, and the descriptor is kept for CloseForgotten.
  bool Unregister(Lane& lane, BoundRing& ring, int fd) {
    // A child's ring is its parent's, and the lock is in whatever state it was in.
    if (getpid() != process_) return true;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return true;
    if (lane.one_thread() && std::this_thread::get_id() != thread_) {
      forgotten_.push_back({&lane, &ring, fd});
      return false;
    }
    const LaneLock held(lane);
    lane.UnregisterFile(ring, fd);
    return true;
  }

  // Closes what was given back on the wrong thread.
  void CloseForgotten() {
    const std::lock_guard<std::mutex> lock(mutex_);
    CloseForgottenLocked();
  }

  // The lanes are about to go.
  void Close() {
    const std::lock_guard<std::mutex> lock(mutex_);
    CloseForgottenLocked();
    closed_ = true;
  }

 private:
  struct Forgotten {
    Lane* lane;
    BoundRing* ring;
    int fd;
  };

  void CloseForgottenLocked() {
    for (const Forgotten& file : std::exchange(forgotten_, {})) {
      {
        const LaneLock held(*file.lane);
        file.lane->UnregisterFile(*file.ring, file.fd);
      }
      close(file.fd);
    }
  }

  const pid_t process_ = getpid();
  const std::thread::id thread_ = std::this_thread::get_id();
  std::mutex mutex_;
  bool closed_ = false;
  std::vector<Forgotten> forgotten_;
};

class RingExecutor::FileRegistration final : public RegisteredFile::Registration {
 public:
  FileRegistration(std::shared_ptr<FileRegistry> files, Lane* lane, BoundRing* ring)
      : files_(std::move(files)), lane_(lane), ring_(ring) {}
  bool Undo(int fd) override { return files_->Unregister(*lane_, *ring_, fd); }

 private:
  const std::shared_ptr<FileRegistry> files_;
  Lane* const lane_;
  BoundRing* const ring_;
};

absl::StatusOr<RegisteredFile> RingExecutor::RegisterFile(BoundRing& ring, Pid pid, int fd) {
  bool is_own;
  {
    const LaneLock lock(*lanes_.front());
    is_own = lanes_.front()->IsOwnFd(fd);
  }
  if (is_own) {
    return absl::InvalidArgumentError(absl::StrCat("fd is ", fd, ": a descriptor of the library's own"));
  }
  files_->CloseForgotten();
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0 && errno == EBADF) return absl::InvalidArgumentError(absl::StrCat("fd is ", fd, ": it is not open"));
  if (own < 0) return absl::ErrnoToStatus(errno, "fcntl(F_DUPFD_CLOEXEC); raise RLIMIT_NOFILE or close files");
  LaneLock lock;
  if (absl::Status alive = LockRing(lock, ring, pid, /*for_submit=*/false); !alive.ok()) {
    close(own);
    return alive;
  }
  std::string reason = lock.lane()->RegisterFile(ring, own);
  if (!reason.empty()) return RegisteredFile(own, nullptr, std::move(reason));
  return RegisteredFile(own, std::make_unique<FileRegistration>(files_, lock.lane(), &ring), "");
}

void RingExecutor::ProtectFds(absl::Span<const int> fds) {
  const std::lock_guard<std::mutex> lock(own_fds_mutex_);
  own_fds_.insert(own_fds_.end(), fds.begin(), fds.end());
  TellOwnFds();
}

void RingExecutor::UnprotectFds(absl::Span<const int> fds) {
  const std::lock_guard<std::mutex> lock(own_fds_mutex_);
  std::erase_if(own_fds_, [&](int fd) { return std::find(fds.begin(), fds.end(), fd) != fds.end(); });
  TellOwnFds();
}

void RingExecutor::TellOwnFds() {
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    const LaneLock lock(*lane);
    lane->ProtectFds(own_fds_);
  }
}

absl::StatusOr<int> RingExecutor::EventFd(BoundRing& ring, Pid pid) {
  std::vector<int> made;
  int fd;
  {
    LaneLock lock;
    if (absl::Status alive = LockRing(lock, ring, pid, /*for_submit=*/false); !alive.ok()) return alive;
    if (ring.events != nullptr) return ring.events->fd();
    absl::StatusOr<std::vector<int>> watched = lock.lane()->Watch(ring);
    if (!watched.ok()) return watched.status();
    made = *std::move(watched);
    fd = ring.events->fd();
  }
  ProtectFds(made);
  return fd;
}

absl::Status RingExecutor::Destroy(BoundRing& ring, Pid pid) {
  // Closed after the lock is given up, and no longer protected then: the numbers may be anybody's next.
  std::unique_ptr<RingEvents> events;
  absl::Status status = DestroyLocked(ring, pid, events);
  if (events != nullptr) UnprotectFds(events->OwnFds());
  return status;
}

absl::Status RingExecutor::DestroyLocked(BoundRing& ring, Pid pid, std::unique_ptr<RingEvents>& events) {
  LaneLock lock;
  if (absl::Status alive = LockRing(lock, ring, pid, /*for_submit=*/false); !alive.ok()) return alive;
  Lane& lane = *lock.lane();
  ring.life = BoundRing::Life::kClosing;
  const absl::Duration patience = ring.options().destroy_timeout;
  Deadline deadline(patience);
  deadline.Start(MonotonicNanos());
  lane.Drive();
  lane.RequestCancelAll(ring);
  lane.Drive();
  while (!ring.in_flight().empty()) {
    Waiter waiter;
    waiter.what = Waiter::For::kDrained;
    waiter.ring = &ring;
    lane.Await(lock, waiter, deadline);
    if (waiter.outcome == Waiter::Outcome::kWaiting) break;
  }

  std::vector<std::string> leftovers;
  while (Slot* slot = ring.in_flight().front()) leftovers.push_back(lane.Abandon(*slot));
  lane.DismissWaiters(ring);
  while (Slot* slot = ring.TakeOldest()) lane.Discard(slot);
  lane.Forget(ring);
  events = lane.Unwatch(ring);
  lane.LeaveGroup(ring);
  ring.life = BoundRing::Life::kUnused;
  lane.Drive();
  if (leftovers.empty()) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat("the ring of pid ", pid, " is gone, but ", leftovers.size(),
                                                  " of its entries could not be stopped within ", absl::FormatDuration(patience),
                                                  " and keep their memory: ", absl::StrJoin(leftovers, "; ")));
}

void RingExecutor::CompleteIpc(IpcDelivery delivery) {
  LaneLock lock(*delivery.party.lane);
  lock.lane()->CompleteIpc(absl::MakeSpan(&delivery, 1));
}

LaneCounters RingExecutor::Counters() const {
  LaneCounters sum;
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    LaneLock lock(*lane);
    sum.Add(lane->counters());
  }
  return sum;
}

absl::Status RingExecutor::Shutdown() {
  files_->Close();
  std::vector<std::string> leftovers;
  if (!workers_->Stop(kWorkerPatience)) leftovers.push_back("a whole-file operation on a worker thread");
  for (std::unique_ptr<Lane>& lane : lanes_) {
    bool closed;
    {
      LaneLock lock(*lane);
      lane->Drive();
      closed = lane->Close();
    }
    if (closed) continue;
    leftovers.push_back(absl::StrCat(lane->live_slots(), " entries of a submission ring",
                                     lane->lent() == 0 ? "" : absl::StrCat(" and the data of ", lane->lent(), " sends")));
    KeepForGood(std::move(lane));
  }
  lanes_.clear();
  if (leftovers.empty()) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat("not everything could be stopped, its memory is kept for good: ", absl::StrJoin(leftovers, "; ")));
}

}  // namespace agentos
