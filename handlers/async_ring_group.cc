#include "agentos/handlers/async_ring_group.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"

namespace agentos {

namespace {

// Completions that one turn takes at most.
constexpr size_t kTurn = 256;

}  // namespace

absl::StatusOr<std::unique_ptr<AsyncRingGroup>> AsyncRingGroup::Create(IoUringManager& manager) {
  const absl::StatusOr<RingGroupId> id = manager.NewRingGroup();
  if (!id.ok()) return id.status();
  return std::unique_ptr<AsyncRingGroup>(new AsyncRingGroup(manager, *id));
}

AsyncRingGroup::AsyncRingGroup(IoUringManager& manager, RingGroupId id) : manager_(manager), id_(id), completions_(kTurn) {}

absl::StatusOr<std::unique_ptr<AsyncRing>> AsyncRingGroup::MakeRing(Pid pid, RingOptions options) {
  options.group = id_;
  absl::StatusOr<std::unique_ptr<AsyncRing>> ring = AsyncRing::Create(manager_, pid, options);
  if (!ring.ok()) return ring;
  (*ring)->group_ = this;
  rings_[pid] = ring->get();
  return ring;
}

void AsyncRingGroup::Forget(AsyncRing& ring) {
  rings_.erase(ring.pid());
  std::erase(begun_, &ring);
}

size_t AsyncRingGroup::under_way() const {
  size_t sum = 0;
  for (const auto& [pid, ring] : rings_) sum += ring->under_way();
  return sum;
}

size_t AsyncRingGroup::SubmitBegun() {
  size_t ended = 0;
  // What ends here may begin more, also on rings that were served already, and may drive the group itself.
  while (!begun_.empty()) {
    AsyncRing* const ring = begun_.front();
    begun_.pop_front();
    ring->has_begun_ = false;
    ended += ring->SubmitBegun();
  }
  return ended;
}

size_t AsyncRingGroup::Turn(size_t min, absl::Duration timeout) {
  // Within a callback the completions of the outer turn are not all handed out yet.
  std::vector<SyscallCompletionEntry> own(depth_ > 0 ? kTurn : 0);
  std::vector<SyscallCompletionEntry>& out = depth_ > 0 ? own : completions_;
  ++depth_;
  has_served_mail_ = false;
  size_t ended = SubmitBegun();
  // What was called, or ended, without the kernel may be what the caller waits for.
  const bool may_wait = min > 0 && ended == 0 && !has_served_mail_;
  const absl::StatusOr<size_t> taken = manager_.WaitGroup(id_, may_wait ? min : 0, absl::MakeSpan(out), timeout);
  for (size_t i = 0; i < taken.value_or(0); ++i) {
    const auto found = rings_.find(out[i].pid);
    if (found != rings_.end()) ended += found->second->HandOut(out[i]) ? 1 : 0;
  }
  --depth_;
  return ended;
}

size_t AsyncRingGroup::RunReady() {
  const size_t ended = Turn(0, absl::ZeroDuration());
  // What began by that must be under way before the program waits elsewhere.
  return ended + SubmitBegun();
}

size_t AsyncRingGroup::RunOnce(absl::Duration timeout) { return Turn(1, timeout); }

absl::Status AsyncRingGroup::RunUntilIdle(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (const size_t left = under_way()) {
    const absl::Duration time_left = timeout == absl::InfiniteDuration() ? timeout : deadline - absl::Now();
    if (time_left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(absl::StrCat(left, " operations of a group of rings are still under way"));
    }
    Turn(1, time_left);
  }
  return absl::OkStatus();
}

}  // namespace agentos
