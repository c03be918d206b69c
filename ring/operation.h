// What an entry asks for: one struct per operation with the operands of its system call, held in a std::variant.
//
// The structs are plain values. Their operands are checked when the entry is submitted (entry_validation.h), not when it is made.
//
// Thread rule: values; free to use from any thread, one thread at a time per object.

#ifndef AGENTOS_RING_OPERATION_H_
#define AGENTOS_RING_OPERATION_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <variant>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agentos/ring/bytes.h"
#include "agentos/ring/result_buffer_pool.h"
#include "agentos/ring/types.h"

namespace agentos {

namespace operation {

// No operation: an entry that was default-constructed or moved from. Never accepted.
struct None {};

// Completes with 0. Measures what an entry costs by itself.
struct Nop {};

// Open, ReadFile and WriteFile can be confined. `beneath_fd` is then the descriptor of a directory (O_PATH will do) that `path`
// is relative to and cannot leave: not by "..", not by symbolic links, which may lead anywhere within it, nor by /proc's magic
// links, nor because somebody renames directories meanwhile. A path that would leave is EXDEV, a magic link ELOOP. A path that is
// absolute is refused by Submit. It takes openat2(2): where the kernel lacks it, or a seccomp profile forbids it, the operation
// is ENOSYS and never tried in a weaker way. The descriptor must stay open until the entry has completed. A file that was found
// beneath stays open when somebody moves its directory out afterwards.

// The whole content of the file at `path`; value() = bytes.
struct ReadFile {
  std::string path;
  std::optional<int> beneath_fd = {};
};

// How careful a WriteFile is.
struct WriteFileOptions {
  // Whoever opens the file finds all of the old content or all of the new, also after a crash, and after an error the old content
  // stands. The new content is written to a file beside it, ".agentos-<32 hex digits>.tmp", flushed to the disk, and renamed over
  // the old one, so other hard links and whoever has the old file open keep the old content. A symbolic link stays: what it leads
  // to is replaced. The new file belongs to the caller and has the permission bits (0777) of the old one. What the caller may not
  // write is not replaced either (EACCES); what is no regular file is EISDIR or EINVAL. Only a crash leaves the file beside it
  // behind.
  bool atomic = false;
  // The data, and the name of the file in its directory, are on the disk when the entry completes; the caller must be allowed to
  // read that directory. What cannot be flushed (a device, a FIFO) is EINVAL, after it was written. With `atomic` an error of the
  // very last step, the flushing of the directory, says that the new content stands but may not outlive a crash.
  bool durable = false;
};

// Makes or truncates the file at `path` (mode 0644 and the umask) and writes all of `data`; value() = bytes.
struct WriteFile {
  using Options = WriteFileOptions;

  std::string path;
  Bytes data;
  Options options = {};
  std::optional<int> beneath_fd = {};
};

// open(2), close-on-exec added; value() = fd. One that waits for somebody (a FIFO's other end) waits without holding up others.
struct Open {
  std::string path;
  int flags = 0;
  mode_t mode = 0;
  std::optional<int> beneath_fd = {};
};

// close(2).
struct Close {
  int fd = -1;
};

// pread(2), or read(2) with kCurrentPosition; value() = bytes. What has no positions, as a pipe, ignores the
// offset; a socket takes none but 0 (ESPIPE).
struct Read {
  int fd = -1;
  size_t size = 0;
  int64_t offset = kCurrentPosition;
};

// pwrite(2), or write(2) with kCurrentPosition, until everything is written; value() = bytes. Offsets as with Read.
struct Write {
  int fd = -1;
  Bytes data;
  int64_t offset = kCurrentPosition;
};

// fsync(2).
struct Fsync {
  int fd = -1;
};

// lseek(2); value() = the new offset. The one operation that io_uring has no opcode for: it runs inline when it is started.
struct Lseek {
  int fd = -1;
  int64_t offset = 0;
  int whence = 0;
};

// send(2) until everything is sent; value() = bytes. Of several under way on one stream the parts may mix: link them.
struct Send {
  int fd = -1;
  Bytes data;
  int flags = 0;
};

// recv(2); value() = bytes, 0 at the end of the stream. Of several under way on one socket the last may be served first: link
// them, or use Read, whose order on one file is kept.
struct Recv {
  int fd = -1;
  size_t size = 0;
  int flags = 0;
};

// accept4(2), close-on-exec; value() = fd, peer_address() = the other side.
struct Accept {
  int fd = -1;
};

// connect(2) to a numeric address (socket_address.h).
struct Connect {
  int fd = -1;
  std::string address;
};

// sendto(2); value() = bytes.
struct SendTo {
  int fd = -1;
  Bytes data;
  std::string address;
  int flags = 0;
};

// recvfrom(2); value() = bytes, peer_address() = the sender.
struct RecvFrom {
  int fd = -1;
  size_t size = 0;
  int flags = 0;
};

// Puts one message into the mailbox of another process of this manager; value() = bytes.
struct IpcSend {
  Pid target = 0;
  Bytes data;
};

// Takes the oldest message out of this process's mailbox; value() = bytes, peer_address() = "pid:N" of the sender.
struct IpcRecv {
  size_t size = 0;
};

// statx(2) of a path; data() = the bytes of a struct statx of <sys/stat.h>:
//   struct statx status;
//   std::memcpy(&status, done.result.data().data(), sizeof(status));
// `flags`: AT_SYMLINK_NOFOLLOW, AT_NO_AUTOMOUNT, AT_STATX_FORCE_SYNC or AT_STATX_DONT_SYNC; `mask`: the STATX_ bits of the fields
// wanted.
struct Statx {
  std::string path;
  int flags = 0;
  uint32_t mask = 0;
};

// renameat2(2) of two paths; `flags`: RENAME_NOREPLACE or RENAME_EXCHANGE.
struct Rename {
  std::string from;
  std::string to;
  uint32_t flags = 0;
};

// unlinkat(2) of a path; `flags`: AT_REMOVEDIR for a directory.
struct Unlink {
  std::string path;
  int flags = 0;
};

// mkdir(2): the umask applies to `mode`.
struct Mkdir {
  std::string path;
  mode_t mode = 0;
};

// fallocate(2); `mode`: the FALLOC_FL_ bits, 0 to allocate.
struct Fallocate {
  int fd = -1;
  int mode = 0;
  int64_t offset = 0;
  int64_t size = 0;
};

// ftruncate(2).
struct Ftruncate {
  int fd = -1;
  int64_t size = 0;
};

// splice(2), of which one end is a pipe; value() = bytes, which may be fewer than asked, 0 at the end. An offset is
// kCurrentPosition for a stream; of a file that means its own position, out of any order with its reads and writes. With
// SPLICE_F_NONBLOCK it is EAGAIN where it would wait for a pipe.
struct Splice {
  int from_fd = -1;
  int64_t from_offset = kCurrentPosition;
  int to_fd = -1;
  int64_t to_offset = kCurrentPosition;
  size_t size = 0;
  uint32_t flags = 0;
};

// copy_file_range(2) from one regular file to another, by a thread of the library's; value() = bytes, which may be fewer than asked, 0
// at the end. The kernel copies by itself, by reference where the file system can share blocks. EXDEV says that it cannot between
// these two file systems. An offset is kCurrentPosition for the file's own position, out of any order with its reads and writes.
struct CopyFileRange {
  int from_fd = -1;
  int64_t from_offset = kCurrentPosition;
  int to_fd = -1;
  int64_t to_offset = kCurrentPosition;
  size_t size = 0;
};

// socket(2), close-on-exec added; value() = fd.
struct Socket {
  int domain = 0;
  int type = 0;
  int protocol = 0;
};

// shutdown(2).
struct Shutdown {
  int fd = -1;
  int how = 0;
};

// poll(2) of one fd, once; value() = the events that came: of those asked for (POLLIN, POLLOUT, POLLPRI, POLLRDHUP) and POLLERR,
// POLLHUP, POLLNVAL. A peer that has shut down its side ends the wait with POLLRDHUP alone, asked for or not, where no other
// event does.
struct Poll {
  int fd = -1;
  uint32_t events = 0;
};

// Completes with 0 when so much time has passed since it was started.
struct Sleep {
  absl::Duration duration;
};

// Read, into a buffer of the caller's, mostly a registered one (registered_buffer_pool.h); the result owns it.
struct ReadInto {
  int fd = -1;
  PooledBuffer buffer;
  size_t size = 0;
  int64_t offset = kCurrentPosition;
};

// Recv, into a buffer of the caller's.
struct RecvInto {
  int fd = -1;
  PooledBuffer buffer;
  size_t size = 0;
  int flags = 0;
};

// Accept, again and again: a multishot entry, which completes once for each connection with SyscallCompletionEntry::more set, and
// once without when it ends, as cancelled or with an error. Of its completions value() = fd; there is no peer_address(), ask
// getpeername(2). Out of descriptors or memory it says so in a completion with `more`, and goes on a little later; what has come
// to the socket meanwhile waits there. While its ring's completion queue is full it pauses, whatever the overflow policy.
struct AcceptMany {
  int fd = -1;
};

// Recv, again and again: a multishot entry as AcceptMany is. Each completion with `more` has what came, at most kRecvManyBytes of
// a stream or one datagram, which is cut there; value() = bytes. The end of the stream is a completion with 0 bytes and without
// `more`. Where the kernel can it chooses the memory when something comes, so that an entry which waits costs none. `flags`: 0.
inline constexpr size_t kRecvManyBytes = 4096;
struct RecvMany {
  int fd = -1;
  int flags = 0;
};

}  // namespace operation

using Operation = std::variant<operation::None, operation::Nop, operation::ReadFile, operation::WriteFile, operation::Open,
                               operation::Close, operation::Read, operation::Write, operation::Fsync, operation::Lseek,
                               operation::Send, operation::Recv, operation::Accept, operation::Connect, operation::SendTo,
                               operation::RecvFrom, operation::IpcSend, operation::IpcRecv, operation::Statx, operation::Rename,
                               operation::Unlink, operation::Mkdir, operation::Fallocate, operation::Ftruncate, operation::Splice,
                               operation::Socket, operation::Shutdown, operation::Poll, operation::Sleep, operation::ReadInto,
                               operation::RecvInto, operation::AcceptMany, operation::RecvMany, operation::CopyFileRange>;

// An entry is as large as the largest of them.
static_assert(sizeof(Operation) <= sizeof(operation::SendTo) + alignof(operation::SendTo));

// The alternatives of Operation by name and in its order, for tables and switches.
enum class OperationKind : uint8_t {
  kNone,
  kNop,
  kReadFile,
  kWriteFile,
  kOpen,
  kClose,
  kRead,
  kWrite,
  kFsync,
  kLseek,
  kSend,
  kRecv,
  kAccept,
  kConnect,
  kSendTo,
  kRecvFrom,
  kIpcSend,
  kIpcRecv,
  kStatx,
  kRename,
  kUnlink,
  kMkdir,
  kFallocate,
  kFtruncate,
  kSplice,
  kSocket,
  kShutdown,
  kPoll,
  kSleep,
  kReadInto,
  kRecvInto,
  kAcceptMany,
  kRecvMany,
  kCopyFileRange,
};
inline constexpr size_t kOperationKinds = std::variant_size_v<Operation>;
static_assert(kOperationKinds == static_cast<size_t>(OperationKind::kCopyFileRange) + 1);

inline OperationKind KindOf(const Operation& operation) { return static_cast<OperationKind>(operation.index()); }

// A set of operations that can be looked up in one step.
class OperationKinds {
 public:
  constexpr OperationKinds(std::initializer_list<OperationKind> kinds) {
    for (const OperationKind kind : kinds) bits_ |= uint64_t{1} << static_cast<unsigned>(kind);
  }
  constexpr bool Has(OperationKind kind) const { return (bits_ >> static_cast<unsigned>(kind) & 1) != 0; }

 private:
  static_assert(kOperationKinds <= 64);
  uint64_t bits_ = 0;
};

// "ReadFile", "Send", ...: the name as the factory of SyscallSubmissionEntry spells it.
absl::string_view OperationName(OperationKind kind);
absl::string_view OperationName(const Operation& operation);

// Whether its time goes to a device, a file system or a peer rather than to the processor.
bool IsIoBound(const Operation& operation);

// Whether many of them gain by sharing one kernel entry: all that the kernel executes.
bool IsBatchable(const Operation& operation);

// Whether the value of a success is a new descriptor, which somebody has to own.
bool MakesFd(OperationKind kind);

// The fd it works on, -1 where it has none; of a Splice or CopyFileRange the one it takes from.
int FdOf(const Operation& operation);

// The bytes it is going to move, as far as that is known beforehand; kReadFileBytes for a ReadFile, 0 for what moves none.
inline constexpr size_t kReadFileBytes = 65536;
size_t BytesOf(const Operation& operation);

// Whether it works on this fd, as a Splice and a CopyFileRange do on two, and what is confined on its directory.
bool WorksOn(const Operation& operation, int fd);

}  // namespace agentos

#endif  // AGENTOS_RING_OPERATION_H_
