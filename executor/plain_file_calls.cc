#include "agentos/executor/plain_file_calls.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "agentos/executor/file_path.h"
#include "agentos/executor/plain_file_steps.h"
#include "agentos/ring/types.h"

namespace agentos {
namespace {

// Where the byte after a full buffer goes: a file that exactly fills the buffer ends without a larger one.
constexpr size_t kSpillSize = 4096;

// Bytes read, 0 at the end, or -errno.
ssize_t ReadRetrying(int fd, char* data, size_t size) {
  for (;;) {
    const ssize_t got = read(fd, data, std::min(size, kMaxTransferSize));
    if (got >= 0) return got;
    if (errno != EINTR) return -errno;
  }
}

// Whether a byte beyond max_size can be read: the proof that a size above the limit is real, so that a gigabyte need not be read
// to find out.
bool IsProvenTooLarge(int fd, const struct stat& status, size_t max_size) {
  if (!S_ISREG(status.st_mode) || status.st_size < 0 || static_cast<uint64_t>(status.st_size) <= max_size) return false;
  char byte;
  return pread(fd, &byte, 1, static_cast<off_t>(max_size)) == 1;
}

// A buffer for the `used` bytes so far and what is still to come: at least twice as large, so that a file that grows while it is
// read is not copied over and over, and with room for one byte more than the claimed size, because the end shows only when a read
// finds nothing.
PooledBuffer NewLargerBuffer(const struct stat& status, size_t used, size_t max_size) {
  const size_t doubled = std::min(used * 2, max_size + 1);
  if (S_ISREG(status.st_mode) && status.st_size > 0) {
    const size_t claimed = std::min(static_cast<size_t>(status.st_size), max_size) + 1;
    if (claimed > doubled) {
      // A claim that is too large for the memory may be a lie, as those of /proc/kcore and some sysfs files are.
      PooledBuffer buffer = ResultBufferPool::NewUnpooled(claimed);
      if (buffer) return buffer;
    }
  }
  return ResultBufferPool::NewUnpooled(doubled);
}

// Reads to the end of fd. On an error result.data stays empty and result.value says how far it came.
void ReadToEnd(int fd, size_t max_size, PooledBuffer buffer, FileCallResult& result) {
  size_t used = 0;
  for (;;) {
    char spill[kSpillSize];
    const bool full = used == buffer.capacity();
    const ssize_t got =
        full ? ReadRetrying(fd, spill, kSpillSize) : ReadRetrying(fd, buffer.data() + used, buffer.capacity() - used);
    if (got < 0) {
      result.error_number = static_cast<int>(-got);
      return;
    }
    if (got == 0) break;
    const size_t count = static_cast<size_t>(got);
    result.value += got;
    if (count > max_size - used) {
      result.error_number = EFBIG;
      return;
    }
    if (full) {
      struct stat status;
      if (fstat(fd, &status) != 0) status = {};
      if (IsProvenTooLarge(fd, status, max_size)) {
        result.error_number = EFBIG;
        return;
      }
      PooledBuffer larger = NewLargerBuffer(status, used + count, max_size);
      if (!larger) {
        result.error_number = ENOMEM;
        return;
      }
      std::memcpy(larger.data(), buffer.data(), used);
      std::memcpy(larger.data() + used, spill, count);
      buffer = std::move(larger);
    }
    used += count;
  }
  if (used != 0) result.data = Bytes(std::move(buffer), used);
}

// Keeps SIGPIPE from the process while this thread writes to a pipe. A write raises it for the writing thread only, so the thread
// blocks it and takes it back; one that was pending before is none of ours and stays.
class SigpipeBlock {
 public:
  SigpipeBlock() {
    sigemptyset(&sigpipe_);
    sigaddset(&sigpipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
  }
  ~SigpipeBlock() {
    if (!was_pending_) {
      const timespec now = {0, 0};
      while (sigtimedwait(&sigpipe_, nullptr, &now) < 0 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SigpipeBlock(const SigpipeBlock&) = delete;
  SigpipeBlock& operator=(const SigpipeBlock&) = delete;

 private:
  sigset_t sigpipe_;
  sigset_t before_;
  bool was_pending_;
};

void WriteAll(int fd, absl::string_view data, FileCallResult& result) {
  while (!data.empty()) {
    const ssize_t put = write(fd, data.data(), std::min(data.size(), kMaxTransferSize));
    if (put < 0) {
      if (errno == EINTR) continue;
      result.error_number = errno;
      return;
    }
    // No file that open(2) can reach takes nothing and says success; one that did would hold this thread for ever.
    if (put == 0) {
      result.error_number = EIO;
      return;
    }
    result.value += put;
    data.remove_prefix(static_cast<size_t>(put));
  }
}

}  // namespace

namespace executor_internal {

void WriteToEnd(int fd, absl::string_view data, FileCallResult& result) {
  // Only what cannot be sought raises SIGPIPE, and asking costs less than the file's type.
  if (lseek(fd, 0, SEEK_CUR) < 0) {
    SigpipeBlock block;
    WriteAll(fd, data, result);
  } else {
    WriteAll(fd, data, result);
  }
}

int CloseReporting(int fd) {
  // An interrupted close has closed it as well (close(2), NOTES).
  if (close(fd) == 0 || errno == EINTR) return 0;
  return errno;
}

}  // namespace executor_internal

using namespace executor_internal;  // The private half of this very component.

FileCallResult ReadWholeFile(const FilePath& file, size_t max_size, PooledBuffer first_buffer) {
  FileCallResult result;
  // One more than the limit must be representable, as a buffer's size and as an offset.
  max_size = std::min<size_t>(max_size, std::numeric_limits<int64_t>::max() - 1);
  const int fd = OpenNeverHanging(file, O_RDONLY);
  if (fd < 0) {
    result.error_number = -fd;
    return result;
  }
  if (!first_buffer) first_buffer = ResultBufferPool::NewUnpooled(kFirstReadSize);
  if (first_buffer) {
    ReadToEnd(fd, max_size, std::move(first_buffer), result);
  } else {
    result.error_number = ENOMEM;
  }
  close(fd);
  return result;
}

FileCallResult WriteWholeFile(const FilePath& file, absl::string_view data, const operation::WriteFile::Options& options) {
  if (options.atomic || options.durable) return WriteCarefully(file, data, options);
  FileCallResult result;
  const int fd = OpenNeverHanging(file, O_WRONLY | O_CREAT | O_TRUNC);
  if (fd < 0) {
    result.error_number = -fd;
    return result;
  }
  WriteToEnd(fd, data, result);
  const int close_error = CloseReporting(fd);
  if (result.error_number == 0) result.error_number = close_error;
  return result;
}

FileCallResult OpenFile(const FilePath& file, int flags, mode_t mode) {
  const int fd = OpenRetrying(file, flags | O_CLOEXEC, mode);
  if (fd < 0) return {.error_number = -fd};
  return {.value = fd};
}

FileCallResult CopyFileRangeOnce(const operation::CopyFileRange& range, int from_fd, int to_fd) {
  off64_t from = range.from_offset;
  off64_t to = range.to_offset;
  ssize_t copied;
  do {
    copied = copy_file_range(from_fd, from == kCurrentPosition ? nullptr : &from, to_fd, to == kCurrentPosition ? nullptr : &to,
                             range.size, 0);
  } while (copied < 0 && errno == EINTR);
  if (copied < 0) return {.error_number = errno};
  return {.value = copied};
}

FileCallResult TruncateFile(int fd, int64_t size) {
  int outcome;
  do {
    outcome = ftruncate(fd, size);
  } while (outcome != 0 && errno == EINTR);
  return {.error_number = outcome == 0 ? 0 : errno};
}

}  // namespace agentos
