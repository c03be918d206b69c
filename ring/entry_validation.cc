#include "agentos/ring/entry_validation.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
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

constexpr absl::string_view kOpenFlagNames = "the flags of open(2)";
constexpr absl::string_view kSendFlagNames =
    "MSG_DONTWAIT, MSG_NOSIGNAL, MSG_OOB, MSG_DONTROUTE, MSG_EOR, MSG_MORE and MSG_CONFIRM";
constexpr absl::string_view kRecvFlagNames = "MSG_WAITALL, MSG_PEEK, MSG_DONTWAIT and MSG_OOB";

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

AGENTOS_COLD absl::Status RefuseFd(OperationKind kind, int fd) {
  return Refuse(kind, "fd", fd, "a file descriptor, from 0 upward");
}

AGENTOS_COLD absl::Status RefusePath(OperationKind kind, const std::string& path) {
  if (path.empty()) return Refuse(kind, "path", "empty", "the name of a file");
  if (path.size() >= PATH_MAX) {
    return Refuse(kind, "path", absl::StrCat(path.size(), " bytes long"), absl::StrCat("at most ", PATH_MAX - 1));
  }
  constexpr size_t kMostQuoted = 64;
  const size_t nul = path.find('\0');
  return Refuse(kind, "path",
                absl::StrCat("\"", absl::CHexEscape(path.substr(0, std::min(nul, kMostQuoted))), nul > kMostQuoted ? "..." : "",
                             "\" and a NUL byte at position ", nul),
                "free of NUL bytes");
}

AGENTOS_COLD absl::Status RefuseSize(OperationKind kind, size_t size) {
  return Refuse(kind, "size", size, absl::StrCat("from 1 to ", kMaxTransferSize));
}

AGENTOS_COLD absl::Status RefuseData(OperationKind kind, size_t size, size_t most) {
  return Refuse(kind, "data", absl::StrCat(size, " bytes long"), absl::StrCat("at most ", most));
}

AGENTOS_COLD absl::Status RefuseOffset(OperationKind kind, int64_t offset, size_t size) {
  if (offset < kCurrentPosition) return Refuse(kind, "offset", offset, "-1 (the file's own position) or from 0 upward");
  return Refuse(kind, "offset", offset,
                absl::StrCat("at most ", kMaxOffset - static_cast<int64_t>(size), ", so that offset + ", size,
                             " bytes stays within the largest file offset"));
}

AGENTOS_COLD absl::Status RefuseFlags(OperationKind kind, int flags, int known, absl::string_view names) {
  return Refuse(kind, "flags", absl::StrCat(Hex(flags), " with the unknown bits ", Hex(flags & ~known)),
                absl::StrCat("made of ", names));
}

AGENTOS_COLD absl::Status RefuseMode(mode_t mode) {
  char octal[16];
  std::snprintf(octal, sizeof(octal), "0%o", mode);
  return Refuse(OperationKind::kOpen, "mode", octal, "made of permission bits, from 0 to 07777");
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
  return absl::OkStatus();
}

absl::Status Check(const operation::WriteFile& op) {
  if (!IsPath(op.path)) [[unlikely]]
    return RefusePath(OperationKind::kWriteFile, op.path);
  if (op.data.size() > kMaxFileDataSize) [[unlikely]] {
    return RefuseData(OperationKind::kWriteFile, op.data.size(), kMaxFileDataSize);
  }
  return absl::OkStatus();
}

absl::Status Check(const operation::Open& op) {
  if (!IsPath(op.path)) [[unlikely]]
    return RefusePath(OperationKind::kOpen, op.path);
  if ((op.flags & ~kOpenFlags) != 0) [[unlikely]] {
    return RefuseFlags(OperationKind::kOpen, op.flags, kOpenFlags, kOpenFlagNames);
  }
  if ((op.flags & O_ACCMODE) == O_ACCMODE) [[unlikely]]
    return RefuseAccessMode(op.flags);
  if ((op.mode & ~kModeBits) != 0) [[unlikely]]
    return RefuseMode(op.mode);
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

absl::Status Check(const operation::Accept& op) { return CheckFd(OperationKind::kAccept, op.fd); }

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
  }
  return RefuseEntry(pid, entry);
}

}  // namespace agentos
