#include "agentos/executor/direct_calls.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <initializer_list>

#include "agentos/executor/nosignal_writes.h"

namespace agentos {

namespace {

using Next = Attempt::Next;

// Linux 6.9; the headers of older distributions do not name it.
constexpr uint8_t kOpFtruncate = 55;

constexpr Attempt Done(int64_t value) { return {Next::kDone, static_cast<int32_t>(value)}; }
Attempt DoneOrErrno(int64_t value) { return Done(value < 0 ? -errno : value); }

template <typename T>
T* PointerOf(uint64_t address) {
  return reinterpret_cast<T*>(static_cast<uintptr_t>(address));
}

const char* PathOf(uint64_t address) { return PointerOf<const char>(address); }

int64_t OrErrno(int64_t value) { return value < 0 ? -errno : value; }

// A transfer that has moved something is a success, whatever came after.
int32_t Total(int32_t done, int64_t result) {
  if (result < 0) return done > 0 ? done : static_cast<int32_t>(result);
  return done + static_cast<int32_t>(result);
}

enum class FileType : uint8_t {
  // Content on a device: reads and writes end soon, and short ones only at the end.
  kContent,
  // A file of /proc and the like: content that is made when it is asked for.
  kGenerated,
  kSocket,
  kPipe,
  // Terminals, devices, eventfds.
  kOther,
};

FileType TypeOf(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return FileType::kOther;
  if (S_ISBLK(status.st_mode) || S_ISDIR(status.st_mode)) return FileType::kContent;
  if (S_ISREG(status.st_mode)) return status.st_size > 0 ? FileType::kContent : FileType::kGenerated;
  if (S_ISSOCK(status.st_mode)) return FileType::kSocket;
  return S_ISFIFO(status.st_mode) ? FileType::kPipe : FileType::kOther;
}

// What a transfer asks for, less what is done.
struct Transfer {
  iovec vector;
  off_t offset;
};

Transfer RestOf(const io_uring_sqe& sqe, int32_t done) {
  const auto offset = static_cast<off_t>(sqe.off);
  return {{PointerOf<char>(sqe.addr) + done, sqe.len - static_cast<uint32_t>(done)}, offset < 0 ? -1 : offset + done};
}

// A read with RWF_NOWAIT of a file opened with O_DIRECT waits for the device all the same. Only aligned ones can be such.
bool MayBeDirect(const io_uring_sqe& sqe, const Transfer& rest, FdMemo& memo) {
  constexpr uintptr_t kSector = 512;
  if ((reinterpret_cast<uintptr_t>(rest.vector.iov_base) | rest.vector.iov_len) % kSector != 0) return false;
  if (memo.fd != sqe.fd) {
    const int flags = fcntl(sqe.fd, F_GETFL);
    memo = {sqe.fd, flags >= 0 && (flags & O_DIRECT) != 0};
  }
  return memo.direct;
}

// What has no positions ignores the offset, as io_uring does; only a socket insists on none, or 0.
bool IgnoresOffset(int fd, off_t offset) { return offset == 0 || TypeOf(fd) != FileType::kSocket; }

template <typename Call>
int64_t AtOffsetOrNot(int fd, Transfer& rest, Call call) {
  int64_t result;
  do {
    result = OrErrno(call(rest));
    if (result == -ESPIPE && rest.offset != -1 && IgnoresOffset(fd, rest.offset)) {
      rest.offset = -1;
      result = OrErrno(call(rest));
    }
  } while (result == -EINTR);
  return result;
}

Attempt WhereItCanWait(int fd, int64_t error, int32_t done, Next when_ready, Next when_ready_wait) {
  const FileType type = TypeOf(fd);
  if (type == FileType::kContent || (type == FileType::kGenerated && error == -EAGAIN)) return {Next::kFileThread, done};
  return {error == -EAGAIN ? when_ready : when_ready_wait, done};
}

// Not to be told from a file's own errors by the number alone, but no read or write ends with them otherwise.
bool CannotBeTried(int64_t result) { return result == -EAGAIN || result == -EOPNOTSUPP || result == -ENOSYS; }

Attempt TryRead(const io_uring_sqe& sqe, int32_t done, FdMemo& memo) {
  for (;;) {
    Transfer rest = RestOf(sqe, done);
    if (MayBeDirect(sqe, rest, memo)) return {Next::kFileThread, done};
    const int64_t n =
        AtOffsetOrNot(sqe.fd, rest, [&](const Transfer& r) { return preadv2(sqe.fd, &r.vector, 1, r.offset, RWF_NOWAIT); });
    if (CannotBeTried(n)) return WhereItCanWait(sqe.fd, n, done, Next::kWhenReadable, Next::kWhenReadableWait);
    if (n <= 0 || static_cast<size_t>(n) == rest.vector.iov_len) return Done(Total(done, n));
    done += static_cast<int32_t>(n);
    // What is not in memory ends a read early that may not wait, as the end of the file does.
    if (TypeOf(sqe.fd) != FileType::kContent) return Done(done);
  }
}

int32_t ReadAndWait(const io_uring_sqe& sqe, int32_t done) {
  for (;;) {
    Transfer rest = RestOf(sqe, done);
    int64_t n = OrErrno(rest.offset < 0 ? readv(sqe.fd, &rest.vector, 1) : preadv(sqe.fd, &rest.vector, 1, rest.offset));
    if (n == -ESPIPE && IgnoresOffset(sqe.fd, rest.offset)) n = OrErrno(readv(sqe.fd, &rest.vector, 1));
    if (n <= 0 || static_cast<size_t>(n) == rest.vector.iov_len) return Total(done, n);
    done += static_cast<int32_t>(n);
    if (TypeOf(sqe.fd) != FileType::kContent) return done;
  }
}

int32_t WriteAndWait(const io_uring_sqe& sqe, int32_t done) {
  const Transfer rest = RestOf(sqe, done);
  int64_t n = OrErrno(rest.offset < 0 ? writev(sqe.fd, &rest.vector, 1) : pwritev(sqe.fd, &rest.vector, 1, rest.offset));
  if (n == -ESPIPE && IgnoresOffset(sqe.fd, rest.offset)) n = OrErrno(writev(sqe.fd, &rest.vector, 1));
  return Total(done, n);
}

Attempt TryWrite(const io_uring_sqe& sqe, int32_t done, FdMemo& memo) {
  Transfer rest = RestOf(sqe, done);
  if (MayBeDirect(sqe, rest, memo)) return {Next::kFileThread, done};
  int64_t n;
  // Writing nothing ends before it reaches a socket, which may have something to say to it.
  if (HasNosignalWrites() && rest.vector.iov_len > 0) {
    n = AtOffsetOrNot(sqe.fd, rest,
                      [&](const Transfer& r) { return pwritev2(sqe.fd, &r.vector, 1, r.offset, RWF_NOWAIT | kRwfNosignal); });
  } else {
    // The calling thread may be one in which SIGPIPE kills.
    switch (TypeOf(sqe.fd)) {
      case FileType::kSocket:
        if (rest.offset > 0) return Done(-ESPIPE);
        do {
          n = OrErrno(send(sqe.fd, rest.vector.iov_base, rest.vector.iov_len, MSG_NOSIGNAL | MSG_DONTWAIT));
        } while (n == -EINTR);
        break;
      case FileType::kPipe:
      case FileType::kOther:
        if (rest.vector.iov_len == 0) return Done(WriteAndWait(sqe, done));
        return {Next::kWhenWritableWait, done};
      default:
        return {Next::kFileThread, done};
    }
  }
  if (CannotBeTried(n)) return WhereItCanWait(sqe.fd, n, done, Next::kWhenWritable, Next::kWhenWritableWait);
  return Done(Total(done, n));
}

int64_t OpenAt2(int directory_fd, const char* path, const open_how& how) {
  return OrErrno(syscall(SYS_openat2, directory_fd, path, &how, sizeof(how)));
}

// With what is in memory, and never waiting for a FIFO's other end: a file that is no plain one is given to a thread.
Attempt TryOpen(const io_uring_sqe& sqe, open_how how) {
  if ((how.resolve & RESOLVE_CACHED) != 0) return Done(OpenAt2(sqe.fd, PathOf(sqe.addr), how));
  const bool waits = (how.flags & (O_NONBLOCK | O_PATH)) == 0;
  const uint64_t settable = how.flags & (O_APPEND | O_DIRECT | O_NOATIME);
  how.resolve |= RESOLVE_CACHED;
  if (waits) how.flags |= O_NONBLOCK;
  const int64_t fd = OpenAt2(sqe.fd, PathOf(sqe.addr), how);
  // What the call makes of flags that open(2) would ignore is EINVAL.
  if (fd == -EAGAIN || fd == -EINVAL || fd == -ENOSYS || fd == -EPERM || fd == -ENXIO || fd == -EINTR) return {Next::kSlowThread};
  if (fd < 0 || !waits) return Done(fd);
  struct stat status;
  const bool plain = fstat(static_cast<int>(fd), &status) == 0 && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
  if (plain && fcntl(static_cast<int>(fd), F_SETFL, static_cast<int>(settable)) == 0) return Done(fd);
  close(static_cast<int>(fd));
  return {Next::kSlowThread};
}

// The last close of a file on a server sends what was written, and that of a socket that lingers waits for its peer.
bool CloseMayWait(int fd) {
  struct statfs system;
  if (fstatfs(fd, &system) != 0) return false;
  if (system.f_type == SOCKFS_MAGIC) {
    linger option = {};
    socklen_t size = sizeof(option);
    return getsockopt(fd, SOL_SOCKET, SO_LINGER, &option, &size) == 0 && option.l_onoff != 0 && option.l_linger > 0;
  }
  constexpr long kCifs = 0xff534d42, kSmb2 = 0xfe534d42, kFuse = 0x65735546, kCeph = 0x00c36400;
  for (const long remote : {long{NFS_SUPER_MAGIC}, long{SMB_SUPER_MAGIC}, long{AFS_SUPER_MAGIC}, long{CODA_SUPER_MAGIC},
                            long{V9FS_MAGIC}, long{OCFS2_SUPER_MAGIC}, kCifs, kSmb2, kFuse, kCeph}) {
    if (system.f_type == remote) return true;
  }
  return false;
}

// Elsewhere what came is one message, however short.
bool IsStream(int fd) {
  int type = 0;
  socklen_t size = sizeof(type);
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

bool WaitsForAll(uint32_t flags) { return (flags & MSG_WAITALL) != 0 && (flags & MSG_PEEK) == 0; }

// Until it would wait, or until all is moved where that was asked for.
template <typename Call>
Attempt TryInParts(const io_uring_sqe& sqe, int32_t done, Next when_ready, Call call) {
  for (;;) {
    const size_t size = sqe.len - static_cast<uint32_t>(done);
    const int64_t n = OrErrno(call(PointerOf<char>(sqe.addr) + done, size, static_cast<int>(sqe.msg_flags) | MSG_DONTWAIT));
    if (n == -EINTR) continue;
    if (n == -EAGAIN && (sqe.msg_flags & MSG_DONTWAIT) == 0) return {when_ready, done};
    if (n <= 0 || !WaitsForAll(sqe.msg_flags) || static_cast<size_t>(n) == size || !IsStream(sqe.fd)) return Done(Total(done, n));
    done += static_cast<int32_t>(n);
  }
}

Attempt TrySend(const io_uring_sqe& sqe, int32_t done) {
  return TryInParts(sqe, done, Next::kWhenWritable,
                    [&](const char* data, size_t size, int flags) { return send(sqe.fd, data, size, flags); });
}

Attempt TryReceive(const io_uring_sqe& sqe, int32_t done) {
  return TryInParts(sqe, done, Next::kWhenReadable,
                    [&](char* memory, size_t size, int flags) { return recv(sqe.fd, memory, size, flags); });
}

// The message less the bytes that are done: of one with a single part, as only such are ever continued.
msghdr RestOfMessage(const msghdr& message, int32_t done, iovec& part) {
  msghdr rest = message;
  if (done == 0 || message.msg_iovlen != 1) return rest;
  part = {static_cast<char*>(message.msg_iov->iov_base) + done, message.msg_iov->iov_len - static_cast<size_t>(done)};
  rest.msg_iov = &part;
  return rest;
}

Attempt TryMessage(const io_uring_sqe& sqe, int32_t done) {
  auto* message = PointerOf<msghdr>(sqe.addr);
  const int flags = static_cast<int>(sqe.msg_flags) | MSG_DONTWAIT;
  const bool sends = sqe.opcode == IORING_OP_SENDMSG;
  for (;;) {
    iovec part;
    msghdr rest = RestOfMessage(*message, done, part);
    const int64_t n = OrErrno(sends ? sendmsg(sqe.fd, &rest, flags) : recvmsg(sqe.fd, &rest, flags));
    if (n == -EINTR) continue;
    if (n == -EAGAIN && (sqe.msg_flags & MSG_DONTWAIT) == 0) return {sends ? Next::kWhenWritable : Next::kWhenReadable, done};
    if (!sends && n >= 0) {
      message->msg_namelen = rest.msg_namelen;
      message->msg_controllen = rest.msg_controllen;
      message->msg_flags = rest.msg_flags;
    }
    const bool goes_on = n > 0 && WaitsForAll(sqe.msg_flags) && message->msg_iovlen == 1 && IsStream(sqe.fd);
    if (!goes_on || static_cast<size_t>(n) == rest.msg_iov->iov_len) return Done(Total(done, n));
    done += static_cast<int32_t>(n);
  }
}

int64_t Accept(const io_uring_sqe& sqe) {
  return OrErrno(
      accept4(sqe.fd, PointerOf<sockaddr>(sqe.addr), PointerOf<socklen_t>(sqe.addr2), static_cast<int>(sqe.accept_flags)));
}

// To make a blocking socket non-blocking for the time of the call would show in every process that shares it: so whoever finds
// that a connection has come accepts it in a thread that may wait, should another be quicker.
Attempt TryAccept(const io_uring_sqe& sqe) {
  int listens = 0;
  socklen_t size = sizeof(listens);
  const bool waits = getsockopt(sqe.fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0 &&
                     (fcntl(sqe.fd, F_GETFL) & O_NONBLOCK) == 0;
  if (waits) return {Next::kWhenReadableWait};
  const int64_t fd = Accept(sqe);
  return fd == -EAGAIN ? Attempt{Next::kWhenReadable} : Done(fd);
}

// A socket that connects has no other users yet who would mind that it does not block for a moment. The call is made again when
// it is writable: it then answers how the connection ended, as a blocking one does.
Attempt TryConnect(const io_uring_sqe& sqe) {
  const int flags = fcntl(sqe.fd, F_GETFL);
  if (flags < 0) return DoneOrErrno(-1);
  const bool waits = (flags & O_NONBLOCK) == 0;
  if (waits) fcntl(sqe.fd, F_SETFL, flags | O_NONBLOCK);
  const int64_t result = OrErrno(connect(sqe.fd, PointerOf<const sockaddr>(sqe.addr), static_cast<socklen_t>(sqe.off)));
  if (waits) fcntl(sqe.fd, F_SETFL, flags);
  return result == -EINPROGRESS || result == -EALREADY ? Attempt{Next::kWhenWritable} : Done(result);
}

int64_t Splice(const io_uring_sqe& sqe) {
  // io_uring asks this first, splice(2) whether the offsets fit.
  const int flags = fcntl(sqe.splice_fd_in, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY) return -EBADF;
  auto from = static_cast<off64_t>(sqe.splice_off_in);
  auto to = static_cast<off64_t>(sqe.off);
  return OrErrno(splice(sqe.splice_fd_in, from < 0 ? nullptr : &from, sqe.fd, to < 0 ? nullptr : &to, sqe.len, sqe.splice_flags));
}

open_how HowOf(const io_uring_sqe& sqe) {
  if (sqe.opcode == IORING_OP_OPENAT2) return *PointerOf<const open_how>(sqe.addr2);
  open_how how = {};
  how.flags = sqe.open_flags;
  // As open(2), which does not look at it otherwise.
  if ((how.flags & (O_CREAT | O_TMPFILE)) != 0) how.mode = sqe.len;
  return how;
}

}  // namespace

bool HasDirectCall(unsigned opcode) {
  switch (opcode) {
    case IORING_OP_NOP:
    case IORING_OP_READ:
    case IORING_OP_WRITE:
    case IORING_OP_OPENAT:
    case IORING_OP_OPENAT2:
    case IORING_OP_CLOSE:
    case IORING_OP_FSYNC:
    case IORING_OP_SEND:
    case IORING_OP_RECV:
    case IORING_OP_SENDMSG:
    case IORING_OP_RECVMSG:
    case IORING_OP_ACCEPT:
    case IORING_OP_CONNECT:
    case IORING_OP_STATX:
    case IORING_OP_RENAMEAT:
    case IORING_OP_UNLINKAT:
    case IORING_OP_MKDIRAT:
    case IORING_OP_FALLOCATE:
    case IORING_OP_SPLICE:
    case IORING_OP_SOCKET:
    case IORING_OP_SHUTDOWN:
    case kOpFtruncate:
      return true;
    default:
      return false;
  }
}

FdsOfCall FdsOf(const io_uring_sqe& sqe) {
  switch (sqe.opcode) {
    case IORING_OP_NOP:
    case IORING_OP_SOCKET:
    case IORING_OP_TIMEOUT:
    case IORING_OP_ASYNC_CANCEL:
      return {};
    case IORING_OP_SPLICE:
      return {sqe.fd, sqe.splice_fd_in};
    default:
      return {sqe.fd, -1};
  }
}

Attempt Try(const io_uring_sqe& sqe, int32_t done, FdMemo& memo) {
  switch (sqe.opcode) {
    case IORING_OP_NOP:
      return Done(0);
    case IORING_OP_READ:
      return TryRead(sqe, done, memo);
    case IORING_OP_WRITE:
      return TryWrite(sqe, done, memo);
    case IORING_OP_OPENAT:
    case IORING_OP_OPENAT2:
      return TryOpen(sqe, HowOf(sqe));
    case IORING_OP_CLOSE:
      return CloseMayWait(sqe.fd) ? Attempt{Next::kSlowThread} : DoneOrErrno(close(sqe.fd));
    case IORING_OP_SEND:
      return TrySend(sqe, done);
    case IORING_OP_RECV:
      return TryReceive(sqe, done);
    case IORING_OP_SENDMSG:
    case IORING_OP_RECVMSG:
      return TryMessage(sqe, done);
    case IORING_OP_ACCEPT:
      return TryAccept(sqe);
    case IORING_OP_CONNECT:
      return TryConnect(sqe);
    case IORING_OP_SOCKET:
      return DoneOrErrno(socket(sqe.fd, static_cast<int>(sqe.off), static_cast<int>(sqe.len)));
    case IORING_OP_SHUTDOWN:
      return DoneOrErrno(shutdown(sqe.fd, static_cast<int>(sqe.len)));
    case IORING_OP_STATX:
    case IORING_OP_RENAMEAT:
    case IORING_OP_UNLINKAT:
    case IORING_OP_MKDIRAT:
      return {Next::kFileThread};
    case IORING_OP_FSYNC:
    case IORING_OP_FALLOCATE:
    case IORING_OP_SPLICE:
    case kOpFtruncate:
      return {Next::kSlowThread};
    default:
      return Done(-EINVAL);
  }
}

int32_t CallAndWait(const io_uring_sqe& sqe, int32_t done) {
  switch (sqe.opcode) {
    case IORING_OP_READ:
      return ReadAndWait(sqe, done);
    case IORING_OP_WRITE:
      return WriteAndWait(sqe, done);
    case IORING_OP_OPENAT:
      return static_cast<int32_t>(
          OrErrno(openat(sqe.fd, PathOf(sqe.addr), static_cast<int>(sqe.open_flags), static_cast<mode_t>(sqe.len))));
    case IORING_OP_OPENAT2:
      return static_cast<int32_t>(OpenAt2(sqe.fd, PathOf(sqe.addr), HowOf(sqe)));
    case IORING_OP_CLOSE:
      return static_cast<int32_t>(OrErrno(close(sqe.fd)));
    case IORING_OP_FSYNC: {
      const bool data_only = (sqe.fsync_flags & IORING_FSYNC_DATASYNC) != 0;
      return static_cast<int32_t>(OrErrno(data_only ? fdatasync(sqe.fd) : fsync(sqe.fd)));
    }
    case IORING_OP_FALLOCATE:
      return static_cast<int32_t>(
          OrErrno(fallocate(sqe.fd, static_cast<int>(sqe.len), static_cast<off_t>(sqe.off), static_cast<off_t>(sqe.addr))));
    case kOpFtruncate:
      return static_cast<int32_t>(OrErrno(ftruncate(sqe.fd, static_cast<off_t>(sqe.off))));
    case IORING_OP_STATX:
      return static_cast<int32_t>(
          OrErrno(statx(sqe.fd, PathOf(sqe.addr), static_cast<int>(sqe.statx_flags), sqe.len, PointerOf<struct statx>(sqe.off))));
    case IORING_OP_RENAMEAT:
      return static_cast<int32_t>(
          OrErrno(renameat2(sqe.fd, PathOf(sqe.addr), static_cast<int>(sqe.len), PathOf(sqe.addr2), sqe.rename_flags)));
    case IORING_OP_UNLINKAT:
      return static_cast<int32_t>(OrErrno(unlinkat(sqe.fd, PathOf(sqe.addr), static_cast<int>(sqe.unlink_flags))));
    case IORING_OP_MKDIRAT:
      return static_cast<int32_t>(OrErrno(mkdirat(sqe.fd, PathOf(sqe.addr), static_cast<mode_t>(sqe.len))));
    case IORING_OP_SPLICE:
      return static_cast<int32_t>(Splice(sqe));
    case IORING_OP_ACCEPT:
      return static_cast<int32_t>(Accept(sqe));
    default: {
      // The rest is never sent here, but where no other thread is to be had it must not be lost.
      const Attempt attempt = Try(sqe, done);
      return attempt.next == Next::kDone ? attempt.value : -EAGAIN;
    }
  }
}

}  // namespace agentos
