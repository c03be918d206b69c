// ReadStream and WriteStream: large data in chunks, a few of them under way at once, in order, in bounded memory.
//
// A regular file is read ahead and written behind at explicit offsets; a pipe, a socket, a device or a file with
// O_APPEND has one operation under way at a time, for their order counts.
//
// Thread rule: as AsyncRing.
// Lifetime: the descriptor is the caller's and stays open until the stream is destroyed. Destroying a stream stops what is under
// way. One Next, or one Write or Finish, at a time.
// Errors: the first one ends the stream; every later call answers the same. What had been moved by then is counted exactly.
//
//   ReadStream from(ring, file.get());
//   for (;;) {
//     absl::StatusOr<Bytes> chunk = co_await from.Next();
//     if (!chunk.ok()) co_return chunk.status();
//     if (chunk->empty()) break;
//     if (absl::Status written = co_await to.Write(*std::move(chunk)); !written.ok()) co_return written;
//   }
//   co_return co_await to.Finish();

#ifndef AGENTOS_HANDLERS_FILE_STREAM_H_
#define AGENTOS_HANDLERS_FILE_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <stop_token>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/handlers/async_operation.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/task.h"
#include "agentos/ring/bytes.h"

namespace agentos {

struct ReadStreamOptions {
  // Bytes of a chunk; the last one may be smaller, and those of pipes and sockets are what comes.
  size_t chunk_size = size_t{256} << 10;
  // Chunks under way or read and not taken, of a regular file.
  size_t read_ahead = 4;
  // Where to begin, in a regular file.
  int64_t offset = 0;
  // How many bytes to read at most.
  uint64_t length = std::numeric_limits<uint64_t>::max();
  // Ends the stream as cancelled.
  std::stop_token stop = {};
};

class ReadStream {
 public:
  ReadStream(AsyncRing& ring, int fd, ReadStreamOptions options = {});

  // The next chunk; an empty one at the end, and from then on. A file that shrinks ends where it ends.
  Task<absl::StatusOr<Bytes>> Next();

  uint64_t bytes_read() const { return bytes_read_; }

 private:
  struct Chunk {
    OperationHandle operation;
    size_t asked;
  };

  void ReadAhead();

  AsyncRing& ring_;
  const int fd_;
  const ReadStreamOptions options_;
  const bool seekable_;
  int64_t next_offset_;
  // Bytes that were not asked for yet.
  uint64_t left_;
  uint64_t bytes_read_ = 0;
  absl::Status status_;
  std::deque<Chunk> chunks_;
};

struct WriteStreamOptions {
  // Chunks that may be under way, to a regular file.
  size_t write_behind = 4;
  // Where to begin, in a regular file.
  int64_t offset = 0;
  // Ends the stream as cancelled.
  std::stop_token stop = {};
};

class WriteStream {
 public:
  WriteStream(AsyncRing& ring, int fd, WriteStreamOptions options = {});

  // Takes the data over. Goes on at once as long as few enough chunks are under way: that is the back-pressure. An error is that
  // of an earlier chunk, or of this one.
  Task<absl::Status> Write(Bytes data);
  // Waits for what is under way.
  Task<absl::Status> Finish();

  // How many bytes from the beginning are certain to have been written, without a gap.
  uint64_t bytes_written() const { return bytes_written_; }

 private:
  // Waits for the oldest chunk.
  Task<void> AwaitOldest();

  AsyncRing& ring_;
  const int fd_;
  const WriteStreamOptions options_;
  const bool seekable_;
  int64_t next_offset_;
  uint64_t bytes_written_ = 0;
  absl::Status status_;
  std::deque<OperationHandle> chunks_;
};

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_FILE_STREAM_H_
