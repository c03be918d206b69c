#include "agentos/handlers/copy_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "agentos/handlers/file_stream.h"
#include "agentos/handlers/when_all.h"
#include "agentos/ring/types.h"
#include "agentos/ring/unique_fd.h"

namespace agentos {

namespace {

// Pipes that are filled and emptied side by side.
constexpr size_t kPipes = 2;
// A pipe's pages cost more to handle than the bytes of a short range to copy.
constexpr uint64_t kSpliceFrom = 128 << 10;
// Larger ones get larger pages from the kernel, from memory that nobody has touched yet: in virtual machines a copy by 1 MiB is now
// and then ten times slower.
constexpr size_t kSpliceChunk = size_t{128} << 10;
// What a thread copies in about a millisecond: long beside its wake-up, short beside a user's patience.
constexpr size_t kRangeChunk = size_t{4} << 20;

struct Pipe {
  UniqueFd out;
  UniqueFd in;
  size_t capacity = 0;
};

absl::StatusOr<Pipe> MakePipe(size_t capacity) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe2; raise RLIMIT_NOFILE or close files");
  Pipe pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
  // More than the system allows (fs.pipe-max-size) is not to be had; what it has by itself does, too.
  fcntl(pipe.in.get(), F_SETPIPE_SZ, static_cast<int>(std::min<size_t>(capacity, 1 << 30)));
  pipe.capacity = static_cast<size_t>(std::max(fcntl(pipe.in.get(), F_GETPIPE_SZ), 1));
  return pipe;
}

// One copy under way: what its pipes share.
class Copy {
 public:
  Copy(AsyncRing& ring, int from_fd, int64_t from_offset, int to_fd, int64_t to_offset, uint64_t length, CopyOptions options)
      : ring_(ring),
        from_fd_(from_fd),
        from_offset_(from_offset),
        to_fd_(to_fd),
        to_offset_(to_offset),
        length_(length),
        options_(std::move(options)) {
    struct stat status {};
    if (fstat(from_fd, &status) == 0) size_ = static_cast<uint64_t>(std::max<int64_t>(0, status.st_size - from_offset));
    size_ = std::min(size_, length_);
    const bool from_is_file = S_ISREG(status.st_mode);
    const bool to_is_file = fstat(to_fd, &status) == 0 && S_ISREG(status.st_mode);
    // Whatever position is written to, O_APPEND writes at the end.
    to_has_positions_ = to_is_file && (fcntl(to_fd, F_GETFL) & O_APPEND) == 0;
    // A file that claims to be empty may still have content, which only reading it gives (proc(5)).
    can_copy_range_ = from_is_file && to_has_positions_ && size_ > 0;
  }

  Task<CopyResult> Run() {
    if (can_copy_range_) co_await CopyRanges();
    if (can_copy_range_) co_return CopyResult{arrived_, status_};
    if (size_ >= kSpliceFrom) {
      // Bytes that leave for a socket, or for the end of a file, have to leave in order.
      std::vector<Task<void>> pumps;
      for (size_t i = 0; i < (to_has_positions_ ? kPipes : 1); ++i) pumps.push_back(Pump());
      co_await WhenAll(std::move(pumps));
    } else {
      cannot_splice_ = true;
    }
    if (cannot_splice_ && arrived_ == 0) co_await PumpThroughMemory();
    co_return CopyResult{arrived_, status_};
  }

 private:
  // A part of the range, and how much of it has arrived.
  struct Chunk {
    uint64_t offset;
    uint64_t arrived = 0;
    bool done = false;
  };

  bool going() const { return status_.ok() && !at_end_ && !cannot_splice_ && next_ < length_; }

  size_t ChunkSize(size_t usual) const {
    return options_.chunk_size == 0 ? usual : std::min(options_.chunk_size, kMaxTransferSize);
  }

  Task<void> CopyRanges() {
    while (going()) {
      if (options_.stop.stop_requested()) {
        Fail(absl::CancelledError(absl::StrCat("stopped after ", arrived_, " bytes")));
        break;
      }
      const SyscallCompletionEntry copied = co_await ring_
                                                .CopyFileRange(from_fd_, from_offset_ + static_cast<int64_t>(next_), to_fd_,
                                                               to_offset_ + static_cast<int64_t>(next_),
                                                               std::min<uint64_t>(ChunkSize(kRangeChunk), length_ - next_))
                                                .StopOn(options_.stop);
      const bool succeeded = copied.status.is_success();
      if (next_ == 0 && (succeeded ? copied.result.value() == 0 : IsOfTheWay(copied.status.error_number()))) {
        can_copy_range_ = false;
        break;
      }
      if (!succeeded) {
        Fail(copied.status.ToStatus());
        break;
      }
      const auto count = static_cast<uint64_t>(copied.result.value());
      at_end_ = count == 0;
      next_ += count;
      arrived_ = next_;
      if (count > 0 && options_.progress) options_.progress(arrived_, size_);
    }
  }

  // Whether copy_file_range(2) may have failed for what only it asks of files: the same kind of file system, for one.
  static bool IsOfTheWay(int error_number) {
    return error_number == EXDEV || error_number == EINVAL || error_number == EOPNOTSUPP || error_number == ENOSYS;
  }

  // Moves chunk after chunk through a pipe of its own.
  Task<void> Pump() {
    absl::StatusOr<Pipe> pipe = MakePipe(ChunkSize(kSpliceChunk));
    if (!pipe.ok()) {
      Fail(pipe.status());
      co_return;
    }
    while (going()) {
      const uint64_t offset = next_;
      const uint64_t size = std::min<uint64_t>(std::min(pipe->capacity, ChunkSize(kSpliceChunk)), length_ - offset);
      next_ += size;
      const size_t place = first_chunk_ + chunks_.size();
      chunks_.push_back({offset});
      co_await Move(*pipe, place, size);
    }
  }

  Task<void> Move(const Pipe& pipe, size_t place, uint64_t size) {
    const uint64_t offset = chunks_[place - first_chunk_].offset;
    uint64_t taken = 0;
    while (taken < size) {
      const int64_t at = from_offset_ + static_cast<int64_t>(offset + taken);
      const SyscallCompletionEntry filled =
          co_await ring_.Splice(from_fd_, at, pipe.in.get(), kCurrentPosition, size - taken).StopOn(options_.stop);
      if (!filled.status.is_success()) {
        // Nothing has moved yet, so that it can be begun anew in another way.
        if (filled.status.error_number() == EINVAL && arrived_ == 0) cannot_splice_ = true;
        if (!cannot_splice_) Fail(filled.status.ToStatus());
        break;
      }
      const auto count = static_cast<uint64_t>(filled.result.value());
      if (count == 0) {
        at_end_ = true;
        break;
      }
      const uint64_t drained = co_await Drain(pipe, offset + taken, count);
      taken += drained;
      Arrived(place, drained);
      if (drained < count) break;
    }
    // A gap ends what counts as arrived.
    if (taken == size) chunks_[place - first_chunk_].done = true;
    CountArrived();
  }

  // Empties the pipe into the other file: how many bytes.
  Task<uint64_t> Drain(const Pipe& pipe, uint64_t offset, uint64_t count) {
    uint64_t moved = 0;
    while (moved < count) {
      const int64_t at = to_has_positions_ ? to_offset_ + static_cast<int64_t>(offset + moved) : kCurrentPosition;
      const SyscallCompletionEntry emptied =
          co_await ring_.Splice(pipe.out.get(), kCurrentPosition, to_fd_, at, count - moved).StopOn(options_.stop);
      if (!emptied.status.is_success()) {
        if (emptied.status.error_number() == EINVAL && arrived_ == 0 && moved == 0) cannot_splice_ = true;
        if (!cannot_splice_) Fail(emptied.status.ToStatus());
        break;
      }
      moved += static_cast<uint64_t>(emptied.result.value());
    }
    co_return moved;
  }

  void Arrived(size_t place, uint64_t count) {
    chunks_[place - first_chunk_].arrived += count;
    moved_ += count;
    if (options_.progress) options_.progress(moved_, size_);
  }

  // From the beginning, up to the first gap.
  void CountArrived() {
    while (!chunks_.empty() && chunks_.front().done) {
      arrived_ += chunks_.front().arrived;
      chunks_.erase(chunks_.begin());
      ++first_chunk_;
      before_first_ = arrived_;
    }
    arrived_ = before_first_ + (chunks_.empty() ? 0 : chunks_.front().arrived);
  }

  Task<void> PumpThroughMemory() {
    ReadStreamOptions read;
    read.chunk_size = std::min<size_t>(ChunkSize(kSpliceChunk), 256 << 10);
    read.offset = from_offset_;
    read.length = length_;
    read.stop = options_.stop;
    WriteStreamOptions write;
    write.offset = to_offset_;
    write.stop = options_.stop;
    ReadStream from(ring_, from_fd_, std::move(read));
    WriteStream to(ring_, to_fd_, std::move(write));
    absl::Status failure;
    for (;;) {
      absl::StatusOr<Bytes> chunk = co_await from.Next();
      if (!chunk.ok()) failure = chunk.status();
      if (!chunk.ok() || chunk->empty()) break;
      failure = co_await to.Write(*std::move(chunk));
      if (!failure.ok()) break;
      if (options_.progress) options_.progress(to.bytes_written(), size_);
    }
    const absl::Status finished = co_await to.Finish();
    Fail(failure.ok() ? finished : failure);
    arrived_ = to.bytes_written();
    if (options_.progress) options_.progress(arrived_, size_);
  }

  // The first failure counts.
  void Fail(const absl::Status& status) {
    if (status_.ok()) status_ = status;
  }

  AsyncRing& ring_;
  const int from_fd_;
  const int64_t from_offset_;
  const int to_fd_;
  const int64_t to_offset_;
  const uint64_t length_;
  const CopyOptions options_;
  uint64_t size_ = 0;
  bool to_has_positions_ = false;
  bool can_copy_range_ = false;

  // The offset of the next chunk, from the range's beginning.
  uint64_t next_ = 0;
  bool at_end_ = false;
  bool cannot_splice_ = false;
  absl::Status status_;
  // Chunks that have begun, from the first one on that has not arrived whole.
  std::vector<Chunk> chunks_;
  size_t first_chunk_ = 0;
  uint64_t before_first_ = 0;
  // Bytes without a gap, and all of them.
  uint64_t arrived_ = 0;
  uint64_t moved_ = 0;
};

CopyResult Failure(const absl::Status& status) { return {.bytes = 0, .status = status}; }

}  // namespace

Task<CopyResult> CopyRange(AsyncRing& ring, int from_fd, int64_t from_offset, int to_fd, int64_t to_offset, uint64_t length,
                           CopyOptions options) {
  const bool durable = options.durable;
  Copy copy(ring, from_fd, from_offset, to_fd, to_offset, length, std::move(options));
  CopyResult result = co_await copy.Run();
  if (durable && result.status.ok()) {
    const SyscallCompletionEntry synced = co_await ring.Fsync(to_fd);
    result.status = synced.status.ToStatus();
  }
  co_return result;
}

Task<CopyResult> SendFile(AsyncRing& ring, int file_fd, int64_t offset, uint64_t length, int socket_fd, CopyOptions options) {
  options.durable = false;
  return CopyRange(ring, file_fd, offset, socket_fd, /*to_offset=*/0, length, std::move(options));
}

Task<CopyResult> CopyFile(AsyncRing& ring, std::string from, std::string to, CopyOptions options) {
  const SyscallCompletionEntry opened = co_await ring.Open(from, O_RDONLY);
  if (!opened.status.is_success()) co_return Failure(opened.status.ToStatus());
  const UniqueFd source(static_cast<int>(opened.result.value()));
  struct stat status {};
  if (fstat(source.get(), &status) != 0) co_return Failure(absl::ErrnoToStatus(errno, from));
  if (S_ISDIR(status.st_mode)) co_return Failure(absl::FailedPreconditionError(absl::StrCat(from, " is a directory")));
  // Truncated only once it is certain to be another file.
  const SyscallCompletionEntry created = co_await ring.Open(to, O_WRONLY | O_CREAT, status.st_mode & 0777);
  if (!created.status.is_success()) co_return Failure(created.status.ToStatus());
  const UniqueFd target(static_cast<int>(created.result.value()));
  struct stat target_status {};
  if (fstat(target.get(), &target_status) != 0) co_return Failure(absl::ErrnoToStatus(errno, to));
  if (target_status.st_dev == status.st_dev && target_status.st_ino == status.st_ino) {
    co_return Failure(absl::InvalidArgumentError(absl::StrCat(from, " and ", to, " are the same file")));
  }
  if (target_status.st_size > 0) {
    const SyscallCompletionEntry emptied = co_await ring.Ftruncate(target.get(), 0);
    if (!emptied.status.is_success()) co_return Failure(emptied.status.ToStatus());
  }
  constexpr uint64_t kUntilTheEnd = uint64_t{1} << 62;
  Task<CopyResult> copy = CopyRange(ring, source.get(), 0, target.get(), 0, kUntilTheEnd, std::move(options));
  co_return co_await copy;
}

}  // namespace agentos
