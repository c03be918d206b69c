#include "agentos/ring/entry_validation.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "agentos/ring/socket_address.h"

namespace agentos {

namespace {

constexpr int kOpenFlags = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC |
                           O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC | O_ASYNC |
                           O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW |
                           O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE;
constexpr mode_t kModeBits = 07777;
constexpr int kSendFlags = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_OOB |
                           MSG_DONTROUTE | MSG_EOR | MSG_MORE | MSG_CONFIRM;
constexpr int kRecvFlags = MSG_WAITALL | MSG_PEEK | MSG_DONTWAIT | MSG_OOB;
constexpr size_t kMaxFileSize = size_t{1} << 40;

// The message of a refusal; never on the way of an entry that is right.
template <typename... Parts>
[[gnu::cold, gnu::noinline]] absl::Status
Refuse(const SyscallSubmissionEntry &entry, absl::string_view field,
       const Parts &...parts) {
  return absl::InvalidArgumentError(
      absl::StrCat(OperationName(entry.kind()), ".", field, " ", parts...));
}

absl::Status CheckFd(const SyscallSubmissionEntry &entry, int fd) {
  if (fd >= 0) [[likely]] {
    return absl::OkStatus();
  }
  return Refuse(entry, "fd", "is ", fd, ": it must not be negative");
}

absl::Status CheckSize(const SyscallSubmissionEntry &entry, size_t size) {
  if (size - 1 < kMaxTransferSize) [[likely]] {
    return absl::OkStatus();
  }
  return Refuse(entry, "size", "is ", size, ": it must be from 1 to ",
                kMaxTransferSize);
}

absl::Status CheckData(const SyscallSubmissionEntry &entry, const Bytes &data,
                       size_t most) {
  if (data.size() <= most)
    return absl::OkStatus();
  return Refuse(entry, "data", "has ", data.size(), " bytes: at most ", most,
                " are allowed; split it");
}

absl::Status CheckOffset(const SyscallSubmissionEntry &entry, int64_t offset,
                         size_t size) {
  if (offset < kCurrentPosition) {
    return Refuse(entry, "offset", "is ", offset,
                  ": it must be -1 (the file's own position) or from 0 upward");
  }
  if (offset >
      std::numeric_limits<int64_t>::max() - static_cast<int64_t>(size)) {
    return Refuse(entry, "offset", "is ", offset, ": with ", size,
                  " bytes it goes beyond the largest file offset");
  }
  return absl::OkStatus();
}

absl::Status CheckPath(const SyscallSubmissionEntry &entry,
                       const std::string &path) {
  if (path.empty())
    return Refuse(entry, "path", "is empty: name a file");
  if (path.size() >= PATH_MAX) {
    return Refuse(entry, "path", "has ", path.size(), " bytes: at most ",
                  PATH_MAX - 1, " are allowed");
  }
  if (path.find('\0') != std::string::npos)
    return Refuse(entry, "path", "has a NUL byte at ", path.find('\0'),
                  ": it would be cut there");
  return absl::OkStatus();
}

absl::Status CheckFlags(const SyscallSubmissionEntry &entry, int flags,
                        int known) {
  if ((flags & ~known) == 0)
    return absl::OkStatus();
  return Refuse(entry, "flags",
                absl::StrFormat("is %#x: bits %#x are not supported", flags,
                                flags & ~known));
}

absl::Status CheckOpen(const SyscallSubmissionEntry &entry,
                       const operation::Open &op) {
  if (absl::Status s = CheckPath(entry, op.path); !s.ok())
    return s;
  if (absl::Status s = CheckFlags(entry, op.flags, kOpenFlags); !s.ok())
    return s;
  if ((op.flags & O_ACCMODE) == O_ACCMODE) {
    return Refuse(
        entry, "flags",
        "has an access mode of 3: it must be O_RDONLY, O_WRONLY or O_RDWR");
  }
  if ((op.mode & ~kModeBits) != 0)
    return Refuse(
        entry, "mode",
        absl::StrFormat("is %#o: it must be from 0 to 07777", op.mode));
  return absl::OkStatus();
}

absl::Status CheckLseek(const SyscallSubmissionEntry &entry,
                        const operation::Lseek &op) {
  if (absl::Status s = CheckFd(entry, op.fd); !s.ok())
    return s;
  switch (op.whence) {
  case SEEK_SET:
  case SEEK_CUR:
  case SEEK_END:
  case SEEK_DATA:
  case SEEK_HOLE:
    return absl::OkStatus();
  default:
    return Refuse(
        entry, "whence", "is ", op.whence,
        ": it must be SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA or SEEK_HOLE");
  }
}

absl::Status CheckAddress(const SyscallSubmissionEntry &entry,
                          const std::string &address) {
  const absl::StatusOr<SocketAddress> parsed = ParseSocketAddress(address);
  if (parsed.ok())
    return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      OperationName(entry.kind()), ".", parsed.status().message()));
}

template <typename Op>
absl::Status CheckReceive(const SyscallSubmissionEntry &entry, const Op &op) {
  if (absl::Status s = CheckFd(entry, op.fd); !s.ok())
    return s;
  if (absl::Status s = CheckSize(entry, op.size); !s.ok())
    return s;
  return CheckFlags(entry, op.flags, kRecvFlags);
}

template <typename Op>
absl::Status CheckSend(const SyscallSubmissionEntry &entry, const Op &op) {
  if (absl::Status s = CheckFd(entry, op.fd); !s.ok())
    return s;
  if (absl::Status s = CheckData(entry, op.data, kMaxTransferSize); !s.ok())
    return s;
  return CheckFlags(entry, op.flags, kSendFlags);
}

absl::Status CheckRead(const SyscallSubmissionEntry &entry,
                       const operation::Read &op) {
  if (absl::Status s = CheckFd(entry, op.fd); !s.ok())
    return s;
  if (absl::Status s = CheckSize(entry, op.size); !s.ok())
    return s;
  return CheckOffset(entry, op.offset, op.size);
}

absl::Status CheckWrite(const SyscallSubmissionEntry &entry,
                        const operation::Write &op) {
  if (absl::Status s = CheckFd(entry, op.fd); !s.ok())
    return s;
  if (absl::Status s = CheckData(entry, op.data, kMaxTransferSize); !s.ok())
    return s;
  return CheckOffset(entry, op.offset, op.data.size());
}

absl::Status CheckOperands(const SyscallSubmissionEntry &entry) {
  const Operation &operation = entry.operation();
  switch (entry.kind()) {
  case OperationKind::kNone:
    return absl::InvalidArgumentError(
        "the entry asks for nothing: it was moved from (submitted before?) or "
        "never given an operation");
  case OperationKind::kNop:
    return absl::OkStatus();
  case OperationKind::kRead:
    return CheckRead(entry, std::get<operation::Read>(operation));
  case OperationKind::kWrite:
    return CheckWrite(entry, std::get<operation::Write>(operation));
  case OperationKind::kReadFile:
    return CheckPath(entry, std::get<operation::ReadFile>(operation).path);
  case OperationKind::kWriteFile: {
    const auto &op = std::get<operation::WriteFile>(operation);
    if (absl::Status s = CheckPath(entry, op.path); !s.ok())
      return s;
    return CheckData(entry, op.data, kMaxFileSize);
  }
  case OperationKind::kOpen:
    return CheckOpen(entry, std::get<operation::Open>(operation));
  case OperationKind::kClose:
    return CheckFd(entry, std::get<operation::Close>(operation).fd);
  case OperationKind::kFsync:
    return CheckFd(entry, std::get<operation::Fsync>(operation).fd);
  case OperationKind::kLseek:
    return CheckLseek(entry, std::get<operation::Lseek>(operation));
  case OperationKind::kSend:
    return CheckSend(entry, std::get<operation::Send>(operation));
  case OperationKind::kRecv:
    return CheckReceive(entry, std::get<operation::Recv>(operation));
  case OperationKind::kAccept:
    return CheckFd(entry, std::get<operation::Accept>(operation).fd);
  case OperationKind::kConnect: {
    const auto &op = std::get<operation::Connect>(operation);
    if (absl::Status s = CheckFd(entry, op.fd); !s.ok())
      return s;
    return CheckAddress(entry, op.address);
  }
  case OperationKind::kSendTo: {
    const auto &op = std::get<operation::SendTo>(operation);
    if (absl::Status s = CheckSend(entry, op); !s.ok())
      return s;
    return CheckAddress(entry, op.address);
  }
  case OperationKind::kRecvFrom:
    return CheckReceive(entry, std::get<operation::RecvFrom>(operation));
  case OperationKind::kIpcSend:
    return absl::OkStatus();
  case OperationKind::kIpcRecv:
    return CheckSize(entry, std::get<operation::IpcRecv>(operation).size);
  }
  return absl::InternalError("unknown operation");
}

} // namespace

absl::Status ValidateEntry(Pid pid, const SyscallSubmissionEntry &entry) {
  if (absl::Status s = CheckOperands(entry); !s.ok()) [[unlikely]] {
    return s;
  }
  if (entry.pid() != pid) [[unlikely]] {
    return Refuse(entry, "pid", "is ", entry.pid(),
                  ": it must be that of the call, ", pid);
  }
  return absl::OkStatus();
}

} // namespace agentos
