#include "agentos/handlers/file_stream.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "agentos/ring/types.h"

namespace agentos {

namespace {

bool IsRegularFile(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

}  // namespace

ReadStream::ReadStream(AsyncRing& ring, int fd, ReadStreamOptions options)
    : ring_(ring),
      fd_(fd),
      options_(std::move(options)),
      seekable_(IsRegularFile(fd)),
      next_offset_(options_.offset),
      left_(options_.length) {}

void ReadStream::ReadAhead() {
  const size_t most = seekable_ ? std::max<size_t>(1, options_.read_ahead) : 1;
  while (chunks_.size() < most && left_ > 0 && status_.ok()) {
    const size_t size =
        static_cast<size_t>(std::min<uint64_t>(std::clamp<size_t>(options_.chunk_size, 1, kMaxTransferSize), left_));
    chunks_.push_back({ring_.Read(fd_, size, seekable_ ? next_offset_ : kCurrentPosition).StopOn(options_.stop).Start(), size});
    next_offset_ += static_cast<int64_t>(size);
    if (seekable_) left_ -= size;
  }
}

Task<absl::StatusOr<Bytes>> ReadStream::Next() {
  ReadAhead();
  if (!status_.ok()) co_return status_;
  if (chunks_.empty()) co_return Bytes();
  Chunk chunk = std::move(chunks_.front());
  chunks_.pop_front();
  if (seekable_) ReadAhead();
  SyscallCompletionEntry done = co_await chunk.operation;
  if (!done.status.is_success()) {
    status_ = done.status.ToStatus();
    chunks_.clear();
    co_return status_;
  }
  const auto count = static_cast<size_t>(done.result.value());
  bytes_read_ += count;
  if (!seekable_ && count > 0) {
    left_ -= count;
  } else if (count < chunk.asked) {
    // The end, wherever it was when the stream began.
    left_ = 0;
    chunks_.clear();
  }
  co_return done.result.TakeBytes();
}

WriteStream::WriteStream(AsyncRing& ring, int fd, WriteStreamOptions options)
    : ring_(ring),
      fd_(fd),
      options_(std::move(options)),
      // Whatever position is written to, O_APPEND writes at the end.
      seekable_(IsRegularFile(fd) && (fcntl(fd, F_GETFL) & O_APPEND) == 0),
      next_offset_(options_.offset) {}

Task<absl::Status> WriteStream::Write(Bytes data) {
  const size_t most = seekable_ ? std::max<size_t>(1, options_.write_behind) : 1;
  while (chunks_.size() >= most) co_await AwaitOldest();
  if (!status_.ok()) co_return status_;
  const auto size = static_cast<int64_t>(data.size());
  if (size == 0) co_return absl::OkStatus();
  chunks_.push_back(ring_.Write(fd_, std::move(data), seekable_ ? next_offset_ : kCurrentPosition).StopOn(options_.stop).Start());
  next_offset_ += size;
  co_return absl::OkStatus();
}

Task<absl::Status> WriteStream::Finish() {
  while (!chunks_.empty()) co_await AwaitOldest();
  co_return status_;
}

Task<void> WriteStream::AwaitOldest() {
  OperationHandle oldest = std::move(chunks_.front());
  chunks_.pop_front();
  const SyscallCompletionEntry done = co_await oldest;
  if (!status_.ok()) co_return;
  // Also of one that failed half-way: what went before it did.
  bytes_written_ += static_cast<uint64_t>(std::max<int64_t>(0, done.result.value()));
  if (!done.status.is_success()) status_ = done.status.ToStatus();
}

}  // namespace agentos
