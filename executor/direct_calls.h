// What a submission entry asks for, as the system call of the same name: io_uring's opcodes without io_uring.
//
// Each opcode can be executed in two ways. Try never waits, on whichever thread it is called: what would wait answers where the
// call belongs instead. CallAndWait makes the call as it is, for threads that may wait.
//
// Thread rule: no state; from any thread.
// Lifetime: the memory that an entry names must stay valid during the call.
// Errors: a result is what io_uring's completion would hold, -errno or a value. errno is not looked at by anybody else.
// Source: io_uring_enter(2); preadv2(2) for RWF_NOWAIT; openat2(2) for RESOLVE_CACHED.
//
//   Attempt attempt = Try(sqe, /*done=*/0);
//   if (attempt.next == Attempt::Next::kDone) Post(attempt.value);

#ifndef AGENTOS_EXECUTOR_DIRECT_CALLS_H_
#define AGENTOS_EXECUTOR_DIRECT_CALLS_H_

#include <linux/io_uring.h>

#include <cstdint>

namespace agentos {

struct Attempt {
  enum class Next : uint8_t {
    kDone,
    // A file's content or names: comes from a device, which answers soon.
    kFileThread,
    // May take long, or for ever.
    kSlowThread,
    // Wait for the fd, then Try again.
    kWhenReadable,
    kWhenWritable,
    // Wait for the fd, then CallAndWait: there is no way to tell this file not to wait (a terminal; a pipe that was spliced).
    kWhenReadableWait,
    kWhenWritableWait,
  };

  Next next = Next::kDone;
  // The result when done; else how many bytes of the transfer are done so far.
  int32_t value = 0;
};

// Whether there is anything for this opcode here.
bool HasDirectCall(unsigned opcode);

// How many fds the call works on: those that must stay the same files until it is over. -1 in places that are not used.
struct FdsOfCall {
  int first = -1;
  int second = -1;
};
FdsOfCall FdsOf(const io_uring_sqe& sqe);

// What one batch of tries has found out about the fd that it asked for last; it asks once for all its reads of one file.
struct FdMemo {
  int fd = -1;
  bool direct = false;
};

// `done`: the bytes that earlier attempts have moved. Not for POLL_ADD, TIMEOUT and ASYNC_CANCEL, which are no calls.
Attempt Try(const io_uring_sqe& sqe, int32_t done, FdMemo& memo);
inline Attempt Try(const io_uring_sqe& sqe, int32_t done) {
  FdMemo memo;
  return Try(sqe, done, memo);
}

// Waits as long as it takes; -EINTR when a signal has come and nothing was moved. SIGPIPE must be blocked in the calling thread.
int32_t CallAndWait(const io_uring_sqe& sqe, int32_t done);

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_DIRECT_CALLS_H_
