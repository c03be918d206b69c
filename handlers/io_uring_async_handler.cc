#include "agentos/handlers/io_uring_async_handler.h"

#include <poll.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace agentos {

IoUringAsyncHandler::IoUringAsyncHandler(std::shared_ptr<IoUringManager> manager, TakenOperations taken)
    : manager_(std::move(manager)), taken_(taken) {}

IoUringAsyncHandler::~IoUringAsyncHandler() = default;

bool IoUringAsyncHandler::Handle(Pid pid, const Syscall& syscall, AnswerCallback& answer) {
  if (syscall.operation() == nullptr || (taken_ == TakenOperations::kIoBound && !syscall.is_io_bound())) return false;
  absl::StatusOr<SyscallSubmissionEntry> entry = syscall.ToEntry(pid, /*user_data=*/0);
  const absl::StatusOr<AsyncRing*> ring = entry.ok() ? FindOrMake(pid) : entry.status();
  AnswerCallback taken = std::move(answer);
  if (!ring.ok()) {
    taken(SyscallAnswer::Of(ring.status()));
    return true;
  }
  (*ring)->Run(*std::move(entry)).Then([taken = std::move(taken)](SyscallCompletionEntry done) mutable {
    taken(SyscallAnswer::Of(std::move(done)));
  });
  return true;
}

AsyncRing* IoUringAsyncHandler::RingOf(Pid pid) const {
  const auto found = rings_.find(pid);
  return found == rings_.end() ? nullptr : found->second.get();
}

absl::Status IoUringAsyncHandler::AddProcess(Pid pid, RingOptions limits) { return Make(pid, limits).status(); }

void IoUringAsyncHandler::Forget(Pid pid) {
  const auto found = rings_.find(pid);
  if (found == rings_.end()) return;
  std::erase(adopted_, found->second.get());
  // What it is answered with may ask for more, of other processes.
  const std::unique_ptr<AsyncRing> ring = std::move(found->second);
  rings_.erase(found);
}

absl::StatusOr<AsyncRing*> IoUringAsyncHandler::Make(Pid pid, const RingOptions& limits) {
  if (group_ == nullptr) {
    absl::StatusOr<std::unique_ptr<AsyncRingGroup>> group = AsyncRingGroup::Create(*manager_);
    if (!group.ok()) return group.status();
    group_ = *std::move(group);
  }
  absl::StatusOr<std::unique_ptr<AsyncRing>> made = group_->MakeRing(pid, limits);
  if (!made.ok()) return made.status();
  return (rings_[pid] = *std::move(made)).get();
}

absl::StatusOr<AsyncRing*> IoUringAsyncHandler::FindOrMake(Pid pid) {
  if (AsyncRing* ring = RingOf(pid); ring != nullptr) return ring;
  if (!manager_->HasRing(pid)) return Make(pid, AsyncRing::DefaultOptions());
  absl::StatusOr<std::unique_ptr<AsyncRing>> adopted = AsyncRing::Adopt(*manager_, pid);
  if (!adopted.ok()) return adopted.status();
  adopted_.push_back(adopted->get());
  return (rings_[pid] = *std::move(adopted)).get();
}

std::vector<AsyncRing*> IoUringAsyncHandler::BusyAdopted() const {
  std::vector<AsyncRing*> busy;
  for (AsyncRing* ring : adopted_) {
    if (ring->under_way() > 0) busy.push_back(ring);
  }
  return busy;
}

size_t IoUringAsyncHandler::under_way() const {
  size_t sum = group_ == nullptr ? 0 : group_->under_way();
  for (const AsyncRing* ring : adopted_) sum += ring->under_way();
  return sum;
}

size_t IoUringAsyncHandler::RunReady() {
  size_t ended = group_ == nullptr ? 0 : group_->RunReady();
  for (AsyncRing* ring : BusyAdopted()) ended += ring->RunReady();
  return ended;
}

size_t IoUringAsyncHandler::RunOnce(absl::Duration timeout) {
  const std::vector<AsyncRing*> adopted = BusyAdopted();
  if (!adopted.empty()) return RunOnceWithAdopted(adopted, timeout);
  return group_ == nullptr || group_->under_way() == 0 ? 0 : group_->RunOnce(timeout);
}

size_t IoUringAsyncHandler::RunOnceWithAdopted(const std::vector<AsyncRing*>& adopted, absl::Duration timeout) {
  std::vector<AsyncRing*> busy = adopted;
  if (group_ != nullptr) {
    for (const auto& [pid, ring] : rings_) {
      if (ring->under_way() > 0 && std::find(adopted_.begin(), adopted_.end(), ring.get()) == adopted_.end())
        busy.push_back(ring.get());
    }
  }
  if (busy.size() == 1) return busy.front()->RunOnce(timeout);
  const absl::Time deadline = absl::Now() + timeout;
  for (;;) {
    if (const size_t ended = RunReady(); ended > 0) return ended;
    std::vector<pollfd> watched;
    for (AsyncRing* ring : busy) {
      if (const absl::StatusOr<int> fd = ring->event_fd(); fd.ok())
        watched.push_back({.fd = *fd, .events = POLLIN, .revents = 0});
    }
    // Where descriptors have run out the first one is waited for, a little.
    if (watched.size() < busy.size()) return busy.front()->RunOnce(std::min(timeout, absl::Milliseconds(1)));
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return 0;
    const timespec wait = absl::ToTimespec(left);
    ppoll(watched.data(), watched.size(), timeout == absl::InfiniteDuration() ? nullptr : &wait, nullptr);
  }
}

absl::Status IoUringAsyncHandler::RunUntilIdle(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (const size_t left = under_way()) {
    const absl::Duration time_left = timeout == absl::InfiniteDuration() ? timeout : deadline - absl::Now();
    if (time_left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(absl::StrCat(left, " requests are still under way"));
    }
    RunOnce(time_left);
  }
  return absl::OkStatus();
}

}  // namespace agentos
