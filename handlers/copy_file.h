// CopyFile and SendFile: moves the bytes of a file to another file, or to a socket, without their passing through this process.
//
// From file to file the kernel copies by itself (copy_file_range(2)), by reference where the file system can share blocks. To a
// socket, and between file systems of different kinds, it moves the bytes through pipes (splice(2)), which saves a copy; two pipes
// are filled and emptied side by side, so that reading and writing overlap. Where a file or a device can do neither the bytes are
// read and written in chunks (file_stream.h).
//
// Thread rule: as AsyncRing.
// Lifetime: destroying the task stops it; what was copied by then stays.
// Errors: in the result, beside the count of bytes that are certain to have arrived, from the beginning and without a gap.
// Source: copy_file_range(2), splice(2), pipe(7).
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
  // Bytes that move at once, between two looks at `stop`; 0 is what suits the way that they go.
  size_t chunk_size = 0;
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
