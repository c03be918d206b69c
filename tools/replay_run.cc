#include "agentos/tools/replay_run.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <limits>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "agentos/proto/entry_conversion.h"
#include "agentos/ring/monotonic_clock.h"
#include "agentos/tools/call_text.h"

namespace agentos {

namespace {

using proto::v1::Entry;

// How much longer than recorded an operation may take; then it is cancelled, and has another result.
constexpr absl::Duration kPatience = absl::Seconds(10);

void FillPayload(proto::v1::Payload* payload) { payload->mutable_data()->resize(static_cast<size_t>(payload->size()), '\0'); }

}  // namespace

ReplayRun::~ReplayRun() {
  for (const auto& [recorded, fd] : fds_) close(fd);
  if (root_fd_ >= 0) close(root_fd_);
}

absl::Status ReplayRun::OpenRoot() {
  if (options_.root.empty() || root_fd_ >= 0) return absl::OkStatus();
  root_fd_ = open(options_.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root_fd_ < 0) return absl::ErrnoToStatus(errno, absl::StrCat("--root is ", options_.root));
  std::error_code error;
  canonical_root_ = std::filesystem::canonical(options_.root, error).string();
  return error ? absl::InternalError(absl::StrCat("--root is ", options_.root, ": ", error.message())) : absl::OkStatus();
}

// Where an operation has no way to be confined, its directory is looked at before: a link in it may lead out of the root.
absl::Status ReplayRun::Move(std::string* path, bool& is_beneath) const {
  if (root_fd_ < 0) return absl::OkStatus();
  const std::string beneath = PathBeneath(*path);
  if (is_beneath) {
    *path = beneath;
    return absl::OkStatus();
  }
  const std::filesystem::path whole = std::filesystem::path(canonical_root_) / beneath;
  std::error_code error;
  const std::string directory = std::filesystem::weakly_canonical(whole.parent_path(), error).string();
  if (error || (directory != canonical_root_ && !absl::StartsWith(directory, canonical_root_ + "/"))) {
    return absl::PermissionDeniedError(absl::StrCat(QuotedText(whole.string()), " leads out of the root"));
  }
  *path = directory + "/" + whole.filename().string();
  return absl::OkStatus();
}

absl::StatusOr<SyscallSubmissionEntry> ReplayRun::Make(const TracedOperation& traced, bool is_last) const {
  Entry entry = traced.entry;
  // What it was linked to is not in the trace.
  if (is_last && entry.has_modifiers()) entry.mutable_modifiers()->clear_link();
  const auto move_fd = [this](int fd) {
    const auto found = fds_.find(fd);
    // What failed to open this time fails from here on, as it should.
    return found == fds_.end() ? std::numeric_limits<int>::max() : found->second;
  };
  bool beneath = true;
  bool apart = false;
  absl::Status moved;
  switch (entry.operation_case()) {
    case Entry::kReadFile:
      moved = Move(entry.mutable_read_file()->mutable_path(), beneath);
      if (root_fd_ >= 0) entry.mutable_read_file()->set_beneath_fd(root_fd_);
      break;
    case Entry::kWriteFile:
      moved = Move(entry.mutable_write_file()->mutable_path(), beneath);
      if (root_fd_ >= 0) entry.mutable_write_file()->set_beneath_fd(root_fd_);
      FillPayload(entry.mutable_write_file()->mutable_payload());
      break;
    case Entry::kOpen:
      moved = Move(entry.mutable_open()->mutable_path(), beneath);
      if (root_fd_ >= 0) entry.mutable_open()->set_beneath_fd(root_fd_);
      break;
    case Entry::kStatx:
      moved = Move(entry.mutable_statx()->mutable_path(), apart);
      break;
    case Entry::kUnlink:
      moved = Move(entry.mutable_unlink()->mutable_path(), apart);
      break;
    case Entry::kMkdir:
      moved = Move(entry.mutable_mkdir()->mutable_path(), apart);
      break;
    case Entry::kRename:
      moved = Move(entry.mutable_rename()->mutable_from(), apart);
      if (moved.ok()) moved = Move(entry.mutable_rename()->mutable_to(), apart);
      break;
    case Entry::kRead:
      entry.mutable_read()->set_fd(move_fd(entry.read().fd()));
      break;
    case Entry::kReadInto: {
      // Into memory of ours.
      const proto::v1::ReadInto from = entry.read_into();
      entry.mutable_read()->set_fd(move_fd(from.fd()));
      entry.mutable_read()->set_size(from.size());
      entry.mutable_read()->set_offset(from.offset());
      break;
    }
    case Entry::kWrite:
      entry.mutable_write()->set_fd(move_fd(entry.write().fd()));
      FillPayload(entry.mutable_write()->mutable_payload());
      break;
    case Entry::kClose:
      entry.mutable_close()->set_fd(move_fd(entry.close().fd()));
      break;
    case Entry::kFsync:
      entry.mutable_fsync()->set_fd(move_fd(entry.fsync().fd()));
      break;
    case Entry::kLseek:
      entry.mutable_lseek()->set_fd(move_fd(entry.lseek().fd()));
      break;
    case Entry::kFallocate:
      entry.mutable_fallocate()->set_fd(move_fd(entry.fallocate().fd()));
      break;
    case Entry::kFtruncate:
      entry.mutable_ftruncate()->set_fd(move_fd(entry.ftruncate().fd()));
      break;
    case Entry::kSplice:
      entry.mutable_splice()->set_from_fd(move_fd(entry.splice().from_fd()));
      entry.mutable_splice()->set_to_fd(move_fd(entry.splice().to_fd()));
      break;
    case Entry::kCopyFileRange:
      entry.mutable_copy_file_range()->set_from_fd(move_fd(entry.copy_file_range().from_fd()));
      entry.mutable_copy_file_range()->set_to_fd(move_fd(entry.copy_file_range().to_fd()));
      break;
    case Entry::kIpcSend:
      FillPayload(entry.mutable_ipc_send()->mutable_payload());
      break;
    default:
      break;
  }
  if (!moved.ok()) return moved;
  return FromProto(entry);
}

absl::Status ReplayRun::Finish(const std::vector<PlannedOperation>& plan, const UnderWay& one) {
  const TracedOperation& traced = plan[one.index].traced;
  const absl::Duration recorded = absl::Nanoseconds(EndOf(traced) - traced.queued_ns);
  absl::StatusOr<SyscallCompletionEntry> done = manager_.WaitCompletion(one.pid, one.seq, recorded + kPatience);
  if (absl::IsDeadlineExceeded(done.status())) {
    if (absl::Status asked = manager_.Cancel(one.pid, one.seq); !asked.ok() && !absl::IsNotFound(asked)) return asked;
    done = manager_.WaitCompletion(one.pid, one.seq, kPatience);
  }
  if (!done.ok()) return done.status();
  ReplayedOperation& result = results_[one.index];
  result.ran = true;
  result.took_ns = MonotonicNanos() - one.submitted_ns;
  result.error_number = done->status.error_number();
  result.cancelled = done->status.is_cancelled();
  result.value = done->status.is_success() ? done->result.value() : 0;
  result.data = std::string(done->result.data().substr(0, traced.payload.data().size()));
  if (!done->status.is_success()) return absl::OkStatus();
  if (traced.entry.has_open()) {
    const int fd = static_cast<int>(result.value);
    // The trace lost its close.
    if (const auto old = fds_.find(static_cast<int>(traced.value)); old != fds_.end()) close(old->second);
    fds_[static_cast<int>(traced.value)] = fd;
  }
  if (traced.entry.has_close()) fds_.erase(traced.entry.close().fd());
  return absl::OkStatus();
}

absl::Status ReplayRun::Await(const std::vector<PlannedOperation>& plan, int64_t recorded_ns) {
  while (!under_way_.empty() && under_way_.begin()->first <= recorded_ns) {
    const UnderWay one = under_way_.begin()->second;
    under_way_.erase(under_way_.begin());
    if (absl::Status finished = Finish(plan, one); !finished.ok()) return finished;
  }
  return absl::OkStatus();
}

absl::Status ReplayRun::SubmitChain(const std::vector<PlannedOperation>& plan, size_t begin, size_t end) {
  std::vector<SyscallSubmissionEntry> entries;
  for (size_t i = begin; i < end; ++i) {
    absl::StatusOr<SyscallSubmissionEntry> entry = Make(plan[i].traced, /*is_last=*/i + 1 == end);
    if (!entry.ok()) return entry.status();
    entries.push_back(*std::move(entry));
  }
  const Pid pid = plan[begin].traced.entry.pid();
  const int64_t now_ns = MonotonicNanos();
  for (;;) {
    std::vector<Seq> seqs(entries.size());
    const absl::Status submitted = manager_.SubmitBatch(pid, absl::MakeSpan(entries), absl::MakeSpan(seqs));
    if (absl::IsResourceExhausted(submitted) && !under_way_.empty()) {
      // It was faster in the trace: there is room when the next one has ended.
      if (absl::Status waited = Await(plan, under_way_.begin()->first); !waited.ok()) return waited;
      continue;
    }
    if (!submitted.ok()) return submitted;
    for (size_t i = begin; i < end; ++i) {
      const int64_t ended_ns = EndOf(plan[i].traced);
      under_way_.emplace(ended_ns, UnderWay{i, pid, seqs[i - begin], now_ns, ended_ns});
    }
    return absl::OkStatus();
  }
}

absl::StatusOr<std::vector<ReplayedOperation>> ReplayRun::Run(const std::vector<PlannedOperation>& plan) {
  if (absl::Status opened = OpenRoot(); !opened.ok()) return opened;
  results_.assign(plan.size(), {});
  const int64_t begin_ns = MonotonicNanos();
  std::optional<int64_t> recorded_begin_ns;
  for (size_t i = 0; i < plan.size();) {
    if (options_.is_cancelled != nullptr && options_.is_cancelled()) break;
    if (!plan[i].obstacle.empty()) {
      ++i;
      continue;
    }
    size_t end = i + 1;
    while (end < plan.size() && plan[end - 1].traced.entry.modifiers().link() != proto::v1::Modifiers::LINK_NONE &&
           plan[end].obstacle.empty() && plan[end].traced.entry.pid() == plan[i].traced.entry.pid()) {
      ++end;
    }
    const int64_t queued_ns = plan[i].traced.queued_ns;
    if (!recorded_begin_ns.has_value()) recorded_begin_ns = queued_ns;
    if (absl::Status waited = Await(plan, queued_ns); !waited.ok()) return waited;
    if (options_.speed > 0) {
      const auto due_ns = begin_ns + static_cast<int64_t>(static_cast<double>(queued_ns - *recorded_begin_ns) / options_.speed);
      const int64_t now_ns = MonotonicNanos();
      if (due_ns > now_ns) std::this_thread::sleep_for(std::chrono::nanoseconds(due_ns - now_ns));
    }
    if (absl::Status submitted = SubmitChain(plan, i, end); !submitted.ok()) {
      return absl::Status(submitted.code(),
                          absl::StrCat("pid ", plan[i].traced.entry.pid(), " #", plan[i].traced.seq, ": ", submitted.message()));
    }
    i = end;
  }
  if (absl::Status waited = Await(plan, std::numeric_limits<int64_t>::max()); !waited.ok()) return waited;
  return results_;
}

}  // namespace agentos
