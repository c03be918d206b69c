#include "agentos/executor/lane.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agentos/ring/lent_memory.h"

namespace agentos {

namespace {

// Bounded by what a token can name; every ring bounds its own share.
constexpr size_t kMaxSlots = kNoSlotIndex - SlotTable::kSlotsPerChunk;

// Operations whose value is a number of bytes moved.
constexpr OperationKinds kBytesMoved = {OperationKind::kReadFile, OperationKind::kWriteFile, OperationKind::kRead,
                                        OperationKind::kWrite,    OperationKind::kSend,      OperationKind::kRecv,
                                        OperationKind::kSendTo,   OperationKind::kRecvFrom,  OperationKind::kIpcSend,
                                        OperationKind::kIpcRecv,  OperationKind::kSplice,    OperationKind::kReadInto,
                                        OperationKind::kRecvInto, OperationKind::kRecvMany,  OperationKind::kCopyFileRange};

template <typename Op>
FilePath PathOf(const Op& op) {
  return {.path = op.path.c_str(), .directory_fd = op.beneath_fd.value_or(AT_FDCWD), .beneath = op.beneath_fd.has_value()};
}

void RunFileJob(FileWorkers::Job* base) {
  auto* job = static_cast<FileJob*>(base);
  if (IsSlowOpen(*job->slot)) return job->lane->SubmitFromWorker(job);
  const int64_t begin = MonotonicNanos();
  const Operation& operation = job->slot->entry.operation();
  if (const auto* write = std::get_if<operation::WriteFile>(&operation)) {
    job->result = WriteWholeFile(PathOf(*write), write->data.view(), write->options);
  } else if (const auto* open = std::get_if<operation::Open>(&operation)) {
    job->result = OpenFile(PathOf(*open), open->flags, open->mode);
  } else if (const auto* truncate = std::get_if<operation::Ftruncate>(&operation)) {
    job->result = TruncateFile(truncate->fd, truncate->size);
  } else if (const auto* range = std::get_if<operation::CopyFileRange>(&operation)) {
    job->result = CopyFileRangeOnce(*range, job->from_file.get(), job->to_file.get());
    job->from_file.Reset();
    job->to_file.Reset();
  } else {
    const auto& read = std::get<operation::ReadFile>(operation);
    job->result = ReadWholeFile(PathOf(read), job->max_file_size, std::move(job->first_buffer));
  }
  job->duration_ns = MonotonicNanos() - begin;
  job->lane->PostFromWorker(job);
}

}  // namespace

void Deadline::Start(int64_t now_ns) {
  const int64_t length = std::max<int64_t>(0, absl::ToInt64Nanoseconds(timeout_));  // saturates
  ns_ = length >= kNever - now_ns ? kNever : now_ns + length;
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
  multishot_completions += other.multishot_completions;
  receive_buffer_exhaustions += other.receive_buffer_exhaustions;
  zero_copy_sends += other.zero_copy_sends;
  zero_copy_copied += other.zero_copy_copied;
  for (size_t i = 0; i < kOperationKinds; ++i) completions_by_operation[i] += other.completions_by_operation[i];
  latency.Merge(other.latency);
}

void Lane::LockInTurn() {
  wanted_by_.fetch_add(1, std::memory_order_relaxed);
  {
    const std::lock_guard<std::mutex> next(next_mutex_);
    mutex_.lock();
  }
  wanted_by_.fetch_sub(1, std::memory_order_relaxed);
}

void LaneLock::Unlock() {
  // What was left for a thread that wanted the lock is that thread's to do now, also when it came for something else.
  while (!lane_->shares_.empty() && !lane_->IsWanted()) {
    lane_->starts_in_hold_ = 0;
    lane_->Drive();
  }
  if (lane_->events_ != nullptr) lane_->ShowChanges();
  std::vector<IpcDelivery> outbox;
  if (!lane_->outbox_.empty()) outbox.swap(lane_->outbox_);
  if (!lane_->options_.one_thread) lane_->mutex_.unlock();
  lane_ = nullptr;
  // Deliveries may start entries that send messages in their turn: the list grows while it is worked off, without recursion. Those
  // that follow each other to one lane share its lock.
  for (size_t begin = 0; begin < outbox.size();) {
    Lane& lane = *outbox[begin].party.lane;
    size_t end = begin + 1;
    while (end < outbox.size() && outbox[end].party.lane == &lane) ++end;
    LaneLock lock(lane);
    lane.CompleteIpc(absl::MakeSpan(outbox).subspan(begin, end - begin));
    begin = end;
    std::move(lane.outbox_.begin(), lane.outbox_.end(), std::back_inserter(outbox));
    lane.outbox_.clear();
  }
}

absl::StatusOr<std::unique_ptr<Lane>> Lane::Create(const Options& options, std::unique_ptr<SubmissionRing> kernel) {
  const int wake_fd = kernel->CanWake() ? kNoFd : eventfd(0, EFD_CLOEXEC);
  if (wake_fd == kNoFd && !kernel->CanWake()) return absl::ErrnoToStatus(errno, "eventfd");
  return std::unique_ptr<Lane>(new Lane(options, std::move(kernel), wake_fd));
}

Lane::Lane(const Options& options, std::unique_ptr<SubmissionRing> kernel, int wake_fd)
    : options_(options),
      slots_(kMaxSlots),
      buffers_(*kernel),
      provided_(*kernel, buffers_),
      kernel_(std::move(kernel)),
      context_(*kernel_, buffers_, provided_, options.zero_copy_send_from),
      router_(options.workers->threads() > 1 ? options.workers->threads() : 0),
      wake_fd_(wake_fd) {}

Lane::~Lane() {
  if (wake_fd_ != kNoFd) close(wake_fd_);
}

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
    if (!entries[i].is_plain()) [[unlikely]] {
      i += AcceptChain(ring, entries.subspan(i), seqs.empty() ? seqs : seqs.subspan(i));
      continue;
    }
    if (i >= kStartsPerHold && IsWanted()) [[unlikely]] {
      AcceptWaiting(ring, entries.subspan(i), seqs.empty() ? seqs : seqs.subspan(i));
      break;
    }
    Slot* slot = slots_.Allocate();
    const bool begin = ring.Accept(slot, std::move(entries[i]), now_ns_);
    if (!seqs.empty()) seqs[i] = slot->seq;
    if (begin) Begin(*slot);
  }
  counters_.submissions += entries.size();
  return absl::OkStatus();
}

void Lane::AcceptWaiting(BoundRing& ring, absl::Span<SyscallSubmissionEntry> entries, absl::Span<Seq> seqs) {
  for (size_t i = 0; i < entries.size(); ++i) {
    if (!entries[i].is_plain()) {
      i += AcceptChain(ring, entries.subspan(i), seqs.empty() ? seqs : seqs.subspan(i));
      continue;
    }
    Slot* slot = slots_.Allocate();
    ring.AcceptWaiting(slot, std::move(entries[i]), now_ns_);
    if (!seqs.empty()) seqs[i] = slot->seq;
  }
  shares_.Add(ring);
}

size_t Lane::AcceptChain(BoundRing& ring, absl::Span<SyscallSubmissionEntry> entries, absl::Span<Seq> seqs) {
  Slot* first = nullptr;
  Slot* last = nullptr;
  bool begin = false;
  size_t count = 0;
  // All of it is accepted before its first entry begins, which may end at once.
  for (bool linked = true; linked; ++count) {
    linked = entries[count].link() != Link::kNone;
    const int64_t timeout_ns = entries[count].timeout_ns();
    Slot* slot = slots_.Allocate();
    if (first == nullptr) {
      begin = ring.Accept(slot, std::move(entries[count]), now_ns_);
      first = slot;
    } else {
      ring.AcceptLinked(slot, std::move(entries[count]), now_ns_);
      last->chain_next = slot;
    }
    slot->chain_previous = last;
    slot->chain_next = nullptr;
    last = slot;
    if (!seqs.empty()) seqs[count] = slot->seq;
    if (timeout_ns > 0) AddTimer(*slot, timeout_ns);
  }
  if (begin) Begin(*first);
  return count - 1;
}

size_t Lane::StartQueued(BoundRing& ring, size_t most) {
  size_t started = 0;
  for (; started < most; ++started) {
    Slot* slot = ring.Start();
    if (slot == nullptr) break;
    Begin(*slot);
  }
  return started;
}

void Lane::Begin(Slot& slot) {
  switch (slot.entry.kind()) {
    case OperationKind::kRead:
    case OperationKind::kReadInto:
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
    case OperationKind::kCopyFileRange:
      return BeginJob(slot);
    case OperationKind::kOpen:
      return BeginOpen(slot);
    case OperationKind::kReadFile:
      ++reads_under_way_;
      // The kernel's chain cannot be tried again when a rename came between.
      if (std::get<operation::ReadFile>(slot.entry.operation()).beneath_fd.has_value()) return BeginJob(slot);
      if (router_.UseWorker(reads_under_way_, options_.workers->queued() + new_jobs_)) return BeginJob(slot);
      slot.begun_in = drive_;
      if (kernel_->has_direct_files()) return BeginKernelStep(slot);
      // Its calls are made by this very thread: after the batch's jobs were handed to the workers, who then work meanwhile.
      slot.progress.place = SlotPlace::kNowhere;
      return ready_.push_back(&slot);
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
  job->level = static_cast<uint8_t>(slot.entry.priority());
  job->slot = &slot;
  job->max_file_size = RingOf(slot).options().max_file_size;
  if (slot.entry.kind() == OperationKind::kReadFile) job->first_buffer = buffers_.Acquire(kFirstReadSize);
  if (const auto* range = std::get_if<operation::CopyFileRange>(&slot.entry.operation())) {
    job->from_file = HoldFile(range->from_fd);
    if (job->from_file) job->to_file = HoldFile(range->to_fd);
    if (!job->to_file) {
      slot.progress.error = errno;
      delete job;
      return Finish(slot);
    }
  }
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

UniqueFd Lane::HoldFile(int fd) const {
  if (IsOwnFd(fd)) {
    errno = EBADF;
    return UniqueFd();
  }
  return UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

void Lane::BeginIpc(Slot& slot) {
  slot.progress.place = SlotPlace::kMailbox;
  const IpcParty party = {this, slot.token()};
  Operation& operation = slot.entry.operation();
  if (auto* send = std::get_if<operation::IpcSend>(&operation)) {
    if (!IsReadyToSend(send->data)) [[unlikely]] {
      slot.progress.error = EBUSY;
      return Finish(slot);
    }
    options_.exchange->Send(party, slot.entry.pid(), send->target, std::move(send->data), outbox_);
  } else {
    options_.exchange->Receive(party, slot.entry.pid(), std::get<operation::IpcRecv>(operation).size, outbox_);
  }
}

void Lane::BeginOpen(Slot& slot) {
  if (!IsSlowOpen(slot) && OpenMayWait(std::get<operation::Open>(slot.entry.operation()))) MakeSlowOpen(slot);
  // The kernel's thread belongs to whoever submits, and one that ends before its open is left hanging in the kernel until the
  // other end of the FIFO comes: so a worker submits it, which lives as long as the lane. One thread alone has nobody else.
  if (IsSlowOpen(slot) && !options_.one_thread) return BeginJob(slot);
  BeginKernelStep(slot);
}

void Lane::BeginSlowOpen(FileJob* job) {
  Slot& slot = *job->slot;
  delete job;
  slot.job = nullptr;
  --jobs_under_way_;
  if (!slot.progress.cancel_requested) return BeginKernelStep(slot);
  slot.progress.cancelled = true;
  Finish(slot);
}

void Lane::SubmitFromWorker(FileJob* job) {
  LaneLock lock(*this);
  BeginSlowOpen(job);
  Drive();
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
  if (slot.entry.kind() == OperationKind::kOpen) return BeginOpen(slot);
  BeginKernelStep(slot);
}

bool Lane::StartWaiting() {
  AddNewJobs();
  // By index: what is begun here may append.
  for (size_t i = 0; i < ready_.size() && kernel_->SpaceLeft() >= kMaxStepEntries; ++i) {
    Resume(*std::exchange(ready_[i], nullptr));
  }
  std::erase(ready_, nullptr);
  bool any = false;
  // A round: one turn for each.
  for (size_t turns = shares_.size(); turns > 0 && !shares_.empty(); --turns) {
    const FairShare::Turn turn = shares_.Next();
    const size_t started = StartQueued(*turn.ring, turn.starts);
    if (started == turn.starts) shares_.Add(*turn.ring);
    any |= started > 0;
    starts_in_hold_ += started;
  }
  if (!not_cancelled_.empty()) CancelTheRest();
  AddNewJobs();
  return any;
}

void Lane::AddNewJobs() {
  if (first_new_job_ == nullptr) return;
  FileJob* first = std::exchange(first_new_job_, nullptr);
  FileJob* last = std::exchange(last_new_job_, nullptr);
  if (options_.workers->Add(first, last, std::exchange(new_jobs_, 0))) return;
  // Not one thread is to be had: better slow than never.
  for (FileJob* job = first; job != nullptr;) {
    auto* next = static_cast<FileJob*>(job->next);
    if (IsSlowOpen(*job->slot)) {
      BeginSlowOpen(job);
    } else {
      job->run(job);
    }
    job = next;
  }
}

void Lane::Drive() {
  do {
    DriveOnce();
  } while ((!opened_chains_.empty() && CallOffStuckChains()) || (!timers_.empty() && StopLateEntries()));
  ++drive_;
  if (owes_wake_up_) WakeLeader();
}

void Lane::DriveOnce() {
  // Before the results are collected: one that comes later rings again.
  if (events_ != nullptr) events_->Quiet();
  for (;;) {
    bool progress = StartWaiting();
    if (const unsigned before = kernel_->Unsubmitted(); before > 0) {
      Submit();
      progress = kernel_->Unsubmitted() < before;
    }
    progress |= Collect() > 0;
    progress |= CollectFromWorkers() > 0;
    if (!progress) break;
    // What ended may have made room for others; nothing else can have changed.
    if (ready_.empty() && shares_.empty() && first_new_job_ == nullptr && kernel_->Unsubmitted() == 0 && !kernel_->HasCqes() &&
        !kernel_->NeedsGetEvents()) {
      break;
    }
    // The rest is for whoever has the lock next.
    if (starts_in_hold_ >= kStartsPerHold && IsWanted()) break;
  }
}

[[gnu::flatten]] size_t Lane::Collect() {
  // Copied out before anything is done with them: what is done may need the queue's room.
  std::array<SubmissionRing::Result, 64> results;
  size_t total = 0;
  if (kernel_->NeedsGetEvents()) {
    ++counters_.kernel_entries;
    if (kernel_->Enter({.get_events = true}) == -EBADR) [[unlikely]] {
      FailAllInKernel();
    }
  }
  while (const size_t n = kernel_->CopyCqes(absl::MakeSpan(results))) {
    now_ns_ = MonotonicNanos();
    for (size_t i = 0; i < n; ++i) OnResult(results[i]);
    total += n;
    if (n < results.size()) break;
  }
  return total;
}

void Lane::FailAllInKernel() {
  now_ns_ = MonotonicNanos();
  std::vector<SlotToken> tokens;
  slots_.ForEachLive([&tokens](const Slot& slot) {
    if (slot.progress.outstanding > 0) tokens.push_back(slot.token());
  });
  for (const SlotToken token : tokens) {
    Slot* slot = slots_.Find(token);
    if (slot == nullptr || slot->progress.outstanding == 0) continue;
    // Most of them have not ended and go on using their memory.
    slot->progress.outstanding = 0;
    slot->progress.phase = Slot::kLost;
    slot->progress.error = EBADR;
    slot->progress.lent = false;
    Finish(*slot);
  }
  // The read that wakes the leader may be among them.
  wake_armed_ = false;
}

void Lane::OnResult(const SubmissionRing::Result& result) {
  if ((result.flags & (IORING_CQE_F_BUFFER | IORING_CQE_F_MORE | IORING_CQE_F_NOTIF)) != 0) [[unlikely]] {
    return OnFlaggedResult(result);
  }
  const SlotToken token = TokenOf(result.user_data);
  if (token.index == kNoSlotIndex) {
    if (MemberOf(result.user_data) == kWakeUpMember) {
      wake_armed_ = false;
      // The leader may not have reached the kernel yet and would then not see this wake-up any more: give it another one, also
      // when it told only of a job that is not the leader's. The next job would not ring.
      owes_wake_up_ |= leader_ != nullptr;
    }
    return;
  }
  const unsigned member = MemberOf(result.user_data);
  if ((member & kCancelFlag) != 0) [[unlikely]] {
    return OnCancelResult(token, member & ~kCancelFlag, result.value);
  }
  Slot* slot = slots_.Find(token);
  if (slot == nullptr || slot->progress.outstanding == 0) [[unlikely]] {
    ++counters_.stale;
    return;
  }
  const StepResult step = EndStep(context_, *slot, member, result.value);
  if (step == StepResult::kWaiting) {
    // The next member of a chain has started, perhaps only now: a cancellation that came before did not find it.
    if (slot->progress.cancel_requested || IsCalledOff(*slot)) {
      CancelInKernel(*slot);
    } else if (HasOpenedFile(*slot, member, result.value)) {
      opened_chains_.push_back(token);
    }
    return;
  }
  if (slot->entry.kind() == OperationKind::kReadFile) router_.OnChainEnd(slot->begun_in == drive_);
  OnStep(*slot, step);
}

void Lane::OnStep(Slot& slot, StepResult step) {
  switch (step) {
    case StepResult::kWaiting:
      return;
    case StepResult::kDone:
      return Finish(slot);
    case StepResult::kMore:
      if (!Emit(slot)) return Finish(slot);
      break;
    case StepResult::kAgain:
    case StepResult::kNoRoom:
    case StepResult::kGeneral:
      break;
  }
  if (slot.progress.cancel_requested || slot.progress.state == SlotState::kAbandoned) {
    slot.progress.cancelled = true;
    return Finish(slot);
  }
  // Of a multishot entry whose completions find no memory any more.
  if (slot.progress.error != 0) [[unlikely]] {
    return Finish(slot);
  }
  if (step == StepResult::kGeneral) return BeginJob(slot);
  if (slot.progress.pausing) [[unlikely]] {
    return Pause(slot);
  }
  slot.progress.place = SlotPlace::kNowhere;
  ready_.push_back(&slot);
}

void Lane::Finish(Slot& slot) {
  if (slot.progress.state != SlotState::kQueued) [[likely]] {
    slot.progress.place = SlotPlace::kNowhere;
    if (slot.entry.kind() == OperationKind::kReadFile) --reads_under_way_;
    if (slot.progress.lent) [[unlikely]] {
      KeepLent(slot);
    }
    if (slot.entry.is_plain()) [[likely]] {
      return FinishAlone(slot);
    }
  }
  FinishMember(slot);
}

void Lane::FinishAlone(Slot& slot) {
  if (slot.progress.state == SlotState::kAbandoned) {
    Count(slot);
    return Discard(&slot);
  }
  BoundRing& ring = RingOf(slot);
  if (slot.progress.holds_position) ring.positions.Release(slot, ready_);
  Count(slot);
  Place(ring, slot);
  if (ring.may_start()) shares_.Add(ring);
}

void Lane::Count(const Slot& slot) {
  const OperationKind kind = slot.entry.kind();
  ++counters_.completions;
  ++counters_.completions_by_operation[static_cast<size_t>(kind)];
  counters_.errors += slot.progress.error != 0 ? 1 : 0;
  counters_.cancelled += slot.progress.cancelled ? 1 : 0;
  if (kBytesMoved.Has(kind)) {
    counters_.bytes += static_cast<uint64_t>(std::max<int64_t>(slot.value, 0));
  }
  counters_.latency.Add(now_ns_ - slot.accepted_ns);
}

void Lane::Place(BoundRing& ring, Slot& slot) {
  NoteChange(ring);
  if (ring.waiters.empty()) [[likely]] {
    if (Slot* dropped = ring.Complete(&slot, now_ns_)) Drop(dropped);
    return NoteReady(ring);
  }
  Waiter* taker = nullptr;
  for (Waiter* waiter = ring.waiters.front(); waiter != nullptr; waiter = waiter->next_of_ring) {
    if (waiter->what != Waiter::For::kEntry || waiter->seq != slot.seq) continue;
    // Of a multishot entry the next completion is for the next waiter.
    if (waiter->outcome != Waiter::Outcome::kWaiting || (taker != nullptr && slot.progress.more)) continue;
    Satisfy(*waiter, taker == nullptr ? Waiter::Outcome::kSatisfied : Waiter::Outcome::kTakenByAnother);
    if (taker == nullptr) taker = waiter;
  }
  if (taker != nullptr) {
    taker->slot = &slot;
    ring.Conclude(&slot, now_ns_);
  } else {
    if (Slot* dropped = ring.Complete(&slot, now_ns_)) Drop(dropped);
    NoteReady(ring);
  }
  for (Waiter* waiter = ring.waiters.front(); waiter != nullptr; waiter = waiter->next_of_ring) {
    if (waiter->outcome != Waiter::Outcome::kWaiting) continue;
    const bool enough = waiter->what == Waiter::For::kCount && ring.completed().size() >= waiter->count;
    const bool drained = waiter->what == Waiter::For::kDrained && ring.in_flight().empty() && ring.waiting() == 0;
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
  ResumePaused(ring);
  return count;
}

void Lane::Deliver(Slot* slot, SyscallCompletionEntry& out) {
  // A caller who reaps into the same memory again and again gives back what he read before.
  out.result.ReturnDataTo(buffers_.pool());
  SyscallCompletionRing::Fill(*slot, out);
  slots_.Free(slot);
}

void Lane::Discard(Slot* slot) {
  const OperationKind kind = slot->entry.kind();
  if (slot->progress.error == 0 && !slot->progress.cancelled && MakesFd(kind)) {
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
  RingLoopBell();
}

void Lane::CompleteIpc(absl::Span<IpcDelivery> deliveries) {
  now_ns_ = MonotonicNanos();
  for (IpcDelivery& delivery : deliveries) {
    Slot* slot = slots_.Find(delivery.party.token);
    if (slot == nullptr || slot->progress.place != SlotPlace::kMailbox) continue;
    slot->progress.error = delivery.error_number;
    slot->value = delivery.value;
    slot->data = std::move(delivery.data);
    if (delivery.sender.has_value()) {
      slot->peer_address = std::make_unique<std::string>(absl::StrCat("pid:", *delivery.sender));
    }
    Finish(*slot);
  }
  Drive();
}

}  // namespace agentos
