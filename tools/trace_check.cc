#include "agentos/tools/trace_check.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "agentos/manager/trace_block.h"
#include "agentos/proto/trace.pb.h"
#include "agentos/tools/trace_blocks.h"
#include "agentos/tools/trace_item.h"
#include "agentos/tools/trace_stream.h"

namespace agentos {

namespace {

constexpr size_t kMostProblems = 20;

class OutputFile {
 public:
  static absl::StatusOr<std::unique_ptr<OutputFile>> Create(const std::string& path) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return absl::ErrnoToStatus(errno, path);
    return std::unique_ptr<OutputFile>(new OutputFile(fd, path));
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile() { close(fd_); }

  // The next block; the one before it is filled up with zeros.
  absl::Status Append(absl::string_view block) {
    const uint64_t offset = blocks_++ * kTraceBlockSize;
    for (size_t done = 0; done < block.size();) {
      const ssize_t n = pwrite(fd_, block.data() + done, block.size() - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return absl::ErrnoToStatus(errno, absl::StrCat(path_, ": write"));
      done += static_cast<size_t>(n);
    }
    return absl::OkStatus();
  }

 private:
  OutputFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  const int fd_;
  const std::string path_;
  uint64_t blocks_ = 0;
};

// The numbers of the blocks that are there tell of what is not; a loss before the next one says that this is known.
std::string LossRecord() {
  proto::v1::TraceRecord record;
  record.mutable_loss();
  return record.SerializeAsString();
}

}  // namespace

std::string TraceVerdict::ToString() const {
  const char* names[] = {"clean", "lossy", "corrupt"};
  std::string text = absl::StrCat(names[static_cast<size_t>(condition)], ": ", operations, " operations");
  if (in_flight > 0) absl::StrAppend(&text, ", ", in_flight, " of which never ended");
  text += "\n";
  if (lost.any()) {
    absl::StrAppend(&text, "  the recorder lost ", lost.submissions, " submissions, ", lost.completions, " ends and ",
                    lost.others, " other events\n");
  }
  for (size_t i = 0; i < std::min(problems.size(), kMostProblems); ++i) absl::StrAppend(&text, "  ", problems[i], "\n");
  if (damaged_places > kMostProblems) absl::StrAppend(&text, "  and ", damaged_places - kMostProblems, " more places\n");
  return text;
}

absl::StatusOr<TraceVerdict> VerifyTrace(const std::vector<std::string>& paths) {
  absl::StatusOr<std::unique_ptr<TraceStream>> stream = TraceStream::Open(paths);
  if (!stream.ok()) return stream.status();
  TraceVerdict verdict;
  for (TraceItem item;;) {
    const absl::StatusOr<bool> next = (*stream)->Next(item);
    if (!next.ok()) return next.status();
    if (!*next) return verdict;
    if (const auto* operation = std::get_if<TracedOperation>(&item)) {
      if (operation->more) continue;
      ++verdict.operations;
      verdict.in_flight += operation->ended ? 0 : 1;
    } else if (const auto* loss = std::get_if<TraceLoss>(&item)) {
      verdict.lost += {loss->submissions, loss->completions, loss->others};
      verdict.condition = std::max(verdict.condition, TraceCondition::kLossy);
    } else if (const auto* damage = std::get_if<TraceDamage>(&item)) {
      verdict.condition = TraceCondition::kCorrupt;
      if (++verdict.damaged_places > kMostProblems) continue;
      verdict.problems.push_back(absl::StrCat(absl::CHexEscape(damage->path), ", block at ", damage->offset, ": ", damage->what));
    }
  }
}

absl::StatusOr<TraceVerdict> RepairTrace(const std::string& path, const std::string& repaired_path) {
  absl::StatusOr<std::unique_ptr<TraceBlocks>> blocks = TraceBlocks::Open(path);
  if (!blocks.ok()) return blocks.status();
  absl::StatusOr<std::unique_ptr<OutputFile>> out = OutputFile::Create(repaired_path);
  if (!out.ok()) return out.status();
  bool gap = false;
  TraceBlockBuilder builder;
  for (TraceBlocks::Item item;;) {
    const absl::StatusOr<bool> next = (*blocks)->Next(item);
    if (!next.ok()) return next.status();
    if (!*next) break;
    gap = gap || item.missing > 0 || item.state == BlockState::kCut || item.state == BlockState::kDamaged;
    if (item.state != BlockState::kGood) continue;
    builder.Start(item.block.sequence(), item.block.base_ns());
    bool fits = true;
    if (std::exchange(gap, false)) builder.Add(LossRecord());
    TraceBlock again = item.block;
    for (absl::string_view record; item.block.Next(record);) fits = builder.Add(record) && fits;
    if (!fits) {
      // It was full: the loss goes into one of the blocks that are missing.
      builder.Start(again.sequence() - 1, again.base_ns());
      builder.Add(LossRecord());
      if (absl::Status written = (*out)->Append(builder.Finish()); !written.ok()) return written;
      builder.Start(again.sequence(), again.base_ns());
      for (absl::string_view record; again.Next(record);) builder.Add(record);
    }
    if (absl::Status written = (*out)->Append(builder.Finish()); !written.ok()) return written;
  }
  if (gap) {
    builder.Start(builder.sequence() + 1, builder.base_ns());
    builder.Add(LossRecord());
    if (absl::Status written = (*out)->Append(builder.Finish()); !written.ok()) return written;
  }
  return VerifyTrace({repaired_path});
}

}  // namespace agentos
