#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "agentos/executor/lane.h"

// How threads wait for a lane: one leads in the kernel, the others sleep until their completion or the leader's place comes. The
// picture is in lane.h.

namespace agentos {

namespace {

// How long to leave a kernel alone that has no memory for submissions, before they are offered again.
constexpr int64_t kPauseNs = 1'000'000;

bool IsShortage(int result) { return result == -EAGAIN || result == -EBUSY || result == -ENOMEM; }

bool IsRefusal(int result) {
  return result < 0 && result != -EINTR && result != -ETIME && result != -EBADR && !IsShortage(result);
}

}  // namespace

void LaneLock::Sleep(std::condition_variable& condition, int64_t deadline_ns) {
  std::unique_lock<std::mutex> held(lane_->mutex_, std::adopt_lock);
  if (deadline_ns == Deadline::kNever) {
    condition.wait(held);
  } else {
    condition.wait_until(held, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(deadline_ns)));
  }
  held.release();
}

void Lane::Await(LaneLock& lock, Waiter& waiter, Deadline& deadline) {
  const int64_t deadline_ns = deadline.ns();
  waiter.outcome = Waiter::Outcome::kWaiting;
  RingWaiters& others = waiter.group == nullptr ? waiter.ring->waiters : waiter.group->waiters;
  others.PushBack(&waiter);
  waiter.of_ring = true;
  waiters_.PushBack(&waiter);
  while (waiter.outcome == Waiter::Outcome::kWaiting) {
    if (!outbox_.empty()) {
      lock.Unlock();
      lock.Lock(*this);
      continue;
    }
    const int64_t until_ns = std::min(deadline_ns, NextTimer());
    const int64_t now_ns = until_ns == Deadline::kNever ? 0 : MonotonicNanos();
    if (now_ns >= deadline_ns) break;
    if (leader_ == nullptr) {
      leader_sleeps_until_ns_ = until_ns;
      Lead(lock, waiter, until_ns == Deadline::kNever ? -1 : std::max<int64_t>(0, until_ns - now_ns));
    } else if (kernel_->Unsubmitted() > 0) {
      // The leader is in the kernel already and does not take them along.
      Drive();
      if (kernel_->Unsubmitted() > 0) lock.Sleep(waiter.wake_up, std::min(deadline_ns, MonotonicNanos() + kPauseNs));
    } else if (!EveryJobRingsTheBell()) {
      Drive();
    } else {
      lock.Sleep(waiter.wake_up, deadline_ns);
    }
  }
  if (waiter.of_ring) others.Remove(&waiter);
  waiters_.Remove(&waiter);
  if (leader_ != nullptr) return;
  for (Waiter* next = waiters_.front(); next != nullptr; next = next->next_of_lane) {
    if (next->outcome != Waiter::Outcome::kWaiting) continue;
    next->wake_up.notify_one();
    return;
  }
}

void Lane::SubmitAndWaitForAny(Deadline& deadline) {
  const unsigned submit = kernel_->Unsubmitted();
  kernel_->Publish();
  ++counters_.kernel_entries;
  // The moment of acceptance was an instant ago.
  deadline.Start(now_ns_);
  const int64_t until_ns = std::min(deadline.ns(), NextTimer());
  const int64_t left = until_ns == Deadline::kNever ? -1 : std::max<int64_t>(0, until_ns - now_ns_);
  if (kernel_->Enter({.submit = submit, .min_complete = 1, .timeout_ns = left}) == -EBADR) FailAllInKernel();
  Drive();
}

void Lane::Lead(LaneLock& lock, Waiter& waiter, int64_t timeout_ns) {
  // Without other threads only a worker's result can come from elsewhere.
  if (!wake_armed_ && (!options_.one_thread || jobs_under_way_ > 0)) ArmWakeUp();
  const unsigned submit = kernel_->Unsubmitted();
  kernel_->Publish();
  ++counters_.kernel_entries;
  leader_ = &waiter;
  leader_asleep_.store(true, std::memory_order_relaxed);
  // Before the look at what has finished: a job that it misses will see this.
  jobs_until_bell_.store(JobsWorthWaking(waiter), std::memory_order_seq_cst);
  int taken = 0;
  if (finished_jobs_.load(std::memory_order_seq_cst) == nullptr && !kernel_->HasCqes()) {
    lock.Unlock();
    taken = kernel_->Enter({.submit = submit, .min_complete = 1, .timeout_ns = timeout_ns});
    if (submit > 0 && IsShortage(taken)) {
      // The kernel is short of memory and did not even begin to wait: something that ends may change that.
      taken = kernel_->Enter({.min_complete = 1, .timeout_ns = kPauseNs});
    }
    // The program closed the ring's fd, or forbade io_uring_enter after the ring was made: there is nothing to wait in.
    if (IsRefusal(taken)) std::this_thread::sleep_for(std::chrono::nanoseconds(kPauseNs));
    // Before it has the lock again: whoever holds that need not wake it any more.
    leader_asleep_.store(false, std::memory_order_relaxed);
    lock.Lock(*this);
  }
  jobs_until_bell_.store(0, std::memory_order_relaxed);
  leader_ = nullptr;
  if (taken == -EBADR) FailAllInKernel();
  Drive();
}

int64_t Lane::JobsWorthWaking(const Waiter& leader) const {
  // Waking a thread costs as much as reading ten files. Only a leader that waits alone, for many, and with nothing left to start
  // can do without each single one.
  const bool alone = waiters_.front()->next_of_lane == nullptr;
  if (!alone || leader.what != Waiter::For::kCount || leader.ring->may_start()) return 1;
  const size_t missing = leader.count - std::min(leader.count, leader.ring->completed().size());
  return static_cast<int64_t>(std::max<size_t>(1, std::min(missing, jobs_under_way_)));
}

bool Lane::EveryJobRingsTheBell() {
  if (jobs_until_bell_.load(std::memory_order_seq_cst) <= 1) return true;
  jobs_until_bell_.store(1, std::memory_order_seq_cst);
  // What has finished before the store may have been counted towards the larger number.
  return finished_jobs_.load(std::memory_order_seq_cst) == nullptr;
}

void Lane::Satisfy(Waiter& waiter, Waiter::Outcome outcome) {
  waiter.outcome = outcome;
  if (&waiter == leader_) {
    owes_wake_up_ = true;
  } else {
    waiter.wake_up.notify_one();
  }
}

void Lane::ArmWakeUp() {
  wake_armed_ = true;
  if (wake_fd_ == kNoFd) return;
  io_uring_sqe* sqe = NextInternalSqe(1);
  if (sqe == nullptr) {
    wake_armed_ = false;
    return;
  }
  sqe->opcode = IORING_OP_READ;
  sqe->fd = wake_fd_;
  sqe->addr = reinterpret_cast<uintptr_t>(&wake_value_);
  sqe->len = sizeof(wake_value_);
  sqe->user_data = InternalUserData(kWakeUpMember);
}

void Lane::WakeLeader() {
  owes_wake_up_ = false;
  if (leader_ == nullptr || !leader_asleep_.load(std::memory_order_relaxed)) return;
  // The result of this very wake-up is not looked at here: it is for the leader to find.
  if (!wake_armed_) {
    ArmWakeUp();
    Submit();
  }
  RingBell();
}

void Lane::RingBell() {
  if (wake_fd_ == kNoFd) return kernel_->Wake(InternalUserData(kWakeUpMember));
  const uint64_t one = 1;
  // It fails only when the counter is about to overflow, and then the bell is ringing anyway.
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
}

void Lane::DismissWaiters(BoundRing& ring) {
  while (Waiter* waiter = ring.waiters.front()) {
    ring.waiters.Remove(waiter);
    waiter->of_ring = false;
    // One that was handed its completion, and has not woken yet, keeps it. One that was told of many would find them gone.
    if (waiter->slot == nullptr && waiter->outcome != Waiter::Outcome::kTakenByAnother) {
      Satisfy(*waiter, Waiter::Outcome::kRingGone);
    }
  }
}

void Lane::Forget(BoundRing& ring) {
  shares_.Remove(ring);
  for (const BoundRing::Registration& registration : ring.registrations) kernel_->RemoveBuffer(registration.number);
  ring.registrations.clear();
  for (const int fd : ring.files) kernel_->RemoveFile(fd);
  ring.files.clear();
  ring.paused.clear();
}

bool Lane::Close() {
  if (slots_.live() > 0 || jobs_under_way_ > 0) return false;
  constexpr int64_t kPatienceNs = 1'000'000'000;
  const int64_t deadline_ns = MonotonicNanos() + kPatienceNs;
  if (wake_armed_) RingBell();
  while ((wake_armed_ || !lent_.empty()) && MonotonicNanos() < deadline_ns) {
    kernel_->Publish();
    kernel_->Enter({.submit = kernel_->Unsubmitted(), .min_complete = 1, .timeout_ns = deadline_ns - MonotonicNanos()});
    Collect();
  }
  return !wake_armed_ && lent_.empty();
}

}  // namespace agentos
