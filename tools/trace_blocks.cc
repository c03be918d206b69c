#include "agentos/tools/trace_blocks.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace agentos {

namespace {

// At most `bytes`' size from `offset` on; how many there were, or -1.
ssize_t ReadAt(int fd, uint64_t offset, std::string& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return static_cast<ssize_t>(done);
}

// How many blocks Peek looks at: the first may be damaged.
constexpr int kMostPeeked = 16;

}  // namespace

absl::StatusOr<std::unique_ptr<TraceBlocks>> TraceBlocks::Open(const std::string& path, bool follow) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return absl::ErrnoToStatus(errno, path);
  struct stat status = {};
  if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
    close(fd);
    return absl::InvalidArgumentError(absl::StrCat(path, " is a directory: name the trace files in it"));
  }
  return std::unique_ptr<TraceBlocks>(new TraceBlocks(fd, path, follow && S_ISREG(status.st_mode)));
}

std::unique_ptr<TraceBlocks> TraceBlocks::FromFd(int fd, const std::string& name) {
  return std::unique_ptr<TraceBlocks>(new TraceBlocks(fd, name, false));
}

TraceBlocks::TraceBlocks(int fd, std::string name, bool follow) : fd_(fd), name_(std::move(name)), follow_(follow), reader_(fd) {}

TraceBlocks::~TraceBlocks() { close(fd_); }

absl::Status TraceBlocks::Failed() const { return absl::ErrnoToStatus(errno, absl::StrCat(name_, ": read")); }

bool TraceBlocks::is_regular() const {
  struct stat status = {};
  return fstat(fd_, &status) == 0 && S_ISREG(status.st_mode);
}

uint64_t TraceBlocks::size() const {
  struct stat status = {};
  return fstat(fd_, &status) == 0 && S_ISREG(status.st_mode) ? static_cast<uint64_t>(status.st_size) : 0;
}

std::optional<TraceBlock> TraceBlocks::Peek() {
  for (int i = 0; i < kMostPeeked; ++i) {
    bytes_.resize(kTraceBlockSize);
    const ssize_t there = ReadAt(fd_, uint64_t{kTraceBlockSize} * static_cast<unsigned>(i), bytes_);
    if (there <= 0) break;
    bytes_.resize(static_cast<size_t>(there));
    TraceBlock block;
    if (TraceBlock::Parse(bytes_, block) == BlockState::kGood) return block;
  }
  return std::nullopt;
}

absl::StatusOr<bool> TraceBlocks::Next(Item& item) {
  if (follow_) return NextFollowed(item);
  absl::StatusOr<bool> next = reader_.Next(item);
  if (!next.ok()) return absl::Status(next.status().code(), absl::StrCat(name_, ": ", next.status().message()));
  return next;
}

absl::StatusOr<bool> TraceBlocks::NextFollowed(Item& item) {
  for (;;) {
    bytes_.resize(kTraceBlockSize);
    // Before the block is read, so that one with others behind it is known to be complete.
    const bool has_more_behind = size() > offset_ + kTraceBlockSize;
    const ssize_t there = ReadAt(fd_, offset_, bytes_);
    if (there < 0) return Failed();
    bytes_.resize(static_cast<size_t>(there));
    item = Item();
    item.offset = offset_;
    item.state = TraceBlock::Parse(bytes_, item.block);
    const bool good = item.state == BlockState::kGood;
    const size_t seen = std::exchange(handed_out_, good ? item.block.records() : handed_out_);
    if (has_more_behind) {
      offset_ += kTraceBlockSize;
      handed_out_ = 0;
    } else if (!good || item.block.records() == seen) {
      // Half-written, or nothing new.
      if (GoOnBehind()) continue;
      return false;
    }
    if (!good) {
      if (item.state == BlockState::kEmpty) continue;
      return true;
    }
    if (seen == 0 && last_sequence_.has_value() && item.block.sequence() > *last_sequence_ + 1) {
      item.missing = item.block.sequence() - *last_sequence_ - 1;
    }
    last_sequence_ = item.block.sequence();
    absl::string_view record;
    for (size_t i = 0; i < seen; ++i) item.block.Next(record);
    if (item.block.records() == seen) continue;
    return true;
  }
}

bool TraceBlocks::GoOnBehind() {
  struct stat now = {};
  struct stat ours = {};
  if (stat(name_.c_str(), &now) != 0 || fstat(fd_, &ours) != 0) return false;
  if (now.st_ino == ours.st_ino && now.st_dev == ours.st_dev) return false;
  const int fd = open(name_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return false;
  close(std::exchange(fd_, fd));
  offset_ = 0;
  handed_out_ = 0;
  return true;
}

}  // namespace agentos
