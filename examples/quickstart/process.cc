#include "agentos/examples/quickstart/process.h"

#include <chrono>
#include <utility>

#include "absl/status/status.h"

namespace agentos::quickstart {

namespace {

// How long an entry that was asked to stop may take to do so.
constexpr absl::Duration kStopTimeout = absl::Seconds(5);

// Adds the life time of the object to `*total`.
class Stopwatch {
 public:
  explicit Stopwatch(absl::Duration* total) : total_(total), start_(std::chrono::steady_clock::now()) {}
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() { *total_ += absl::FromChrono(std::chrono::steady_clock::now() - start_); }

 private:
  absl::Duration* const total_;
  const std::chrono::steady_clock::time_point start_;
};

// Whether value() of its result counts bytes; of the others it is an fd, an offset or nothing.
bool ValueIsBytes(OperationKind kind) {
  switch (kind) {
    case OperationKind::kReadFile:
    case OperationKind::kWriteFile:
    case OperationKind::kSend:
    case OperationKind::kRecv:
    case OperationKind::kIpcSend:
    case OperationKind::kIpcRecv:
      return true;
    default:
      return false;
  }
}

absl::StatusOr<SyscallResult> ToResult(absl::StatusOr<SyscallCompletionEntry> done) {
  if (!done.ok()) return done.status();
  if (!done->status.is_success()) return done->status.ToStatus();
  return std::move(done->result);
}

}  // namespace

Tally& Tally::operator+=(const Tally& other) {
  submissions += other.submissions;
  completions += other.completions;
  bytes += other.bytes;
  errors += other.errors;
  time += other.time;
  return *this;
}

absl::StatusOr<std::vector<SyscallCompletionEntry>> Process::RunBatch(std::vector<SyscallSubmissionEntry> entries) {
  const Stopwatch stopwatch(&tally_.time);
  std::vector<OperationKind> kinds;
  for (const SyscallSubmissionEntry& entry : entries) kinds.push_back(entry.kind());
  absl::StatusOr<std::vector<Seq>> seqs = manager_->SubmitBatch(pid_, std::move(entries));
  if (!seqs.ok()) return seqs.status();
  tally_.submissions += seqs->size();
  for (size_t i = 0; i < seqs->size(); ++i) under_way_.emplace((*seqs)[i], kinds[i]);

  std::vector<SyscallCompletionEntry> done;
  absl::Status status = Collect(*seqs, timeout_, &done);
  if (status.ok() && done.size() < seqs->size()) {
    absl::StatusOr<size_t> stopping = manager_->CancelAll(pid_);
    status = stopping.ok() ? Collect(*seqs, kStopTimeout, &done) : stopping.status();
  }
  if (!status.ok()) return status;
  return done;
}

absl::Status Process::Collect(const std::vector<Seq>& seqs, absl::Duration timeout, std::vector<SyscallCompletionEntry>* done) {
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
  while (done->size() < seqs.size()) {
    const absl::Duration left = absl::FromChrono(deadline - std::chrono::steady_clock::now());
    if (left <= absl::ZeroDuration()) break;
    const size_t missing = seqs.size() - done->size();
    absl::StatusOr<std::vector<SyscallCompletionEntry>> some = manager_->WaitCompletions(pid_, missing, missing, left);
    if (absl::IsDeadlineExceeded(some.status())) break;
    if (!some.ok()) return some.status();
    for (SyscallCompletionEntry& entry : *some) {
      Count(entry);
      // An earlier batch may have given up on it.
      if (entry.seq >= seqs.front()) done->push_back(std::move(entry));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Seq> Process::Start(SyscallSubmissionEntry entry) {
  const Stopwatch stopwatch(&tally_.time);
  const OperationKind kind = entry.kind();
  absl::StatusOr<Seq> seq = manager_->Submit(pid_, std::move(entry));
  if (!seq.ok()) return seq.status();
  ++tally_.submissions;
  under_way_.emplace(*seq, kind);
  return *seq;
}

absl::StatusOr<SyscallCompletionEntry> Process::Finish(Seq seq) {
  const Stopwatch stopwatch(&tally_.time);
  absl::StatusOr<SyscallCompletionEntry> done = manager_->WaitCompletion(pid_, seq, timeout_);
  if (absl::IsDeadlineExceeded(done.status())) {
    // NotFound: it has just completed.
    absl::Status asked = manager_->Cancel(pid_, seq);
    if (asked.ok() || absl::IsNotFound(asked)) done = manager_->WaitCompletion(pid_, seq, kStopTimeout);
  }
  if (done.ok()) Count(*done);
  return done;
}

absl::StatusOr<SyscallCompletionEntry> Process::Run(SyscallSubmissionEntry entry) {
  absl::StatusOr<Seq> seq = Start(std::move(entry));
  if (!seq.ok()) return seq.status();
  return Finish(*seq);
}

absl::StatusOr<SyscallResult> Process::RunToSuccess(SyscallSubmissionEntry entry) { return ToResult(Run(std::move(entry))); }

absl::StatusOr<SyscallResult> Process::FinishToSuccess(Seq seq) { return ToResult(Finish(seq)); }

void Process::Count(const SyscallCompletionEntry& done) {
  ++tally_.completions;
  if (!done.status.is_success()) ++tally_.errors;
  const auto asked = under_way_.extract(done.seq);
  if (!asked.empty() && ValueIsBytes(asked.mapped())) tally_.bytes += static_cast<uint64_t>(done.result.value());
}

}  // namespace agentos::quickstart
