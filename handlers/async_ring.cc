#include "agentos/handlers/async_ring.h"

#include <glog/logging.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "agentos/handlers/async_ring_group.h"
#include "agentos/handlers/call_and_log.h"
#include "agentos/handlers/ring_mailbox.h"

namespace agentos {

namespace {

using handlers_internal::RingMailbox;

constexpr uint32_t kNoPlace = ~uint32_t{0};
// Completions that one turn takes at most.
constexpr size_t kTurn = 256;
// Places of the ring that the loop leaves free: one for the Nop that wakes it.
constexpr size_t kSpare = 1;

uint32_t PlaceOf(uint64_t token) { return static_cast<uint32_t>(token); }
uint32_t GenerationOf(uint64_t token) { return static_cast<uint32_t>(token >> 32); }

int ErrnoOf(const absl::Status& refusal) {
  switch (refusal.code()) {
    case absl::StatusCode::kInvalidArgument:
      return EINVAL;
    case absl::StatusCode::kResourceExhausted:
      return ENOBUFS;
    default:
      return ECANCELED;
  }
}

absl::Status CheckSizes(const RingOptions& options) {
  if (std::min(options.sq_size, options.cq_size) > kSpare) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("RingOptions.sq_size and cq_size are ", options.sq_size, " and ",
                                                 options.cq_size, ": an AsyncRing needs at least ", kSpare + 1, " of both"));
}

}  // namespace

RingOptions AsyncRing::DefaultOptions() {
  RingOptions options;
  options.sq_size = kMaxQueueSize;
  options.cq_size = kMaxQueueSize;
  return options;
}

absl::StatusOr<std::unique_ptr<AsyncRing>> AsyncRing::Create(IoUringManager& manager, Pid pid, RingOptions options) {
  options.overflow = OverflowPolicy::kBackpressure;
  if (absl::Status sizes = CheckSizes(options); !sizes.ok()) return sizes;
  if (absl::Status made = manager.CreateRing(pid, options); !made.ok()) return made;
  return std::unique_ptr<AsyncRing>(new AsyncRing(manager, pid, options, /*owns_ring=*/true));
}

absl::StatusOr<std::unique_ptr<AsyncRing>> AsyncRing::Adopt(IoUringManager& manager, Pid pid) {
  const absl::StatusOr<RingOptions> options = manager.OptionsOf(pid);
  if (!options.ok()) return options.status();
  if (absl::Status sizes = CheckSizes(*options); !sizes.ok()) return sizes;
  return std::unique_ptr<AsyncRing>(new AsyncRing(manager, pid, *options, /*owns_ring=*/false));
}

AsyncRing::AsyncRing(IoUringManager& manager, Pid pid, const RingOptions& options, bool owns_ring)
    : manager_(manager),
      pid_(pid),
      owns_ring_(owns_ring),
      room_(std::min(options.sq_size, options.cq_size) - kSpare),
      mailbox_(std::make_shared<RingMailbox>(&manager, pid)),
      first_free_(kNoPlace),
      completions_(kTurn) {}

AsyncRing::~AsyncRing() {
  mailbox_->Close();
  if (!owns_ring_) StopAll();
  closing_ = true;
  if (group_ != nullptr) group_->Forget(*this);
  spawned_.DestroyAll();
  for (Place& place : places_) {
    if (place.live) LetGo(place);
  }
  if (!owns_ring_) return;
  // What nobody heard of goes with the ring: DestroyRing closes the descriptors in it.
  const absl::Status destroyed = manager_.DestroyRing(pid_);
  if (!destroyed.ok() && !absl::IsNotFound(destroyed)) LOG(WARNING) << destroyed.message();
}

void AsyncRing::LetGo(Place& place) {
  PendingOperation* const operation = std::exchange(place.operation, nullptr);
  if (operation == nullptr) return;
  operation->ring_ = nullptr;
  operation->OnRingGone();
}

void AsyncRing::StopAll() {
  spawned_.DestroyAll();
  closing_ = true;
  for (Place& place : places_) {
    if (!place.live) continue;
    LetGo(place);
    if (place.seq == 0) {
      ++unwanted_;
    } else {
      static_cast<void>(manager_.Cancel(pid_, place.seq));
    }
  }
  constexpr absl::Duration kPatience = absl::Seconds(5);
  if (absl::Status idle = RunUntilIdle(kPatience); !idle.ok()) LOG(WARNING) << idle.message();
}

void AsyncRing::Spawn(Task<void> task) { spawned_.Start(std::move(task)); }

void AsyncRing::Post(absl::AnyInvocable<void()> call) { mailbox_->Post(std::move(call)); }

// Beginning.

uint32_t AsyncRing::TakePlace() {
  if (first_free_ == kNoPlace) {
    places_.emplace_back();
    return static_cast<uint32_t>(places_.size() - 1);
  }
  return std::exchange(first_free_, places_[first_free_].next_free);
}

void AsyncRing::FreePlace(uint32_t place) {
  Place& freed = places_[place];
  ++freed.generation;
  freed.operation = nullptr;
  freed.live = false;
  freed.next_free = std::exchange(first_free_, place);
  --live_;
}

std::optional<uint64_t> AsyncRing::Begin(PendingOperation& operation, SyscallSubmissionEntry entry) {
  // Begun by somebody who was told that the ring is going: nobody would drive it.
  if (closing_) return std::nullopt;
  const uint32_t index = TakePlace();
  Place& place = places_[index];
  place.operation = &operation;
  place.seq = 0;
  place.user_data = entry.user_data();
  place.kind = entry.kind();
  place.live = true;
  place.cancel_requested = false;
  ++live_;
  operation.ring_ = this;
  operation.place_ = index;
  const uint64_t token = TokenOf(index);
  entry.set_user_data(token);
  batch_.push_back(std::move(entry));
  NoteBegun();
  return token;
}

void AsyncRing::NoteBegun() {
  if (group_ == nullptr || has_begun_) return;
  has_begun_ = true;
  group_->NoteBegun(*this);
}

void AsyncRing::Abandon(PendingOperation& operation) noexcept {
  Place& place = places_[operation.place_];
  operation.ring_ = nullptr;
  place.operation = nullptr;
  if (closing_ || ring_gone_) return;
  if (place.seq == 0) {
    ++unwanted_;
  } else {
    // It may have completed by itself; then its completion is on its way.
    static_cast<void>(manager_.Cancel(pid_, place.seq));
  }
}

void AsyncRing::RequestCancel(uint32_t index) {
  Place& place = places_[index];
  place.cancel_requested = true;
  if (place.seq == 0) {
    ++unwanted_;
  } else {
    static_cast<void>(manager_.Cancel(pid_, place.seq));
  }
}

void PendingOperation::Abandon() noexcept { ring_->Abandon(*this); }

void PendingOperation::RequestCancel() {
  if (ring_ != nullptr) ring_->RequestCancel(place_);
}

// The loop.

void AsyncRing::DriveUntil(const bool& done) {
  while (!done) Turn(1, absl::InfiniteDuration());
}

size_t AsyncRing::RunReady() {
  if (group_ != nullptr) return group_->RunReady();
  const size_t handed_out = Turn(0, absl::ZeroDuration());
  // What began by that must be under way before the program waits elsewhere.
  return handed_out + SubmitBegun();
}

size_t AsyncRing::SubmitBegun() {
  size_t handed_out = 0;
  while (depth_ == 0 && !mailbox_->MaySleep()) ServeMailbox();
  if (unwanted_ > 0) handed_out += DropUnwanted();
  if (ring_gone_) return handed_out + EndAll();
  while (const size_t count = ring_gone_ ? 0 : NextBatch()) {
    seqs_.resize(count);
    const absl::Status submitted =
        manager_.SubmitBatch(pid_, absl::MakeSpan(batch_).subspan(batch_begin_, count), absl::MakeSpan(seqs_));
    if (submitted.ok()) {
      OnAccepted(count);
      continue;
    }
    const size_t refused = OnRefusal(submitted);
    handed_out += refused;
    if (refused == 0 && absl::IsResourceExhausted(submitted)) break;
  }
  return handed_out;
}

size_t AsyncRing::RunOnce(absl::Duration timeout) { return Turn(1, timeout); }

absl::Status AsyncRing::RunUntilIdle(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (live_ > 0) {
    const absl::Duration left = timeout == absl::InfiniteDuration() ? timeout : deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(absl::StrCat(live_, " operations of pid ", pid_, " are still under way"));
    }
    Turn(1, left);
  }
  return absl::OkStatus();
}

size_t AsyncRing::Turn(size_t min, absl::Duration timeout) {
  if (group_ != nullptr) return group_->Turn(min, timeout);
  if (depth_ > 0) {
    // Within a callback: the completions of the outer turn are not all handed out yet.
    std::vector<SyscallCompletionEntry> out(kTurn);
    return TurnInto(out, min, timeout);
  }
  return TurnInto(completions_, min, timeout);
}

size_t AsyncRing::TurnInto(std::vector<SyscallCompletionEntry>& out, size_t min, absl::Duration timeout) {
  // What is called, or ends, without the kernel may be what the caller waits for.
  const bool has_mail = mailbox_->has_mail();
  if (has_mail) ServeMailbox();
  size_t handed_out = unwanted_ == 0 ? 0 : DropUnwanted();
  if (ring_gone_) return handed_out + EndAll();
  const size_t count = NextBatch();
  const bool may_wait = min > 0 && !has_mail && handed_out == 0 && mailbox_->MaySleep();
  const absl::Span<SyscallSubmissionEntry> entries = absl::MakeSpan(batch_).subspan(batch_begin_, count);
  seqs_.resize(count);
  absl::StatusOr<size_t> taken =
      manager_.SubmitAndWait(pid_, entries, absl::MakeSpan(seqs_), may_wait ? min : 0, absl::MakeSpan(out), timeout);
  mailbox_->WakesUp();
  if (count > 0 && !entries.front().has_operation()) OnAccepted(count);

  if (taken.ok()) {
    ++depth_;
    for (size_t i = 0; i < *taken; ++i) handed_out += HandOut(out[i]) ? 1 : 0;
    --depth_;
  } else {
    handed_out += OnRefusal(taken.status());
  }
  // Whoever posts from now on wakes the ring, or its event_fd.
  while (depth_ == 0 && !mailbox_->MaySleep()) ServeMailbox();
  return handed_out;
}

size_t AsyncRing::OnRefusal(const absl::Status& status) {
  if (absl::IsDeadlineExceeded(status)) return 0;
  if (absl::IsInvalidArgument(status)) return RefuseFirstChain(status);
  if (absl::IsResourceExhausted(status)) {
    // Room comes as others end: wait for one of them alone. With nothing under way it never will.
    return accepted_ == 0 ? RefuseFirstChain(status) : 0;
  }
  ring_gone_ = true;
  return EndAll();
}

size_t AsyncRing::NextBatch() const {
  const size_t waiting = batch_.size() - batch_begin_;
  const size_t room = room_ - std::min(room_, accepted_);
  if (waiting <= room) return waiting;
  size_t count = room;
  while (count > 0 && batch_[batch_begin_ + count - 1].link() != Link::kNone) --count;
  // A chain that is longer than the ring is refused when there is nothing else to wait for.
  return count == 0 && accepted_ == 0 ? waiting : count;
}

size_t AsyncRing::DropUnwanted() {
  std::vector<uint32_t> stopped;
  bool linked = false;
  const auto is_unwanted = [&](const SyscallSubmissionEntry& entry) {
    const uint32_t place = PlaceOf(entry.user_data());
    const bool was_linked = std::exchange(linked, entry.link() != Link::kNone);
    // A chain begins whole, and its members are stopped one by one.
    if (was_linked || linked) return false;
    if (places_[place].operation == nullptr) {
      FreePlace(place);
    } else if (places_[place].cancel_requested) {
      stopped.push_back(place);
    } else {
      return false;
    }
    return true;
  };
  batch_.erase(std::remove_if(batch_.begin() + static_cast<ptrdiff_t>(batch_begin_), batch_.end(), is_unwanted), batch_.end());
  const size_t dropped = std::exchange(unwanted_, 0);
  ++depth_;
  for (const uint32_t place : stopped) Conclude(place, SyscallCompletionStatus::Cancelled(places_[place].kind));
  --depth_;
  return dropped;
}

void AsyncRing::OnAccepted(size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const uint32_t index = PlaceOf(batch_[batch_begin_ + i].user_data());
    Place& place = places_[index];
    place.seq = seqs_[i];
    if (place.operation == nullptr || place.cancel_requested) [[unlikely]] {
      static_cast<void>(manager_.Cancel(pid_, place.seq));
    }
  }
  accepted_ += count;
  batch_begin_ += count;
  if (batch_begin_ < batch_.size()) return;
  batch_.clear();
  batch_begin_ = 0;
}

size_t AsyncRing::RefuseFirstChain(const absl::Status& why) {
  // The batch is refused as a whole, for the sake of one: chain by chain it shows whose fault it is.
  size_t count = 1;
  while (batch_begin_ + count < batch_.size() && batch_[batch_begin_ + count - 1].link() != Link::kNone) ++count;
  std::vector<SyscallSubmissionEntry> chain;
  for (size_t i = 0; i < count; ++i) chain.push_back(std::move(batch_[batch_begin_ + i]));
  std::vector<Seq> seqs(count);
  const absl::Status status =
      absl::IsInvalidArgument(why) ? manager_.SubmitBatch(pid_, absl::MakeSpan(chain), absl::MakeSpan(seqs)) : why;
  if (status.ok()) {
    seqs_ = std::move(seqs);
    OnAccepted(count);
    return 0;
  }
  batch_begin_ += count;
  ++depth_;
  for (SyscallSubmissionEntry& entry : chain) Refuse(std::move(entry), status);
  --depth_;
  return count;
}

void AsyncRing::Refuse(SyscallSubmissionEntry entry, const absl::Status& why) {
  Conclude(PlaceOf(entry.user_data()), SyscallCompletionStatus::Error(entry.kind(), ErrnoOf(why), why.message()));
}

void AsyncRing::Conclude(uint32_t index, SyscallCompletionStatus status) {
  const Place place = places_[index];
  FreePlace(index);
  if (place.operation == nullptr) return;
  SyscallCompletionEntry done;
  done.pid = pid_;
  done.user_data = place.user_data;
  done.status = std::move(status);
  place.operation->ring_ = nullptr;
  place.operation->OnCompletion(done);
}

size_t AsyncRing::EndAll() {
  ++depth_;
  // Those that begin meanwhile have their turn with the next call.
  std::vector<SyscallSubmissionEntry> batch;
  batch.swap(batch_);
  const size_t begin = std::exchange(batch_begin_, 0);
  const absl::Status gone = absl::CancelledError(absl::StrCat("the ring of pid ", pid_, " is gone"));
  const size_t ended = batch.size() - begin + accepted_;
  for (size_t i = begin; i < batch.size(); ++i) Refuse(std::move(batch[i]), gone);
  for (uint32_t index = 0; accepted_ > 0 && index < places_.size(); ++index) {
    if (!places_[index].live || places_[index].seq == 0) continue;
    --accepted_;
    Conclude(index, SyscallCompletionStatus::Cancelled(places_[index].kind));
  }
  accepted_ = 0;
  --depth_;
  return ended;
}

bool AsyncRing::HandOut(SyscallCompletionEntry& done) {
  if (done.user_data == RingMailbox::kWakeUp) {
    NoteBegun();
    return false;
  }
  const uint32_t index = PlaceOf(done.user_data);
  if (index >= places_.size() || places_[index].seq != done.seq || TokenOf(index) != done.user_data) [[unlikely]] {
    return false;
  }
  Place& place = places_[index];
  PendingOperation* const operation = place.operation;
  const OperationKind kind = place.kind;
  done.user_data = place.user_data;
  if (!done.more) {
    FreePlace(index);
    --accepted_;
    if (operation != nullptr) operation->ring_ = nullptr;
    // There is room again for those that wait for it.
    if (!batch_.empty()) NoteBegun();
  }
  if (operation != nullptr) {
    operation->OnCompletion(done);
  } else if (done.status.is_success() && MakesFd(kind)) {
    close(static_cast<int>(done.result.value()));
  }
  return operation != nullptr;
}

void AsyncRing::ServeMailbox() {
  RingMailbox::Messages messages = mailbox_->Take();
  if (group_ != nullptr) group_->NoteServedMail();
  ++depth_;
  for (const uint64_t token : messages.stops) {
    const uint32_t index = PlaceOf(token);
    const Place& place = places_[index];
    if (place.live && place.generation == GenerationOf(token)) RequestCancel(index);
  }
  for (absl::AnyInvocable<void()>& call : messages.calls) {
    handlers_internal::CallAndLog("a call that was posted to a ring", [&] { call(); });
  }
  --depth_;
}

void handlers_internal::Stopper::operator()() noexcept { mailbox_->Stop(token_); }

}  // namespace agentos
