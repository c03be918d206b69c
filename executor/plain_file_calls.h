// Whole files by plain system calls: what the executor runs on its own threads where the kernel's ring would be slower or could
// hang.
//
// Both calls take the path as open(2) does and report an errno in the result; no exception leaves them, memory exhaustion is
// ENOMEM. EINTR and short transfers are never the caller's. They open with O_NONBLOCK, so a FIFO, a terminal or a device never
// holds them:
// - Reading a FIFO that no one writes to is an empty file; with a writer that is silent it is EAGAIN, and what was read before
//   that is lost (value says how much). A terminal without input is EAGAIN, a directory is EISDIR.
// - Writing a FIFO that no one reads is ENXIO, one whose reader goes away is EPIPE, one whose reader falls behind is EAGAIN. No
//   SIGPIPE reaches the process, on whatever thread the call runs.
// What can hold them: a dead network or FUSE file system, and another process's lease (fcntl F_SETLEASE), for as long as
// /proc/sys/fs/lease-break-time says.
//
// Thread rule: any thread, any number at once; nothing is shared.
// Lifetime: path and data are borrowed until the call returns; FileCallResult::data is the caller's.
//
//   FileCallResult file = ReadWholeFile({.path = "/proc/meminfo"}, max_size, pool->Acquire(kFirstReadSize));
//   if (file.error_number == 0) Use(file.data.view());

#ifndef AGENTOS_EXECUTOR_PLAIN_FILE_CALLS_H_
#define AGENTOS_EXECUTOR_PLAIN_FILE_CALLS_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "agentos/executor/file_path.h"
#include "agentos/ring/bytes.h"
#include "agentos/ring/operation.h"
#include "agentos/ring/result_buffer_pool.h"

namespace agentos {

// The first buffer that most files fit into.
inline constexpr size_t kFirstReadSize = size_t{64} << 10;

struct FileCallResult {
  int error_number = 0;  // errno, 0 when the whole file went through
  int64_t value = 0;     // bytes read or written, also before an error
  Bytes data;            // what was read; empty on an error
};

// The content of the file up to its end, as it is met: a file that grows or shrinks meanwhile gives what was there when each part
// was read, and the size it claims is a hint at most. A file of more than max_size bytes is EFBIG. The content lies in
// first_buffer when it fits, so that a file that does costs no allocation; an empty first_buffer is replaced by a new one.
FileCallResult ReadWholeFile(const FilePath& file, size_t max_size, PooledBuffer first_buffer);

// Creates the file (0644 and the umask) or truncates it, and writes all of data. After an error the file holds the `value` bytes
// that went before it, as far as the kernel says; an atomic one has not touched it, and `value` is 0.
FileCallResult WriteWholeFile(const FilePath& file, absl::string_view data, const operation::WriteFile::Options& options = {});

// openat(2), close-on-exec added, for a confined open that the kernel's ring cannot; value = the fd.
FileCallResult OpenFile(const FilePath& file, int flags, mode_t mode);

// copy_file_range(2); value = the bytes of this one call.
FileCallResult CopyFileRangeOnce(const operation::CopyFileRange& range, int from_fd, int to_fd);

// ftruncate(2), for kernels whose io_uring cannot.
FileCallResult TruncateFile(int fd, int64_t size);

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_PLAIN_FILE_CALLS_H_
