#include "agentos/executor/lane.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <iterator>
#include <limits>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"

namespace agentos {

namespace {

// Bounded by what a token can name; every ring bounds its own share.
constexpr size_t kMaxSlots = kNoSlotIndex - SlotTable::kSlotsPerChunk;

// How long to leave a kernel alone that has no memory for submissions, before they are offered again.
constexpr int64_t kPauseNs = 1'000'000;

// Results that name no slot: that of the wake-up's read, and those nobody has to hear of.
constexpr unsigned kWakeUpMember = 1;
constexpr unsigned kIgnoredMember = 0;

uint64_t InternalUserData(unsigned member) { return EncodeUserData({kNoSlotIndex, 0}, member); }

bool MovesBytes(OperationKind kind) {
  switch (kind) {
    case OperationKind::kReadFile:
    case OperationKind::kWriteFile:
    case OperationKind::kRead:
    case OperationKind::kWrite:
    case OperationKind::kSend:
    case OperationKind::kRecv:
    case OperationKind::kSendTo:
    case OperationKind::kRecvFrom:
    case OperationKind::kIpcSend:
    case OperationKind::kIpcRecv:
      return true;
    default:
      return false;
  }
}

// Whose mailbox an IpcSend or IpcRecv works on.
Pid MailboxOf(const SyscallSubmissionEntry& entry) {
  const auto* send = std::get_if<operation::IpcSend>(&entry.operation());
  return send == nullptr ? entry.pid() : send->target;
}

void RunFileJob(FileWorkers::Job* base) {
  auto* job = static_cast<FileJob*>(base);
  const int64_t begin = MonotonicNanos();
  const Operation& operation = job->slot->entry.operation();
  if (const auto* write = std::get_if<operation::WriteFile>(&operation)) {
    job->result = WriteWholeFile(write->path.c_str(), write->data.view());
  } else {
    job->result =
        ReadWholeFile(std::get<operation::ReadFile>(operation).path.c_str(), job->max_file_size, std::move(job->first_buffer));
  }
  job->duration_ns = MonotonicNanos() - begin;
  job->lane->PostFromWorker(job);
}

}  // namespace

int64_t MonotonicNanos() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

int64_t DeadlineAfter(int64_t begin_ns, absl::Duration duration) {
  constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  const int64_t length = absl::ToInt64Nanoseconds(duration);  // saturates
  return length >= kNever - begin_ns ? kNever : begin_ns + length;
}

void LaneCounters::Add(const LaneCounters& other) {
  submissions += other.submissions;
  completions += other.completions;
  errors += other.errors;
  cancelled += other.cancelled;
  dropped += other.dropped;
  bytes += other.bytes;
  kernel_entries += other.kernel_entries;
  stale += other.stale;
  for (size_t i = 0; i < kOperationKinds; ++i) completions_by_operation[i] += other.completions_by_operation[i];
  latency.Merge(other.latency);
}

void LaneLock::Unlock() {
  std::vector<IpcDelivery> outbox;
  if (!lane_->outbox_.empty()) outbox.swap(lane_->outbox_);
  if (!lane_->options_.one_thread) lane_->mutex_.unlock();
  lane_ = nullptr;
  // Deliveries may start entries that send messages in their turn: the list grows while it is worked off, without recursion.
  for (size_t i = 0; i < outbox.size(); ++i) {
    Lane& lane = *outbox[i].party.lane;
    LaneLock lock(lane);
    lane.CompleteIpc(std::move(outbox[i]));
    std::move(lane.outbox_.begin(), lane.outbox_.end(), std::back_inserter(outbox));
    lane.outbox_.clear();
  }
}

void LaneLock::Sleep(std::condition_variable& condition, int64_t deadline_ns) {
  std::unique_lock<std::mutex> held(lane_->mutex_, std::adopt_lock);
  if (deadline_ns == std::numeric_limits<int64_t>::max()) {
    condition.wait(held);
  } else {
    condition.wait_until(held, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(deadline_ns)));
  }
  held.release();
}

absl::StatusOr<std::unique_ptr<Lane>> Lane::Create(const Options& options) {
  absl::StatusOr<std::unique_ptr<KernelRing>> kernel = KernelRing::Create(options.kernel);
  if (!kernel.ok()) return kernel.status();
  const int wake_fd = eventfd(0, EFD_CLOEXEC);
  if (wake_fd < 0) return absl::ErrnoToStatus(errno, "eventfd");
  return std::unique_ptr<Lane>(new Lane(options, *std::move(kernel), wake_fd));
}

Lane::Lane(const Options& options, std::unique_ptr<KernelRing> kernel, int wake_fd)
    : options_(options),
      slots_(kMaxSlots),
      buffers_(*kernel),
      kernel_(std::move(kernel)),
      context_{*kernel_, buffers_},
      router_(options.workers->threads() > 1 ? options.workers->threads() : 0),
      wake_fd_(wake_fd) {
  kernel_->set_nosignal_writes(options.nosignal_writes);
}

Lane::~Lane() { close(wake_fd_); }

// -------------------------------------------------------------------------------------------------------------------------------
// Starting.

// An entry passes through a dozen small functions, and their calls would be a third of what it costs: the three functions that
// are entered once per batch take them in whole (gnu::flatten).
[[gnu::flatten]] absl::Status Lane::Accept(BoundRing& ring, absl::Span<SyscallSubmissionEntry> entries, absl::Span<Seq> seqs) {
  if (absl::Status room = ring.CheckRoom(entries.size()); !room.ok()) return room;
  if (!slots_.Reserve(entries.size())) {
    return absl::ResourceExhaustedError(
        "no memory for more entries under way; "
        "reap completions and submit again");
  }
  buffers_.CollectReturned();
  now_ns_ = MonotonicNanos();
  for (size_t i = 0; i < entries.size(); ++i) {
    Slot* slot = slots_.Allocate();
    const bool begin = ring.Accept(slot, std::move(entries[i]), now_ns_);
    if (!seqs.empty()) seqs[i] = slot->seq;
    if (begin) Begin(*slot);
  }
  counters_.submissions += entries.size();
  return absl::OkStatus();
}

void Lane::StartQueued(BoundRing& ring) {
  while (Slot* slot = ring.Start()) Begin(*slot);
}

void Lane::Begin(Slot& slot) {
  switch (slot.entry.kind()) {
    case OperationKind::kRead:
    case OperationKind::kWrite:
    case OperationKind::kLseek:
      if (PositionOrder::Concerns(slot.entry.operation()) && !slot.progress.holds_position &&
          !RingOf(slot).positions.Acquire(slot)) {
        return;
      }
      if (slot.entry.kind() == OperationKind::kLseek) return BeginLseek(slot);
      return BeginKernelStep(slot);
    case OperationKind::kIpcSend:
    case OperationKind::kIpcRecv:
      return BeginIpc(slot);
    case OperationKind::kWriteFile:
      return BeginJob(slot);
    case OperationKind::kReadFile:
      ++reads_under_way_;
      if (router_.UseWorker(reads_under_way_, options_.workers->queued() + new_jobs_)) return BeginJob(slot);
      slot.begun_in = drive_;
      return BeginKernelStep(slot);
    default:
      return BeginKernelStep(slot);
  }
}

void Lane::BeginKernelStep(Slot& slot) {
  slot.progress.place = SlotPlace::kKernel;
  StepResult step = BeginStep(context_, slot);
  if (step == StepResult::kNoRoom) {
    Submit();
    step = BeginStep(context_, slot);
  }
  OnStep(slot, step);
}

void Lane::BeginLseek(Slot& slot) {
  const auto& op = std::get<operation::Lseek>(slot.entry.operation());
  const off_t offset = lseek(op.fd, op.offset, op.whence);
  if (offset < 0) {
    slot.progress.error = errno;
  } else {
    slot.value = offset;
  }
  Finish(slot);
}

void Lane::BeginJob(Slot& slot) {
  auto* job = new (std::nothrow) FileJob;
  if (job == nullptr) {
    slot.progress.error = ENOMEM;
    return Finish(slot);
  }
  job->run = &RunFileJob;
  job->lane = this;
  job->slot = &slot;
  job->max_file_size = RingOf(slot).options().max_file_size;
  if (slot.entry.kind() == OperationKind::kReadFile) job->first_buffer = buffers_.Acquire(kFirstReadSize);
  slot.progress.place = SlotPlace::kWorker;
  slot.job = job;
  if (last_new_job_ == nullptr) {
    first_new_job_ = job;
  } else {
    last_new_job_->next = job;
  }
  last_new_job_ = job;
  ++new_jobs_;
  ++jobs_under_way_;
}

void Lane::BeginIpc(Slot& slot) {
  slot.progress.place = SlotPlace::kMailbox;
  const IpcParty party = {this, slot.token()};
  Operation& operation = slot.entry.operation();
  if (auto* send = std::get_if<operation::IpcSend>(&operation)) {
    options_.exchange->Send(party, slot.entry.pid(), send->target, std::move(send->data), outbox_);
  } else {
    options_.exchange->Receive(party, slot.entry.pid(), std::get<operation::IpcRecv>(operation).size, outbox_);
  }
}

void Lane::Submit() {
  const unsigned count = kernel_->Unsubmitted();
  kernel_->Publish();
  // Refusals (EAGAIN and EBUSY when the kernel is short of memory) leave the entries where they are, for the next call.
  int taken;
  do {
    ++counters_.kernel_entries;
    taken = kernel_->Enter({.submit = count});
  } while (taken == -EINTR);
}

void Lane::Resume(Slot& slot) {
  if (slot.entry.kind() == OperationKind::kLseek) return BeginLseek(slot);
  BeginKernelStep(slot);
}

void Lane::StartWaiting() {
  // By index: what is begun here may append.
  for (size_t i = 0; i < ready_.size() && kernel_->SpaceLeft() >= kMaxStepEntries; ++i) {
    Resume(*std::exchange(ready_[i], nullptr));
  }
  std::erase(ready_, nullptr);
  for (size_t i = 0; i < wants_start_.size(); ++i) {
    wants_start_[i]->wants_start = false;
    StartQueued(*wants_start_[i]);
  }
  wants_start_.clear();
  AddNewJobs();
}

void Lane::AddNewJobs() {
  if (first_new_job_ == nullptr) return;
  FileJob* first = std::exchange(first_new_job_, nullptr);
  FileJob* last = std::exchange(last_new_job_, nullptr);
  if (options_.workers->Add(first, last, std::exchange(new_jobs_, 0))) return;
  // Not one thread is to be had: better slow than never.
  for (FileJob* job = first; job != nullptr;) {
    auto* next = static_cast<FileJob*>(job->next);
    job->run(job);
    job = next;
  }
}

// -------------------------------------------------------------------------------------------------------------------------------
// Ending.

void Lane::Drive() {
  for (;;) {
    StartWaiting();
    bool progress = false;
    if (const unsigned before = kernel_->Unsubmitted(); before > 0) {
      Submit();
      progress = kernel_->Unsubmitted() < before;
    }
    progress |= Collect() > 0;
    progress |= CollectFromWorkers() > 0;
    if (!progress) break;
    // What ended may have made room for others; nothing else can have changed.
    if (ready_.empty() && wants_start_.empty() && first_new_job_ == nullptr && kernel_->Unsubmitted() == 0 &&
        !kernel_->HasCqes() && !kernel_->NeedsGetEvents()) {
      break;
    }
  }
  ++drive_;
  if (owes_wake_up_) WakeLeader();
}

[[gnu::flatten]] size_t Lane::Collect() {
  // Copied out before anything is done with them: what is done may need the queue's room.
  std::array<KernelRing::Result, 64> results;
  size_t total = 0;
  if (kernel_->NeedsGetEvents()) {
    ++counters_.kernel_entries;
    kernel_->Enter({.get_events = true});
  }
  while (const size_t n = kernel_->CopyCqes(absl::MakeSpan(results))) {
    now_ns_ = MonotonicNanos();
    for (size_t i = 0; i < n; ++i) OnResult(results[i]);
    total += n;
    if (n < results.size()) break;
  }
  return total;
}

void Lane::OnResult(const KernelRing::Result& result) {
  const SlotToken token = TokenOf(result.user_data);
  if (token.index == kNoSlotIndex) {
    if (MemberOf(result.user_data) == kWakeUpMember) {
      wake_armed_ = false;
      // The leader may not have reached the kernel yet and would then not see this wake-up any more: give it another one.
      owes_wake_up_ |= leader_ != nullptr && leader_->outcome != Waiter::Outcome::kWaiting;
    }
    return;
  }
  Slot* slot = slots_.Find(token);
  if (slot == nullptr || slot->progress.outstanding == 0) [[unlikely]] {
    ++counters_.stale;
    return;
  }
  const StepResult step = EndStep(context_, *slot, MemberOf(result.user_data), result.value);
  if (step != StepResult::kWaiting && slot->entry.kind() == OperationKind::kReadFile) {
    router_.OnChainEnd(slot->begun_in == drive_);
  }
  OnStep(*slot, step);
}

void Lane::OnStep(Slot& slot, StepResult step) {
  switch (step) {
    case StepResult::kWaiting:
      return;
    case StepResult::kDone:
      return Finish(slot);
    case StepResult::kAgain:
    case StepResult::kNoRoom:
    case StepResult::kGeneral:
      break;
  }
  if (slot.progress.cancel_requested || slot.progress.state == SlotState::kAbandoned) {
    slot.progress.cancelled = true;
    return Finish(slot);
  }
  if (step == StepResult::kGeneral) return BeginJob(slot);
  slot.progress.place = SlotPlace::kNowhere;
  ready_.push_back(&slot);
}

void Lane::Finish(Slot& slot) {
  slot.progress.place = SlotPlace::kNowhere;
  if (slot.entry.kind() == OperationKind::kReadFile && slot.progress.state != SlotState::kQueued) --reads_under_way_;
  if (slot.progress.state == SlotState::kAbandoned) return Discard(&slot);
  BoundRing& ring = RingOf(slot);
  if (slot.progress.holds_position) ring.positions.Release(slot, ready_);
  Count(slot);
  Place(ring, slot);
  if (!ring.queued().empty() && !ring.wants_start) {
    ring.wants_start = true;
    wants_start_.push_back(&ring);
  }
}

void Lane::Count(const Slot& slot) {
  const OperationKind kind = slot.entry.kind();
  ++counters_.completions;
  ++counters_.completions_by_operation[static_cast<size_t>(kind)];
  counters_.errors += slot.progress.error != 0 ? 1 : 0;
  counters_.cancelled += slot.progress.cancelled ? 1 : 0;
  if (MovesBytes(kind)) counters_.bytes += static_cast<uint64_t>(std::max<int64_t>(slot.value, 0));
  counters_.latency.Add(now_ns_ - slot.accepted_ns);
}

void Lane::Place(BoundRing& ring, Slot& slot) {
  if (ring.waiters.empty()) [[likely]] {
    if (Slot* dropped = ring.Complete(&slot, now_ns_)) Drop(dropped);
    return;
  }
  Waiter* taker = nullptr;
  for (Waiter* waiter = ring.waiters.front(); waiter != nullptr; waiter = waiter->next_of_ring) {
    if (waiter->what != Waiter::For::kEntry || waiter->seq != slot.seq) continue;
    Satisfy(*waiter, taker == nullptr ? Waiter::Outcome::kSatisfied : Waiter::Outcome::kTakenByAnother);
    if (taker == nullptr) taker = waiter;
  }
  if (taker != nullptr) {
    taker->slot = &slot;
    ring.Conclude(&slot, now_ns_);
  } else if (Slot* dropped = ring.Complete(&slot, now_ns_)) {
    Drop(dropped);
  }
  for (Waiter* waiter = ring.waiters.front(); waiter != nullptr; waiter = waiter->next_of_ring) {
    if (waiter->outcome != Waiter::Outcome::kWaiting) continue;
    const bool enough = waiter->what == Waiter::For::kCount && ring.completed().size() >= waiter->count;
    const bool drained = waiter->what == Waiter::For::kDrained && ring.in_flight().empty() && ring.queued().empty();
    if (enough || drained) Satisfy(*waiter, Waiter::Outcome::kSatisfied);
  }
}

void Lane::Drop(Slot* slot) {
  ++counters_.dropped;
  Discard(slot);
}

[[gnu::flatten]] size_t Lane::DeliverOldest(BoundRing& ring, absl::Span<SyscallCompletionEntry> out) {
  size_t count = 0;
  while (count < out.size()) {
    Slot* slot = ring.TakeOldest();
    if (slot == nullptr) break;
    Deliver(slot, out[count++]);
  }
  return count;
}

void Lane::Deliver(Slot* slot, SyscallCompletionEntry& out) {
  SyscallCompletionRing::Fill(*slot, out);
  slots_.Free(slot);
}

void Lane::Discard(Slot* slot) {
  const OperationKind kind = slot->entry.kind();
  if (slot->progress.error == 0 && !slot->progress.cancelled &&
      (kind == OperationKind::kOpen || kind == OperationKind::kAccept)) {
    close(static_cast<int>(slot->value));
  }
  slots_.Free(slot);
}

size_t Lane::CollectFromWorkers() {
  if (finished_jobs_.load(std::memory_order_relaxed) == nullptr) return 0;
  FileJob* last = finished_jobs_.exchange(nullptr, std::memory_order_acquire);
  // The stack has the last on top; completions go out in the order in which they came.
  FileJob* first = nullptr;
  while (last != nullptr) {
    FileJob* next = last->next_finished;
    last->next_finished = first;
    first = last;
    last = next;
  }
  now_ns_ = MonotonicNanos();
  size_t count = 0;
  while (first != nullptr) {
    const std::unique_ptr<FileJob> job(first);
    first = job->next_finished;
    OnJobDone(*job);
    ++count;
  }
  return count;
}

void Lane::OnJobDone(FileJob& job) {
  Slot& slot = *job.slot;
  --jobs_under_way_;
  if (slot.entry.kind() == OperationKind::kReadFile) router_.OnJobEnd(job.duration_ns);
  slot.job = nullptr;
  slot.progress.error = job.result.error_number;
  slot.value = job.result.value;
  slot.data = std::move(job.result.data);
  Finish(slot);
}

void Lane::PostFromWorker(FileJob* job) {
  FileJob* head = finished_jobs_.load(std::memory_order_relaxed);
  do {
    job->next_finished = head;
  } while (!finished_jobs_.compare_exchange_weak(head, job, std::memory_order_seq_cst, std::memory_order_relaxed));
  if (jobs_until_bell_.fetch_sub(1, std::memory_order_seq_cst) == 1) RingBell();
}

void Lane::CompleteIpc(IpcDelivery delivery) {
  Slot* slot = slots_.Find(delivery.party.token);
  if (slot == nullptr || slot->progress.place != SlotPlace::kMailbox) return;
  now_ns_ = MonotonicNanos();
  slot->progress.error = delivery.error_number;
  slot->value = delivery.value;
  slot->data = std::move(delivery.data);
  if (delivery.sender.has_value()) {
    slot->peer_address = std::make_unique<std::string>(absl::StrCat("pid:", *delivery.sender));
  }
  Finish(*slot);
  Drive();
}

// -------------------------------------------------------------------------------------------------------------------------------
// Cancelling.

void Lane::RequestCancel(Slot& slot) {
  slot.progress.cancel_requested = true;
  now_ns_ = MonotonicNanos();
  switch (slot.progress.place) {
    case SlotPlace::kNowhere:
      std::erase(ready_, &slot);
      break;
    case SlotPlace::kParked:
      RingOf(slot).positions.Withdraw(slot, ready_);
      break;
    case SlotPlace::kKernel:
      return CancelInKernel(slot);
    case SlotPlace::kWorker:
      if (!options_.workers->RemoveQueued(static_cast<FileJob*>(slot.job))) return;
      delete static_cast<FileJob*>(std::exchange(slot.job, nullptr));
      --jobs_under_way_;
      break;
    case SlotPlace::kMailbox:
      if (!options_.exchange->Withdraw({this, slot.token()}, MailboxOf(slot.entry), outbox_)) return;
      break;
  }
  slot.progress.cancelled = true;
  Finish(slot);
}

size_t Lane::RequestCancelAll(BoundRing& ring) {
  std::vector<Slot*> slots;
  for (Slot* slot = ring.queued().front(); slot != nullptr; slot = slot->next) slots.push_back(slot);
  for (Slot* slot = ring.in_flight().front(); slot != nullptr; slot = slot->next) slots.push_back(slot);
  for (Slot* slot : slots) RequestCancel(*slot);
  return slots.size();
}

void Lane::CancelInKernel(Slot& slot) {
  // Of a chain, whichever member has been started; the kernel answers ENOENT for the others.
  const unsigned members = slot.entry.kind() == OperationKind::kReadFile ? kMaxStepEntries - 1 : 1;
  for (unsigned member = 0; member < members; ++member) {
    io_uring_sqe* sqe = kernel_->NextSqe();
    if (sqe == nullptr) {
      Submit();
      sqe = kernel_->NextSqe();
    }
    if (sqe == nullptr) return;
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->fd = -1;
    sqe->addr = EncodeUserData(slot.token(), member);
    sqe->user_data = InternalUserData(kIgnoredMember);
  }
}

std::string Lane::Abandon(Slot& slot) {
  const int fd = FdOf(slot.entry.operation());
  std::string name = absl::StrCat(OperationName(slot.entry.kind()), fd >= 0 ? absl::StrCat("(fd ", fd, ")") : "", ", ",
                                  (MonotonicNanos() - slot.accepted_ns) / 1'000'000, " ms old");
  slot.ring->Abandon(&slot);
  return name;
}

// -------------------------------------------------------------------------------------------------------------------------------
// Waiting.

void Lane::Await(LaneLock& lock, Waiter& waiter, int64_t deadline_ns) {
  waiter.outcome = Waiter::Outcome::kWaiting;
  waiter.ring->waiters.PushBack(&waiter);
  waiter.of_ring = true;
  waiters_.PushBack(&waiter);
  while (waiter.outcome == Waiter::Outcome::kWaiting) {
    if (!outbox_.empty()) {
      lock.Unlock();
      lock.Lock(*this);
      continue;
    }
    const bool for_ever = deadline_ns == std::numeric_limits<int64_t>::max();
    const int64_t left = for_ever ? -1 : deadline_ns - MonotonicNanos();
    if (!for_ever && left <= 0) break;
    if (leader_ == nullptr) {
      Lead(lock, waiter, left);
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
  if (waiter.of_ring) waiter.ring->waiters.Remove(&waiter);
  waiters_.Remove(&waiter);
  if (leader_ != nullptr) return;
  for (Waiter* next = waiters_.front(); next != nullptr; next = next->next_of_lane) {
    if (next->outcome != Waiter::Outcome::kWaiting) continue;
    next->wake_up.notify_one();
    return;
  }
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
  if (finished_jobs_.load(std::memory_order_seq_cst) == nullptr && !kernel_->HasCqes()) {
    lock.Unlock();
    const int taken = kernel_->Enter({.submit = submit, .min_complete = 1, .timeout_ns = timeout_ns});
    if (submit > 0 && (taken == -EAGAIN || taken == -EBUSY || taken == -ENOMEM)) {
      // The kernel is short of memory and did not even begin to wait: something that ends may change that.
      kernel_->Enter({.min_complete = 1, .timeout_ns = kPauseNs});
    }
    // Before it has the lock again: whoever holds that need not wake it any more.
    leader_asleep_.store(false, std::memory_order_relaxed);
    lock.Lock(*this);
  }
  jobs_until_bell_.store(0, std::memory_order_relaxed);
  leader_ = nullptr;
  Drive();
}

int64_t Lane::JobsWorthWaking(const Waiter& leader) const {
  // Waking a thread costs as much as reading ten files. Only a leader that waits alone, for many, and with nothing left to start can do
  // without each single one.
  const bool alone = waiters_.front()->next_of_lane == nullptr;
  if (!alone || leader.what != Waiter::For::kCount || !leader.ring->queued().empty()) return 1;
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
  io_uring_sqe* sqe = kernel_->NextSqe();
  if (sqe == nullptr) {
    Submit();
    sqe = kernel_->NextSqe();
  }
  if (sqe == nullptr) return;
  sqe->opcode = IORING_OP_READ;
  sqe->fd = wake_fd_;
  sqe->addr = reinterpret_cast<uintptr_t>(&wake_value_);
  sqe->len = sizeof(wake_value_);
  sqe->user_data = InternalUserData(kWakeUpMember);
  wake_armed_ = true;
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
  std::erase(wants_start_, &ring);
  ring.wants_start = false;
}

bool Lane::Close() {
  if (slots_.live() > 0 || jobs_under_way_ > 0) return false;
  constexpr int64_t kPatienceNs = 1'000'000'000;
  const int64_t deadline_ns = MonotonicNanos() + kPatienceNs;
  if (wake_armed_) RingBell();
  while (wake_armed_ && MonotonicNanos() < deadline_ns) {
    kernel_->Publish();
    kernel_->Enter({.submit = kernel_->Unsubmitted(), .min_complete = 1, .timeout_ns = deadline_ns - MonotonicNanos()});
    Collect();
  }
  return !wake_armed_;
}

}  // namespace agentos
