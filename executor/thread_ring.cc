#include "agentos/executor/thread_ring.h"

#include <linux/time_types.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "agentos/executor/library_thread.h"
#include "agentos/executor/thread_interrupt.h"

namespace agentos {

namespace {

// What epoll names the timer by; watches have other ids.
constexpr uint64_t kTimerId = 0;

// An fd that says it is ready and refuses as often is the caller's to deal with: some files have nothing to wait for.
constexpr uint8_t kMostFutileTries = 3;

// A signal that comes before its call has begun is lost, so it is sent again.
constexpr int64_t kInterruptPauseNs = 1'000'000;

constexpr int64_t kSecond = 1'000'000'000;

constexpr uint8_t kLinks = IOSQE_IO_LINK | IOSQE_IO_HARDLINK;

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * kSecond + now.tv_nsec;
}

bool IsCall(unsigned opcode) {
  return opcode != IORING_OP_POLL_ADD && opcode != IORING_OP_TIMEOUT && opcode != IORING_OP_ASYNC_CANCEL;
}

// An opcode that io_uring has and this does not is refused as io_uring refuses unknown ones.
bool IsKnown(unsigned opcode) { return !IsCall(opcode) || HasDirectCall(opcode); }

}  // namespace

// An entry that did not end at once.
struct ThreadRing::Op {
  enum class Place : uint8_t {
    // Some thread is trying it, or about to.
    kTrying,
    kWatched,
    kTimer,
    // In a pool's queue, or in one of its threads.
    kJob,
  };
  struct Work : FileWorkers::Job {
    Op* op = nullptr;
  };
  struct Wait : FdWaiting {
    Op* op = nullptr;
  };

  explicit Op(ThreadRing* owner) : ring(owner) {
    work.op = this;
    wait.op = this;
  }

  ThreadRing* const ring;
  Work work;
  Wait wait;
  Place place = Place::kTrying;
  // The next member of its chain.
  Op* follower = nullptr;
  int32_t done = 0;
  uint8_t futile = 0;
  bool waits_in_call = false;
  bool slow = false;
  std::atomic<bool> cancel_requested{false};
  bool running = false;
  pthread_t thread{};
  int held[2] = {-1, -1};
  std::multimap<int64_t, Op*>::iterator timer;
  // Outside, as it ends with an array of no size and cannot be a member.
  const std::unique_ptr<io_uring_sqe> storage = std::make_unique<io_uring_sqe>();
  io_uring_sqe& sqe = *storage;

  // What cancelling makes of it: bytes that were moved are not taken back.
  int32_t Cancelled() const { return done > 0 ? done : -ECANCELED; }
};

absl::StatusOr<std::unique_ptr<ThreadRing>> ThreadRing::Create(const Options& options, std::shared_ptr<ThreadPools> pools) {
  absl::StatusOr<std::unique_ptr<FdWatches>> watches = FdWatches::Create(&pools->held);
  if (!watches.ok()) return watches.status();
  const int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (timer_fd < 0) return absl::ErrnoToStatus(errno, "timerfd_create");
  auto ring = std::unique_ptr<ThreadRing>(new ThreadRing(options, std::move(pools), *std::move(watches), timer_fd));
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = kTimerId}};
  if (epoll_ctl(ring->watches_->fd(), EPOLL_CTL_ADD, timer_fd, &event) != 0) return absl::ErrnoToStatus(errno, "epoll_ctl");
  ring->has_poller_ = StartLibraryThread(&ring->poller_, &ThreadRing::RunPoller, ring.get());
  if (!ring->has_poller_) {
    return absl::ResourceExhaustedError("pthread_create: no more threads; raise RLIMIT_NPROC or the limit of the control group");
  }
  return ring;
}

ThreadRing::ThreadRing(const Options& options, std::shared_ptr<ThreadPools> pools, std::unique_ptr<FdWatches> watches,
                       int timer_fd)
    : pools_(std::move(pools)),
      memory_(options.entries, options.completion_entries),
      watches_(std::move(watches)),
      timer_fd_(timer_fd) {
  memory_.Bind(queues_);
  set_nosignal_writes(true);
}

ThreadRing::~ThreadRing() {
  {
    Lock lock(mutex_);
    stopping_ = true;
    for (const std::unique_ptr<Op>& op : ops_) {
      if (op->place == Op::Place::kJob) Stop(op.get());
    }
    SetTimer();
  }
  if (has_poller_) pthread_join(poller_, nullptr);
  Lock lock(mutex_);
  while (jobs_ > 0) {
    for (const Op* op : interrupted_) Interrupt(op->thread);
    job_ended_.wait_for(lock, std::chrono::nanoseconds(kInterruptPauseNs));
  }
  for (const std::unique_ptr<Op>& op : ops_) {
    if (op->wait.watch != nullptr) watches_->Remove(op->wait);
  }
  close(timer_fd_);
}

bool ThreadRing::Supports(unsigned opcode) const { return IsKnown(opcode); }

std::vector<int> ThreadRing::OwnFds() const { return {watches_->fd(), watches_->identity_fd(), timer_fd_}; }

std::string ThreadRing::Features() const {
  return absl::StrCat("epoll, ", ThreadPools::kFileThreads, " file threads, ", ThreadPools::kSlowThreads,
                      " threads for calls that wait");
}

int ThreadRing::Enter(const EnterArguments& arguments) {
  const int taken = arguments.submit > 0 ? Take(arguments.submit) : 0;
  if (arguments.min_complete == 0 && !arguments.get_events) return taken;
  Lock lock(mutex_);
  memory_.Flush();
  if (arguments.min_complete == 0) return taken;
  const unsigned target = memory_.Target(arguments.min_complete);
  const auto enough = [&] { return memory_.HasReached(target); };
  bool in_time = true;
  ++waiting_;
  if (arguments.timeout_ns < 0) {
    completed_.wait(lock, enough);
  } else {
    const int64_t now = Now();
    const int64_t until = arguments.timeout_ns > INT64_MAX - now ? INT64_MAX : now + arguments.timeout_ns;
    in_time = completed_.wait_until(lock, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(until)), enough);
  }
  --waiting_;
  return in_time || taken > 0 ? taken : -ETIME;
}

void ThreadRing::Wake(uint64_t user_data) {
  const Lock lock(mutex_);
  Post(user_data, 0);
}

bool ThreadRing::IsForeign(const io_uring_sqe& sqe) {
  const FdsOfCall fds = FdsOf(sqe);
  return (sqe.flags & IOSQE_FIXED_FILE) == 0 && !pools_->held.IsHeld(fds.first) && !pools_->held.IsHeld(fds.second);
}

int ThreadRing::Take(unsigned most) {
  const std::lock_guard<std::mutex> submitting(submit_mutex_);
  const unsigned count = std::min(most, memory_.Published());
  FdMemo memo;
  std::array<Result, 64> ended;
  size_t ends = 0;
  const auto post = [&] {
    for (size_t i = 0; i < ends; ++i) Post(ended[i].user_data, ended[i].value);
    ends = 0;
  };
  for (unsigned i = 0; i < count; ++i) {
    const io_uring_sqe& sqe = memory_.At(i);
    Attempt attempt = {Attempt::Next::kDone, 0};
    const bool at_once = IsCall(sqe.opcode) && (sqe.flags & (kLinks | IOSQE_ASYNC)) == 0;
    if (!IsKnown(sqe.opcode)) {
      attempt.value = -EINVAL;
    } else if (!IsForeign(sqe)) {
      attempt.value = -EBADF;
    } else if (at_once) {
      attempt = Try(sqe, 0, memo);
    }
    const bool refused = attempt.value < 0 && !at_once;
    if (attempt.next == Attempt::Next::kDone && (at_once || (refused && (sqe.flags & kLinks) == 0))) {
      if (ends == ended.size()) {
        const Lock lock(mutex_);
        post();
      }
      ended[ends++] = {sqe.user_data, attempt.value, 0};
      continue;
    }
    Lock lock(mutex_);
    post();
    Op* op = NewOp(sqe);
    // A chain ends with what is handed over, whatever its last member says.
    for (Op* last = op; (last->sqe.flags & kLinks) != 0 && i + 1 < count; last = last->follower) {
      last->follower = NewOp(memory_.At(++i));
    }
    if (at_once) {
      by_user_data_.try_emplace(sqe.user_data, op);
      Begin(op, attempt);
    } else {
      Issue(op, lock);
    }
  }
  memory_.Advance(count);
  Lock lock(mutex_);
  post();
  Settle(lock);
  return static_cast<int>(count);
}

ThreadRing::Op* ThreadRing::NewOp(const io_uring_sqe& sqe) {
  if (free_ops_.empty()) {
    ops_.push_back(std::make_unique<Op>(this));
    free_ops_.push_back(ops_.back().get());
  }
  Op* op = free_ops_.back();
  free_ops_.pop_back();
  op->sqe = sqe;
  op->place = Op::Place::kTrying;
  op->follower = nullptr;
  op->done = 0;
  op->futile = 0;
  op->waits_in_call = false;
  op->cancel_requested.store(false, std::memory_order_relaxed);
  op->wait.only_looks = false;
  return op;
}

void ThreadRing::Free(Op* op) { free_ops_.push_back(op); }

void ThreadRing::Issue(Op* op, Lock& lock) {
  by_user_data_.try_emplace(op->sqe.user_data, op);
  if (!IsKnown(op->sqe.opcode)) return FinishAndArm(op, -EINVAL);
  if (!IsForeign(op->sqe)) return FinishAndArm(op, -EBADF);
  switch (op->sqe.opcode) {
    case IORING_OP_POLL_ADD:
      return BeginPoll(op);
    case IORING_OP_TIMEOUT:
      return BeginTimeout(op);
    case IORING_OP_ASYNC_CANCEL:
      return FinishAndArm(op, Cancel(op->sqe.addr));
    default:
      break;
  }
  if ((op->sqe.flags & IOSQE_ASYNC) != 0) return BeginJob(op, /*slow=*/true);
  lock.unlock();
  const Attempt attempt = Try(op->sqe, 0);
  lock.lock();
  Begin(op, attempt);
}

void ThreadRing::Begin(Op* op, const Attempt& attempt) {
  using Next = Attempt::Next;
  if (attempt.next == Next::kDone) return FinishAndArm(op, attempt.value);
  op->done = attempt.value;
  if (op->cancel_requested.load(std::memory_order_relaxed)) return FinishAndArm(op, op->Cancelled());
  if (attempt.next == Next::kFileThread || attempt.next == Next::kSlowThread)
    return BeginJob(op, attempt.next == Next::kSlowThread);
  op->waits_in_call = attempt.next == Next::kWhenReadableWait || attempt.next == Next::kWhenWritableWait;
  const bool reads = attempt.next == Next::kWhenReadable || attempt.next == Next::kWhenReadableWait;
  op->place = Op::Place::kWatched;
  const int error = watches_->Add(op->wait, op->sqe.fd, reads ? POLLIN : POLLOUT);
  // Nothing to wait for: it is the call that waits.
  if (error == -EPERM) return BeginJob(op, /*slow=*/true);
  if (error != 0) return FinishAndArm(op, error);
  op->sqe.fd = op->wait.watch->held;
}

void ThreadRing::BeginPoll(Op* op) {
  // io_uring looks for POLLRDHUP too, always.
  const uint32_t events = op->sqe.poll32_events | POLLRDHUP;
  pollfd now = {.fd = op->sqe.fd, .events = static_cast<short>(events), .revents = 0};
  if (poll(&now, 1, 0) > 0) return FinishAndArm(op, (now.revents & POLLNVAL) != 0 || now.fd < 0 ? -EBADF : now.revents);
  if (now.fd < 0) return FinishAndArm(op, -EBADF);
  op->place = Op::Place::kWatched;
  op->wait.only_looks = true;
  const int error = watches_->Add(op->wait, op->sqe.fd, events);
  // What is asked of a regular file and not there never will be: it waits until it is cancelled.
  if (error != 0 && error != -EPERM) FinishAndArm(op, error);
}

void ThreadRing::BeginTimeout(Op* op) {
  const auto* length = reinterpret_cast<const __kernel_timespec*>(static_cast<uintptr_t>(op->sqe.addr));
  if (length->tv_sec < 0 || length->tv_nsec < 0 || length->tv_nsec >= kSecond) return FinishAndArm(op, -EINVAL);
  const int64_t most = INT64_MAX / kSecond - 1;
  const int64_t ns = std::min<int64_t>(length->tv_sec, most) * kSecond + length->tv_nsec;
  const int64_t now = (op->sqe.timeout_flags & IORING_TIMEOUT_ABS) != 0 ? 0 : Now();
  op->place = Op::Place::kTimer;
  op->timer = timers_.emplace(ns > INT64_MAX - now ? INT64_MAX : now + ns, op);
  SetTimer();
}

void ThreadRing::BeginJob(Op* op, bool slow) {
  op->place = Op::Place::kJob;
  op->slow = slow;
  op->running = false;
  if (op->wait.watch == nullptr) {
    // Out of descriptors: the program's own will do, as long as it stays open. A Close must close that very number.
    const FdsOfCall fds = op->sqe.opcode == IORING_OP_CLOSE ? FdsOfCall() : FdsOf(op->sqe);
    if (fds.first >= 0) op->held[0] = pools_->held.Hold(fds.first);
    if (fds.second >= 0) op->held[1] = pools_->held.Hold(fds.second);
    if (op->held[0] >= 0) op->sqe.fd = op->held[0];
    if (op->held[1] >= 0) op->sqe.splice_fd_in = op->held[1];
  }
  op->work.run = &ThreadRing::RunJob;
  op->work.next = nullptr;
  NewJobs& jobs = slow ? new_slow_jobs_ : new_file_jobs_;
  (jobs.last == nullptr ? jobs.first : jobs.last->next) = &op->work;
  jobs.last = &op->work;
  ++jobs.count;
  ++jobs_;
}

int32_t ThreadRing::Cancel(uint64_t user_data) {
  const auto found = by_user_data_.find(user_data);
  if (found == by_user_data_.end()) return -ENOENT;
  Op* op = found->second;
  switch (op->place) {
    case Op::Place::kTrying:
      op->cancel_requested.store(true, std::memory_order_relaxed);
      return -EALREADY;
    case Op::Place::kWatched:
    case Op::Place::kTimer:
      FinishAndArm(op, op->Cancelled());
      return 0;
    case Op::Place::kJob:
      if ((op->slow ? pools_->slow : pools_->files).RemoveQueued(&op->work)) {
        --jobs_;
        FinishAndArm(op, op->Cancelled());
        return 0;
      }
      Stop(op);
      return -EALREADY;
  }
  return -ENOENT;
}

// A file thread is not interrupted: what it waits for comes soon, and half a transfer would look like the end of the file.
void ThreadRing::Stop(Op* op) {
  const bool again = op->cancel_requested.exchange(true, std::memory_order_relaxed);
  if (again || !op->slow || !op->running) return;
  interrupted_.push_back(op);
  Interrupt(op->thread);
  SetTimer();
}

bool ThreadRing::Finish(Op* op, int32_t value) {
  const auto found = by_user_data_.find(op->sqe.user_data);
  if (found != by_user_data_.end() && found->second == op) by_user_data_.erase(found);
  if (op->place == Op::Place::kTimer) timers_.erase(op->timer);
  op->place = Op::Place::kTrying;
  for (int& held : op->held) {
    if (held >= 0) pools_->held.Release(held);
    held = -1;
  }
  const bool watch_stays = op->wait.watch == nullptr || watches_->Remove(op->wait);
  EndChain(op, value);
  return watch_stays;
}

void ThreadRing::FinishAndArm(Op* op, int32_t value) {
  FdWatch* watch = op->wait.watch;
  if (Finish(op, value) && watch != nullptr) watches_->Arm(*watch);
}

void ThreadRing::EndChain(Op* op, int32_t value) {
  Post(op->sqe.user_data, value);
  Op* follower = op->follower;
  const bool goes_on = value >= 0 || (op->sqe.flags & IOSQE_IO_HARDLINK) != 0;
  Free(op);
  if (follower != nullptr && goes_on) return followers_.push_back(follower);
  while (follower != nullptr) {
    Post(follower->sqe.user_data, -ECANCELED);
    Free(std::exchange(follower, follower->follower));
  }
}

void ThreadRing::Post(uint64_t user_data, int32_t value) {
  memory_.Post(user_data, value);
  if (waiting_ > 0) completed_.notify_all();
  if (announce_fd_ < 0) return;
  const uint64_t one = 1;
  // It fails only when the counter is about to overflow, and then it is readable anyway.
  [[maybe_unused]] const ssize_t written = write(announce_fd_, &one, sizeof(one));
}

bool ThreadRing::Announce(int event_fd) {
  const Lock lock(mutex_);
  announce_fd_ = event_fd;
  return true;
}

void ThreadRing::Settle(Lock& lock) {
  for (;;) {
    if (!followers_.empty()) {
      for (Op* op : std::exchange(followers_, {})) Issue(op, lock);
      continue;
    }
    const NewJobs files = std::exchange(new_file_jobs_, {});
    const NewJobs slow = std::exchange(new_slow_jobs_, {});
    if (files.first == nullptr && slow.first == nullptr) return;
    lock.unlock();
    const auto hand_over = [](FileWorkers& pool, const NewJobs& jobs) {
      if (jobs.first == nullptr || pool.Add(jobs.first, jobs.last, jobs.count)) return;
      // Not one thread is to be had: better slow than never.
      for (FileWorkers::Job* job = jobs.first; job != nullptr;) RunJob(std::exchange(job, job->next));
    };
    hand_over(pools_->files, files);
    hand_over(pools_->slow, slow);
    lock.lock();
  }
}

void ThreadRing::RunJob(FileWorkers::Job* job) {
  Op* op = static_cast<Op::Work*>(job)->op;
  op->ring->Execute(op);
}

void ThreadRing::Execute(Op* op) {
  Lock lock(mutex_);
  op->thread = pthread_self();
  op->running = true;
  int32_t value = -ECANCELED;
  if (!op->cancel_requested.load(std::memory_order_relaxed)) {
    lock.unlock();
    do {
      if (op->slow) {
        const InterruptibleCall interruptible;
        value = CallAndWait(op->sqe, op->done);
      } else {
        value = CallAndWait(op->sqe, op->done);
      }
      // close(2) has closed the fd all the same.
    } while (value == -EINTR && op->sqe.opcode != IORING_OP_CLOSE && !op->cancel_requested.load(std::memory_order_relaxed));
    lock.lock();
  }
  if (value == -EINTR && op->cancel_requested.load(std::memory_order_relaxed)) value = op->Cancelled();
  op->running = false;
  std::erase(interrupted_, op);
  FinishAndArm(op, value);
  // Not yet an end: the ring waits for the followers, too.
  Settle(lock);
  --jobs_;
  job_ended_.notify_all();
}

void* ThreadRing::RunPoller(void* self) {
  NameLibraryThread("agentos-poll");
  static_cast<ThreadRing*>(self)->Poll();
  return nullptr;
}

void ThreadRing::Poll() {
  std::array<epoll_event, 64> events;
  for (;;) {
    const int count = epoll_wait(watches_->fd(), events.data(), static_cast<int>(events.size()), -1);
    Lock lock(mutex_);
    if (stopping_) return;
    for (int i = 0; i < count; ++i) {
      if (events[static_cast<size_t>(i)].data.u64 == kTimerId) {
        RunTimers();
      } else if (FdWatch* watch = watches_->Find(events[static_cast<size_t>(i)].data.u64)) {
        Serve(*watch, events[static_cast<size_t>(i)].events, lock);
      }
    }
    Settle(lock);
  }
}

void ThreadRing::Serve(FdWatch& watch, uint32_t events, Lock& lock) {
  ++round_;
  const uint64_t round = round_;
  while (FdWaiting* waiting = FdWatches::NextReady(watch, events, round)) {
    Op* op = static_cast<Op::Wait*>(waiting)->op;
    if (waiting->only_looks) {
      if (!Finish(op, static_cast<int32_t>(events & (waiting->events | POLLERR | POLLHUP)))) return;
      continue;
    }
    waiting->busy = true;
    if (op->waits_in_call) {
      BeginJob(op, /*slow=*/true);
      continue;
    }
    op->place = Op::Place::kTrying;
    lock.unlock();
    const Attempt attempt = Try(op->sqe, op->done);
    lock.lock();
    waiting->busy = false;
    op->place = Op::Place::kWatched;
    int32_t value = attempt.value;
    if (attempt.next != Attempt::Next::kDone) {
      op->futile = attempt.value > op->done ? 0 : op->futile + 1;
      op->done = attempt.value;
      // Nothing there any more, neither for those behind it.
      events &= ~(waiting->events & ~uint32_t{POLLERR | POLLHUP});
      const bool cancelled = op->cancel_requested.load(std::memory_order_relaxed);
      if (!cancelled && op->futile < kMostFutileTries) continue;
      value = cancelled ? op->Cancelled() : op->done > 0 ? op->done : -EAGAIN;
    }
    if (!Finish(op, value)) return;
  }
  watches_->Arm(watch);
}

void ThreadRing::RunTimers() {
  uint64_t expirations;
  [[maybe_unused]] const ssize_t n = read(timer_fd_, &expirations, sizeof(expirations));
  timer_set_ns_ = 0;
  const int64_t now = Now();
  while (!timers_.empty() && timers_.begin()->first <= now) FinishAndArm(timers_.begin()->second, -ETIME);
  for (const Op* op : interrupted_) Interrupt(op->thread);
  SetTimer();
}

void ThreadRing::SetTimer() {
  int64_t next = timers_.empty() ? 0 : std::max<int64_t>(1, timers_.begin()->first);
  if (!interrupted_.empty()) {
    const int64_t again = Now() + kInterruptPauseNs;
    next = next == 0 ? again : std::min(next, again);
  }
  if (stopping_) next = 1;
  if (next == 0 || (timer_set_ns_ != 0 && timer_set_ns_ <= next && !stopping_)) return;
  timer_set_ns_ = next;
  itimerspec when = {};
  when.it_value = {.tv_sec = next / kSecond, .tv_nsec = next % kSecond};
  timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &when, nullptr);
}

}  // namespace agentos
