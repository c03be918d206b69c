// CopyFile and SendFile: moves the bytes of a file to another file, or to a socket, without their passing through this process.
//
// The kernel moves them through pipes (splice(2)), which saves a copy; where a file system or a device cannot splice they are read
// and written in chunks (file_stream.h). Two pipes are filled and emptied side by side, so that reading and writing overlap.
//
// Thread rule: as AsyncRing.
// Lifetime: destroying the task stops it; what was copied by then stays.
// Errors: in the result, beside the count of bytes that are certain to have arrived, from the beginning and without a gap.
// Source: splice(2), pipe(7).
//
//   CopyResult copied = co_await CopyFile(ring, "movie.mkv", "backup.mkv",
//                                         {.progress = [](uint64_t bytes, uint64_t size) { Show(bytes, size); }});
//   if (!copied.status.ok()) co_return copied.status;

#ifndef AGENTOS_HANDLERS_COPY_FILE_H_
#define AGENTOS_HANDLERS_COPY_FILE_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/task.h"

namespace agentos {

struct CopyOptions {
  // Bytes that move at once. Larger writes get larger pages from the kernel, from memory that nobody has touched yet: in virtual
  // machines a copy by 1 MiB is now and then ten times slower.
  size_t chunk_size = size_t{128} << 10;
  // Called after each chunk, on the loop's thread: how many bytes have moved, and the size of the file when it began (0 where
  // unknown).
  std::function<void(uint64_t bytes, uint64_t size)> progress = nullptr;
  // Ends it as cancelled.
  std::stop_token stop = {};
  // Whether the data is on the disk when the copy ends.
  bool durable = false;
};

struct CopyResult {
  uint64_t bytes = 0;
  absl::Status status;
};

// Copies the content and the permission bits of a regular file; one that exists is replaced, and keeps its permission bits. A copy
// of a file onto itself is InvalidArgument, of a directory FailedPrecondition.
Task<CopyResult> CopyFile(AsyncRing& ring, std::string from, std::string to, CopyOptions options = {});

// The same for files that are open: from `from_offset` on, `length` bytes or until the end. `to_fd` is a regular file, written from
// `to_offset` on, or a socket or pipe.
Task<CopyResult> CopyRange(AsyncRing& ring, int from_fd, int64_t from_offset, int to_fd, int64_t to_offset, uint64_t length,
                           CopyOptions options = {});

// Sends `length` bytes of a file to a socket, or all until its end.
Task<CopyResult> SendFile(AsyncRing& ring, int file_fd, int64_t offset, uint64_t length, int socket_fd, CopyOptions options = {});

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_COPY_FILE_H_
