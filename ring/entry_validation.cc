#include "agentos/ring/entry_validation.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agentos/ring/socket_address.h"

// A refusal is built out of line, so that what stands in the way of a good entry is a few compares and no string.
#define AGENTOS_COLD [[gnu::cold, gnu::noinline]]

namespace agentos {

namespace {

constexpr size_t kMaxFileDataSize = size_t{1} << 40;
constexpr int64_t kMaxOffset = std::numeric_limits<int64_t>::max();

// Flags by value, so that those the kernel has and this library does not handle are refused and not passed on.
constexpr int kOpenFlags = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC |
                           O_ASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH |
                           O_TMPFILE;
constexpr int kSendFlags = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_OOB | MSG_DONTROUTE | MSG_EOR | MSG_MORE | MSG_CONFIRM;
constexpr int kRecvFlags = MSG_WAITALL | MSG_PEEK | MSG_DONTWAIT | MSG_OOB;
constexpr mode_t kModeBits = 07777;
constexpr int kStatxFlags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE;
constexpr int kRenameFlags = RENAME_NOREPLACE | RENAME_EXCHANGE;
constexpr int kUnlinkFlags = AT_REMOVEDIR;
constexpr int kFallocateModes = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_ZERO_RANGE |
                                FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE;
constexpr int kSpliceFlags = SPLICE_F_MOVE | SPLICE_F_MORE | SPLICE_F_NONBLOCK;
// Linux keeps the kind of a socket in the lowest four bits.
constexpr int kSocketKinds = 0xf;
constexpr int kSocketTypes = kSocketKinds | SOCK_NONBLOCK | SOCK_CLOEXEC;
constexpr int kPollEvents = POLLIN | POLLOUT | POLLPRI | POLLRDHUP;

constexpr absl::string_view kOpenFlagNames = "the flags of open(2)";
constexpr absl::string_view kSendFlagNames =
    "MSG_DONTWAIT, MSG_NOSIGNAL, MSG_OOB, MSG_DONTROUTE, MSG_EOR, MSG_MORE and MSG_CONFIRM";
constexpr absl::string_view kRecvFlagNames = "MSG_WAITALL, MSG_PEEK, MSG_DONTWAIT and MSG_OOB";
constexpr absl::string_view kStatxFlagNames =
    "AT_SYMLINK_NOFOLLOW, AT_NO_AUTOMOUNT and either AT_STATX_FORCE_SYNC or AT_STATX_DONT_SYNC";
constexpr absl::string_view kRenameFlagNames = "either RENAME_NOREPLACE or RENAME_EXCHANGE";
constexpr absl::string_view kUnlinkFlagNames = "AT_REMOVEDIR";
constexpr absl::string_view kFallocateModeNames =
    "FALLOC_FL_KEEP_SIZE, _PUNCH_HOLE, _COLLAPSE_RANGE, _ZERO_RANGE, _INSERT_RANGE and _UNSHARE_RANGE";
constexpr absl::string_view kSpliceFlagNames = "SPLICE_F_MOVE, SPLICE_F_MORE and SPLICE_F_NONBLOCK";
constexpr absl::string_view kSocketTypeNames = "a kind such as SOCK_STREAM, SOCK_NONBLOCK and SOCK_CLOEXEC";
constexpr absl::string_view kPollEventNames = "POLLIN, POLLOUT, POLLPRI and POLLRDHUP";

std::string Hex(int bits) { return absl::StrCat("0x", absl::Hex(static_cast<uint32_t>(bits))); }

AGENTOS_COLD absl::Status Refuse(OperationKind kind, absl::string_view field, const absl::AlphaNum& is,
                                 const absl::AlphaNum& allowed) {
  return absl::InvalidArgumentError(absl::StrCat(OperationName(kind), ".", field, " is ", is, ": it must be ", allowed));
}

AGENTOS_COLD absl::Status RefuseModifier(const SyscallSubmissionEntry& entry) {
  const absl::string_view name = OperationName(entry.kind());
  if (entry.priority() > Priority::kUrgent) {
    return absl::InvalidArgumentError(absl::StrCat(name, ".WithPriority: the priority must be kBackground, kNormal or kUrgent"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name, ".WithTimeout: the timeout must be a nanosecond or longer, or absl::InfiniteDuration() for none"));
}

absl::Status RefuseEntry(Pid pid, const SyscallSubmissionEntry& entry) {
  if (!entry.has_operation()) {
    return absl::InvalidArgumentError(
        "the entry asks for no operation: it was default-constructed or moved from (an accepted entry is moved from, too)");
  }
  return Refuse(entry.kind(), "pid", entry.pid(), absl::StrCat(pid, ", the process that the call names"));
}

AGENTOS_COLD absl::Status RefuseFd(OperationKind kind, int fd, absl::string_view field = "fd") {
  return Refuse(kind, field, fd, "a file descriptor, from 0 upward");
}

AGENTOS_COLD absl::Status RefusePath(OperationKind kind, const std::string& path, absl::string_view field = "path") {
  if (path.empty()) return Refuse(kind, field, "empty", "the name of a file");
  if (path.size() >= PATH_MAX) {
    return Refuse(kind, field, absl::StrCat(path.size(), " bytes long"), absl::StrCat("at most ", PATH_MAX - 1));
  }
  constexpr size_t kMostQuoted = 64;
  const size_t nul = path.find('\0');
  return Refuse(kind, field,
                absl::StrCat("\"", absl::CHexEscape(path.substr(0, std::min(nul, kMostQuoted))), nul > kMostQuoted ? "..." : "",
                             "\" and a NUL byte at position ", nul),
                "free of NUL bytes");
}

AGENTOS_COLD absl::Status RefuseBeneath(OperationKind kind, int directory_fd, const std::string& path) {
  if (directory_fd < 0) return Refuse(kind, "beneath_fd", directory_fd, "the descriptor of a directory, from 0 upward");
  constexpr size_t kMostQuoted = 64;
  return Refuse(kind, "path", absl::StrCat("\"", absl::CHexEscape(path.substr(0, kMostQuoted)), "\", absolute"),
                "relative to the directory that it has to stay beneath, without the leading '/'");
}

AGENTOS_COLD absl::Status RefuseSize(OperationKind kind, size_t size) {
  return Refuse(kind, "size", size, absl::StrCat("from 1 to ", kMaxTransferSize));
}

AGENTOS_COLD absl::Status RefuseData(OperationKind kind, size_t size, size_t most) {
  return Refuse(kind, "data", absl::StrCat(size, " bytes long"), absl::StrCat("at most ", most));
}

AGENTOS_COLD absl::Status RefuseOffset(OperationKind kind, int64_t offset, size_t size, absl::string_view field = "offset") {
  if (offset < kCurrentPosition) return Refuse(kind, field, offset, "-1 (the file's own position) or from 0 upward");
  return Refuse(kind, field, offset,
                absl::StrCat("at most ", kMaxOffset - static_cast<int64_t>(size), ", so that offset + ", size,
                             " bytes stays within the largest file offset"));
}

AGENTOS_COLD absl::Status RefuseFlags(OperationKind kind, int flags, int known, absl::string_view names,
                                      absl::string_view field = "flags") {
  return Refuse(kind, field, absl::StrCat(Hex(flags), " with the unknown bits ", Hex(flags & ~known)),
                absl::StrCat("made of ", names));
}

AGENTOS_COLD absl::Status RefuseBothFlags(OperationKind kind, int flags, absl::string_view names) {
  return Refuse(kind, "flags", absl::StrCat(Hex(flags), ", which asks for two things at once"), absl::StrCat("made of ", names));
}

AGENTOS_COLD absl::Status RefuseMode(OperationKind kind, mode_t mode) {
  char octal[16];
  std::snprintf(octal, sizeof(octal), "0%o", mode);
  return Refuse(kind, "mode", octal, "made of permission bits, from 0 to 07777");
}

AGENTOS_COLD absl::Status RefuseAccessMode(int flags) {
  return Refuse(OperationKind::kOpen, "flags", absl::StrCat(Hex(flags), " with the access mode 3"),
                "one of O_RDONLY, O_WRONLY and O_RDWR");
}

AGENTOS_COLD absl::Status RefuseWhence(int whence) {
  return Refuse(OperationKind::kLseek, "whence", whence,
                "SEEK_SET (0), SEEK_CUR (1), SEEK_END (2), SEEK_DATA (3) or SEEK_HOLE (4)");
}

AGENTOS_COLD absl::Status RefuseAddress(OperationKind kind, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(OperationName(kind), ".", why));
}

bool IsFd(int fd) { return fd >= 0; }
bool IsTransfer(size_t size) { return size - 1 < kMaxTransferSize; }

// Precondition: size <= kMaxTransferSize.
bool IsOffset(int64_t offset, size_t size) {
  return offset >= kCurrentPosition && offset <= kMaxOffset - static_cast<int64_t>(size);
}

bool IsPath(const std::string& path) {
  return path.size() - 1 < PATH_MAX - 1 && std::memchr(path.data(), '\0', path.size()) == nullptr;
}

// Precondition: IsPath(path).
bool IsConfined(std::optional<int> beneath_fd, const std::string& path) {
  return !beneath_fd.has_value() || (*beneath_fd >= 0 && path[0] != '/');
}

absl::Status CheckFd(OperationKind kind, int fd) {
  if (!IsFd(fd)) [[unlikely]]
    return RefuseFd(kind, fd);
  return absl::OkStatus();
}

absl::Status CheckSend(OperationKind kind, int fd, size_t size, int flags) {
  if (!IsFd(fd)) [[unlikely]]
    return RefuseFd(kind, fd);
  if (size > kMaxTransferSize) [[unlikely]]
    return RefuseData(kind, size, kMaxTransferSize);
  if ((flags & ~kSendFlags) != 0) [[unlikely]]
    return RefuseFlags(kind, flags, kSendFlags, kSendFlagNames);
  return absl::OkStatus();
}

absl::Status CheckRecv(OperationKind kind, int fd, size_t size, int flags) {
  if (!IsFd(fd)) [[unlikely]]
    return RefuseFd(kind, fd);
  if (!IsTransfer(size)) [[unlikely]]
    return RefuseSize(kind, size);
  if ((flags & ~kRecvFlags) != 0) [[unlikely]]
    return RefuseFlags(kind, flags, kRecvFlags, kRecvFlagNames);
  return absl::OkStatus();
}

absl::Status CheckAddress(OperationKind kind, const std::string& text) {
  const absl::StatusOr<SocketAddress> address = ParseSocketAddress(text);
  if (!address.ok()) [[unlikely]]
    return RefuseAddress(kind, address.status().message());
  return absl::OkStatus();
}

absl::Status Check(const operation::Nop&) { return absl::OkStatus(); }

absl::Status Check(const operation::ReadFile& op) {
  if (!IsPath(op.path)) [[unlikely]]
    return RefusePath(OperationKind::kReadFile, op.path);
  if (!IsConfined(op.beneath_fd, op.path)) [[unlikely]]
    return RefuseBeneath(OperationKind::kReadFile, *op.beneath_fd, op.path);
  return absl::OkStatus();
}

absl::Status Check(const operation::WriteFile& op) {
  if (!IsPath(op.path)) [[unlikely]]
    return RefusePath(OperationKind::kWriteFile, op.path);
  if (!IsConfined(op.beneath_fd, op.path)) [[unlikely]]
    return RefuseBeneath(OperationKind::kWriteFile, *op.beneath_fd, op.path);
  if (op.data.size() > kMaxFileDataSize) [[unlikely]] {
    return RefuseData(OperationKind::kWriteFile, op.data.size(), kMaxFileDataSize);
  }
  return absl::OkStatus();
}

absl::Status Check(const operation::Open& op) {
  if (!IsPath(op.path)) [[unlikely]]
    return RefusePath(OperationKind::kOpen, op.path);
  if (!IsConfined(op.beneath_fd, op.path)) [[unlikely]]
    return RefuseBeneath(OperationKind::kOpen, *op.beneath_fd, op.path);
  if ((op.flags & ~kOpenFlags) != 0) [[unlikely]] {
    return RefuseFlags(OperationKind::kOpen, op.flags, kOpenFlags, kOpenFlagNames);
  }
  if ((op.flags & O_ACCMODE) == O_ACCMODE) [[unlikely]]
    return RefuseAccessMode(op.flags);
  if ((op.mode & ~kModeBits) != 0) [[unlikely]]
    return RefuseMode(OperationKind::kOpen, op.mode);
  return absl::OkStatus();
}

absl::Status Check(const operation::Close& op) { return CheckFd(OperationKind::kClose, op.fd); }

absl::Status Check(const operation::Read& op) {
  if (!IsFd(op.fd)) [[unlikely]]
    return RefuseFd(OperationKind::kRead, op.fd);
  if (!IsTransfer(op.size)) [[unlikely]]
    return RefuseSize(OperationKind::kRead, op.size);
  if (!IsOffset(op.offset, op.size)) [[unlikely]]
    return RefuseOffset(OperationKind::kRead, op.offset, op.size);
  return absl::OkStatus();
}

absl::Status CheckBuffer(OperationKind kind, const PooledBuffer& buffer, size_t size) {
  if (!buffer) [[unlikely]]
    return Refuse(kind, "buffer", "empty", "a buffer that was lent and not moved from");
  if (size > buffer.capacity()) [[unlikely]]
    return Refuse(kind, "size", size, absl::StrCat("at most ", buffer.capacity(), ", what the buffer holds"));
  return absl::OkStatus();
}

absl::Status Check(const operation::ReadInto& op) {
  if (!IsFd(op.fd)) [[unlikely]]
    return RefuseFd(OperationKind::kReadInto, op.fd);
  if (!IsTransfer(op.size)) [[unlikely]]
    return RefuseSize(OperationKind::kReadInto, op.size);
  if (!IsOffset(op.offset, op.size)) [[unlikely]]
    return RefuseOffset(OperationKind::kReadInto, op.offset, op.size);
  return CheckBuffer(OperationKind::kReadInto, op.buffer, op.size);
}

absl::Status Check(const operation::Write& op) {
  const size_t size = op.data.size();
  if (!IsFd(op.fd)) [[unlikely]]
    return RefuseFd(OperationKind::kWrite, op.fd);
  if (size > kMaxTransferSize) [[unlikely]]
    return RefuseData(OperationKind::kWrite, size, kMaxTransferSize);
  if (!IsOffset(op.offset, size)) [[unlikely]]
    return RefuseOffset(OperationKind::kWrite, op.offset, size);
  return absl::OkStatus();
}

absl::Status Check(const operation::Fsync& op) { return CheckFd(OperationKind::kFsync, op.fd); }

absl::Status Check(const operation::Lseek& op) {
  if (!IsFd(op.fd)) [[unlikely]]
    return RefuseFd(OperationKind::kLseek, op.fd);
  switch (op.whence) {
    case SEEK_SET:
    case SEEK_CUR:
    case SEEK_END:
    case SEEK_DATA:
    case SEEK_HOLE:
      return absl::OkStatus();
  }
  return RefuseWhence(op.whence);
}

absl::Status Check(const operation::Send& op) { return CheckSend(OperationKind::kSend, op.fd, op.data.size(), op.flags); }

absl::Status Check(const operation::Recv& op) { return CheckRecv(OperationKind::kRecv, op.fd, op.size, op.flags); }

absl::Status Check(const operation::RecvInto& op) {
  absl::Status status = CheckRecv(OperationKind::kRecvInto, op.fd, op.size, op.flags);
  return status.ok() ? CheckBuffer(OperationKind::kRecvInto, op.buffer, op.size) : status;
}

absl::Status Check(const operation::Accept& op) { return CheckFd(OperationKind::kAccept, op.fd); }

absl::Status Check(const operation::AcceptMany& op) { return CheckFd(OperationKind::kAcceptMany, op.fd); }

absl::Status Check(const operation::RecvMany& op) {
  if (op.flags != 0) [[unlikely]]
    return Refuse(OperationKind::kRecvMany, "flags", Hex(op.flags), "0: no flag of recv(2) makes sense for many receives");
  return CheckFd(OperationKind::kRecvMany, op.fd);
}

absl::Status Check(const operation::Connect& op) {
  if (!IsFd(op.fd)) [[unlikely]]
    return RefuseFd(OperationKind::kConnect, op.fd);
  return CheckAddress(OperationKind::kConnect, op.address);
}

absl::Status Check(const operation::SendTo& op) {
  absl::Status status = CheckSend(OperationKind::kSendTo, op.fd, op.data.size(), op.flags);
  return status.ok() ? CheckAddress(OperationKind::kSendTo, op.address) : status;
}

absl::Status Check(const operation::RecvFrom& op) { return CheckRecv(OperationKind::kRecvFrom, op.fd, op.size, op.flags); }

// What a message may weigh is a matter of the target's mailbox.
absl::Status Check(const operation::IpcSend&) { return absl::OkStatus(); }

absl::Status Check(const operation::IpcRecv& op) {
  if (!IsTransfer(op.size)) [[unlikely]]
    return RefuseSize(OperationKind::kIpcRecv, op.size);
  return absl::OkStatus();
}

absl::Status Check(const operation::Statx& op) {
  if (!IsPath(op.path)) [[unlikely]]
    return RefusePath(OperationKind::kStatx, op.path);
  if ((op.flags & ~kStatxFlags) != 0) [[unlikely]] {
    return RefuseFlags(OperationKind::kStatx, op.flags, kStatxFlags, kStatxFlagNames);
  }
  if ((op.flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE) [[unlikely]] {
    return RefuseBothFlags(OperationKind::kStatx, op.flags, kStatxFlagNames);
  }
  if ((op.mask & STATX__RESERVED) != 0) [[unlikely]] {
    return Refuse(OperationKind::kStatx, "mask", Hex(static_cast<int>(op.mask)), "made of STATX_ bits, without STATX__RESERVED");
  }
  return absl::OkStatus();
}

absl::Status Check(const operation::Rename& op) {
  if (!IsPath(op.from)) [[unlikely]]
    return RefusePath(OperationKind::kRename, op.from, "from");
  if (!IsPath(op.to)) [[unlikely]]
    return RefusePath(OperationKind::kRename, op.to, "to");
  const auto flags = static_cast<int>(op.flags);
  if ((flags & ~kRenameFlags) != 0) [[unlikely]] {
    return RefuseFlags(OperationKind::kRename, flags, kRenameFlags, kRenameFlagNames);
  }
  if (flags == kRenameFlags) [[unlikely]]
    return RefuseBothFlags(OperationKind::kRename, flags, kRenameFlagNames);
  return absl::OkStatus();
}

absl::Status Check(const operation::Unlink& op) {
  if (!IsPath(op.path)) [[unlikely]]
    return RefusePath(OperationKind::kUnlink, op.path);
  if ((op.flags & ~kUnlinkFlags) != 0) [[unlikely]] {
    return RefuseFlags(OperationKind::kUnlink, op.flags, kUnlinkFlags, kUnlinkFlagNames);
  }
  return absl::OkStatus();
}

absl::Status Check(const operation::Mkdir& op) {
  if (!IsPath(op.path)) [[unlikely]]
    return RefusePath(OperationKind::kMkdir, op.path);
  if ((op.mode & ~kModeBits) != 0) [[unlikely]]
    return RefuseMode(OperationKind::kMkdir, op.mode);
  return absl::OkStatus();
}

absl::Status Check(const operation::Fallocate& op) {
  if (!IsFd(op.fd)) [[unlikely]]
    return RefuseFd(OperationKind::kFallocate, op.fd);
  if ((op.mode & ~kFallocateModes) != 0) [[unlikely]] {
    return RefuseFlags(OperationKind::kFallocate, op.mode, kFallocateModes, kFallocateModeNames, "mode");
  }
  if (op.size < 1) [[unlikely]]
    return Refuse(OperationKind::kFallocate, "size", op.size, "from 1 upward");
  if (op.offset < 0 || op.offset > kMaxOffset - op.size) [[unlikely]] {
    return Refuse(OperationKind::kFallocate, "offset", op.offset,
                  absl::StrCat("from 0 to ", kMaxOffset - op.size, ", so that offset + ", op.size,
                               " bytes stays within the largest file offset"));
  }
  return absl::OkStatus();
}

absl::Status Check(const operation::Ftruncate& op) {
  if (!IsFd(op.fd)) [[unlikely]]
    return RefuseFd(OperationKind::kFtruncate, op.fd);
  if (op.size < 0) [[unlikely]]
    return Refuse(OperationKind::kFtruncate, "size", op.size, "from 0 upward");
  return absl::OkStatus();
}

absl::Status Check(const operation::Splice& op) {
  if (!IsFd(op.from_fd)) [[unlikely]]
    return RefuseFd(OperationKind::kSplice, op.from_fd, "from_fd");
  if (!IsFd(op.to_fd)) [[unlikely]]
    return RefuseFd(OperationKind::kSplice, op.to_fd, "to_fd");
  if (!IsTransfer(op.size)) [[unlikely]]
    return RefuseSize(OperationKind::kSplice, op.size);
  if (!IsOffset(op.from_offset, op.size)) [[unlikely]]
    return RefuseOffset(OperationKind::kSplice, op.from_offset, op.size, "from_offset");
  if (!IsOffset(op.to_offset, op.size)) [[unlikely]]
    return RefuseOffset(OperationKind::kSplice, op.to_offset, op.size, "to_offset");
  const auto flags = static_cast<int>(op.flags);
  if ((flags & ~kSpliceFlags) != 0) [[unlikely]] {
    return RefuseFlags(OperationKind::kSplice, flags, kSpliceFlags, kSpliceFlagNames);
  }
  return absl::OkStatus();
}

// Which families, kinds and protocols there are is the kernel's to say.
absl::Status Check(const operation::Socket& op) {
  if (op.domain < 0) [[unlikely]]
    return Refuse(OperationKind::kSocket, "domain", op.domain, "an address family such as AF_INET, from 0 upward");
  if ((op.type & ~kSocketTypes) != 0) [[unlikely]] {
    return RefuseFlags(OperationKind::kSocket, op.type, kSocketTypes, kSocketTypeNames, "type");
  }
  if (op.protocol < 0) [[unlikely]]
    return Refuse(OperationKind::kSocket, "protocol", op.protocol, "a protocol of the family, from 0 (the usual one) upward");
  return absl::OkStatus();
}

absl::Status Check(const operation::Shutdown& op) {
  if (!IsFd(op.fd)) [[unlikely]]
    return RefuseFd(OperationKind::kShutdown, op.fd);
  if (op.how < SHUT_RD || op.how > SHUT_RDWR) [[unlikely]] {
    return Refuse(OperationKind::kShutdown, "how", op.how, "SHUT_RD (0), SHUT_WR (1) or SHUT_RDWR (2)");
  }
  return absl::OkStatus();
}

absl::Status Check(const operation::Poll& op) {
  if (!IsFd(op.fd)) [[unlikely]]
    return RefuseFd(OperationKind::kPoll, op.fd);
  const auto events = static_cast<int>(op.events);
  if ((events & ~kPollEvents) != 0) [[unlikely]] {
    return RefuseFlags(OperationKind::kPoll, events, kPollEvents, kPollEventNames, "events");
  }
  return absl::OkStatus();
}

absl::Status Check(const operation::Sleep& op) {
  if (op.duration < absl::ZeroDuration() || op.duration == absl::InfiniteDuration()) [[unlikely]] {
    return Refuse(OperationKind::kSleep, "duration", absl::FormatDuration(op.duration), "zero or longer, and finite");
  }
  return absl::OkStatus();
}

template <typename Op>
absl::Status CheckAs(const Operation& operation) {
  return Check(*std::get_if<Op>(&operation));
}

}  // namespace

// A switch and not std::visit, which calls through a table: the common operations are inlined here.
absl::Status ValidateEntry(Pid pid, const SyscallSubmissionEntry& entry) {
  if (entry.pid() != pid) [[unlikely]]
    return RefuseEntry(pid, entry);
  if (entry.has_modifiers() && (entry.timeout_ns() < 0 || entry.priority() > Priority::kUrgent)) [[unlikely]]
    return RefuseModifier(entry);
  const Operation& operation = entry.operation();
  switch (entry.kind()) {
    case OperationKind::kNone:
      return RefuseEntry(pid, entry);
    case OperationKind::kNop:
      return CheckAs<operation::Nop>(operation);
    case OperationKind::kReadFile:
      return CheckAs<operation::ReadFile>(operation);
    case OperationKind::kWriteFile:
      return CheckAs<operation::WriteFile>(operation);
    case OperationKind::kOpen:
      return CheckAs<operation::Open>(operation);
    case OperationKind::kClose:
      return CheckAs<operation::Close>(operation);
    case OperationKind::kRead:
      return CheckAs<operation::Read>(operation);
    case OperationKind::kWrite:
      return CheckAs<operation::Write>(operation);
    case OperationKind::kFsync:
      return CheckAs<operation::Fsync>(operation);
    case OperationKind::kLseek:
      return CheckAs<operation::Lseek>(operation);
    case OperationKind::kSend:
      return CheckAs<operation::Send>(operation);
    case OperationKind::kRecv:
      return CheckAs<operation::Recv>(operation);
    case OperationKind::kAccept:
      return CheckAs<operation::Accept>(operation);
    case OperationKind::kConnect:
      return CheckAs<operation::Connect>(operation);
    case OperationKind::kSendTo:
      return CheckAs<operation::SendTo>(operation);
    case OperationKind::kRecvFrom:
      return CheckAs<operation::RecvFrom>(operation);
    case OperationKind::kIpcSend:
      return CheckAs<operation::IpcSend>(operation);
    case OperationKind::kIpcRecv:
      return CheckAs<operation::IpcRecv>(operation);
    case OperationKind::kStatx:
      return CheckAs<operation::Statx>(operation);
    case OperationKind::kRename:
      return CheckAs<operation::Rename>(operation);
    case OperationKind::kUnlink:
      return CheckAs<operation::Unlink>(operation);
    case OperationKind::kMkdir:
      return CheckAs<operation::Mkdir>(operation);
    case OperationKind::kFallocate:
      return CheckAs<operation::Fallocate>(operation);
    case OperationKind::kFtruncate:
      return CheckAs<operation::Ftruncate>(operation);
    case OperationKind::kSplice:
      return CheckAs<operation::Splice>(operation);
    case OperationKind::kSocket:
      return CheckAs<operation::Socket>(operation);
    case OperationKind::kShutdown:
      return CheckAs<operation::Shutdown>(operation);
    case OperationKind::kPoll:
      return CheckAs<operation::Poll>(operation);
    case OperationKind::kSleep:
      return CheckAs<operation::Sleep>(operation);
    case OperationKind::kReadInto:
      return CheckAs<operation::ReadInto>(operation);
    case OperationKind::kRecvInto:
      return CheckAs<operation::RecvInto>(operation);
    case OperationKind::kAcceptMany:
      return CheckAs<operation::AcceptMany>(operation);
    case OperationKind::kRecvMany:
      return CheckAs<operation::RecvMany>(operation);
  }
  return RefuseEntry(pid, entry);
}

}  // namespace agentos
