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

absl::StatusOr<AsyncRing*> IoUringAsyncHandler::FindOrMake(Pid pid) {
  std::unique_ptr<AsyncRing>& ring = rings_[pid];
  if (ring == nullptr) {
    absl::StatusOr<std::unique_ptr<AsyncRing>> made =
        manager_->HasRing(pid) ? AsyncRing::Adopt(*manager_, pid) : AsyncRing::Create(*manager_, pid);
    if (!made.ok()) {
      rings_.erase(pid);
      return made.status();
    }
    ring = *std::move(made);
  }
  return ring.get();
}

std::vector<AsyncRing*> IoUringAsyncHandler::Busy() const {
  std::vector<AsyncRing*> busy;
  for (const auto& [pid, ring] : rings_) {
    if (ring->under_way() > 0) busy.push_back(ring.get());
  }
  return busy;
}

size_t IoUringAsyncHandler::under_way() const {
  size_t sum = 0;
  for (const auto& [pid, ring] : rings_) sum += ring->under_way();
  return sum;
}

size_t IoUringAsyncHandler::RunReady() {
  size_t ended = 0;
  // Answers may bring requests of processes that are new.
  for (AsyncRing* ring : Busy()) ended += ring->RunReady();
  return ended;
}

size_t IoUringAsyncHandler::RunOnce(absl::Duration timeout) {
  const std::vector<AsyncRing*> busy = Busy();
  if (busy.empty()) return 0;
  if (busy.size() == 1) return busy.front()->RunOnce(timeout);
  const absl::Time deadline = absl::Now() + timeout;
  for (;;) {
    if (const size_t ended = RunReady(); ended > 0) return ended;
    std::vector<pollfd> watched;
    for (AsyncRing* ring : Busy()) {
      if (const absl::StatusOr<int> fd = ring->event_fd(); fd.ok())
        watched.push_back({.fd = *fd, .events = POLLIN, .revents = 0});
    }
    // Where descriptors have run out the rings are waited for in turn.
    if (watched.empty()) return busy.front()->RunOnce(std::min(timeout, absl::Milliseconds(1)));
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
