// The private half of entry_validation.h: what the checks of all operations are made of, and the checks themselves, one for each
// operation, by family.
//
// A refusal is built out of line, so that what stands in the way of a good entry is a few compares and no string. The checks of
// operations that a program makes many of are inlined where they are called, in entry_validation.cc.
//
// Thread rule: pure functions.
// Errors: InvalidArgument, as entry_validation.h says.
//
//   if (!IsFd(op.fd)) [[unlikely]]
//     return RefuseFd(OperationKind::kRead, op.fd);

#ifndef AGENTOS_RING_ENTRY_CHECKS_H_
#define AGENTOS_RING_ENTRY_CHECKS_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "agentos/ring/operation.h"
#include "agentos/ring/types.h"

#define AGENTOS_COLD [[gnu::cold, gnu::noinline]]

namespace agentos::ring_internal {

inline constexpr int64_t kMaxOffset = std::numeric_limits<int64_t>::max();

// Flags by value, so that those the kernel has and this library does not handle are refused and not passed on.
inline constexpr int kSendFlags = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_OOB | MSG_DONTROUTE | MSG_EOR | MSG_MORE | MSG_CONFIRM;
inline constexpr int kRecvFlags = MSG_WAITALL | MSG_PEEK | MSG_DONTWAIT | MSG_OOB;
inline constexpr mode_t kModeBits = 07777;

inline constexpr absl::string_view kSendFlagNames =
    "MSG_DONTWAIT, MSG_NOSIGNAL, MSG_OOB, MSG_DONTROUTE, MSG_EOR, MSG_MORE and MSG_CONFIRM";
inline constexpr absl::string_view kRecvFlagNames = "MSG_WAITALL, MSG_PEEK, MSG_DONTWAIT and MSG_OOB";

// What makes the message: "Read.size is 0: it must be from 1 to 2147479552".
AGENTOS_COLD absl::Status Refuse(OperationKind kind, absl::string_view field, const absl::AlphaNum& is,
                                 const absl::AlphaNum& allowed);
AGENTOS_COLD absl::Status RefuseFd(OperationKind kind, int fd, absl::string_view field = "fd");
AGENTOS_COLD absl::Status RefusePath(OperationKind kind, const std::string& path, absl::string_view field = "path");
AGENTOS_COLD absl::Status RefuseBeneath(OperationKind kind, int directory_fd, const std::string& path);
AGENTOS_COLD absl::Status RefuseSize(OperationKind kind, size_t size);
AGENTOS_COLD absl::Status RefuseData(OperationKind kind, size_t size, size_t most);
AGENTOS_COLD absl::Status RefuseOffset(OperationKind kind, int64_t offset, size_t size, absl::string_view field = "offset");
AGENTOS_COLD absl::Status RefuseFlags(OperationKind kind, int flags, int known, absl::string_view names,
                                      absl::string_view field = "flags");
AGENTOS_COLD absl::Status RefuseBothFlags(OperationKind kind, int flags, absl::string_view names);
AGENTOS_COLD absl::Status RefuseMode(OperationKind kind, mode_t mode);
AGENTOS_COLD absl::Status RefuseAddress(OperationKind kind, absl::string_view why);

std::string Hex(int bits);

inline bool IsFd(int fd) { return fd >= 0; }
inline bool IsTransfer(size_t size) { return size - 1 < kMaxTransferSize; }

// Precondition: size <= kMaxTransferSize.
inline bool IsOffset(int64_t offset, size_t size) {
  return offset >= kCurrentPosition && offset <= kMaxOffset - static_cast<int64_t>(size);
}

inline bool IsPath(const std::string& path) {
  return path.size() - 1 < PATH_MAX - 1 && std::memchr(path.data(), '\0', path.size()) == nullptr;
}

// Precondition: IsPath(path).
inline bool IsConfined(std::optional<int> beneath_fd, const std::string& path) {
  return !beneath_fd.has_value() || (*beneath_fd >= 0 && path[0] != '/');
}

inline absl::Status CheckFd(OperationKind kind, int fd) {
  if (!IsFd(fd)) [[unlikely]]
    return RefuseFd(kind, fd);
  return absl::OkStatus();
}

inline absl::Status CheckSend(OperationKind kind, int fd, size_t size, int flags) {
  if (!IsFd(fd)) [[unlikely]]
    return RefuseFd(kind, fd);
  if (size > kMaxTransferSize) [[unlikely]]
    return RefuseData(kind, size, kMaxTransferSize);
  if ((flags & ~kSendFlags) != 0) [[unlikely]]
    return RefuseFlags(kind, flags, kSendFlags, kSendFlagNames);
  return absl::OkStatus();
}

inline absl::Status CheckRecv(OperationKind kind, int fd, size_t size, int flags) {
  if (!IsFd(fd)) [[unlikely]]
    return RefuseFd(kind, fd);
  if (!IsTransfer(size)) [[unlikely]]
    return RefuseSize(kind, size);
  if ((flags & ~kRecvFlags) != 0) [[unlikely]]
    return RefuseFlags(kind, flags, kRecvFlags, kRecvFlagNames);
  return absl::OkStatus();
}

inline absl::Status CheckBuffer(OperationKind kind, const PooledBuffer& buffer, size_t size) {
  if (!buffer) [[unlikely]]
    return Refuse(kind, "buffer", "empty", "a buffer that was lent and not moved from");
  if (size > buffer.capacity()) [[unlikely]]
    return Refuse(kind, "size", size, absl::StrCat("at most ", buffer.capacity(), ", what the buffer holds"));
  return absl::OkStatus();
}

// file_entry_checks.cc
absl::Status Check(const operation::ReadFile& op);
absl::Status Check(const operation::WriteFile& op);
absl::Status Check(const operation::Open& op);
absl::Status Check(const operation::Lseek& op);
absl::Status Check(const operation::Statx& op);
absl::Status Check(const operation::Rename& op);
absl::Status Check(const operation::Unlink& op);
absl::Status Check(const operation::Mkdir& op);
absl::Status Check(const operation::Fallocate& op);
absl::Status Check(const operation::Ftruncate& op);
absl::Status Check(const operation::Splice& op);
absl::Status Check(const operation::CopyFileRange& op);

// socket_entry_checks.cc
absl::Status Check(const operation::AcceptMany& op);
absl::Status Check(const operation::RecvMany& op);
absl::Status Check(const operation::Connect& op);
absl::Status Check(const operation::SendTo& op);
absl::Status Check(const operation::RecvFrom& op);
absl::Status Check(const operation::Socket& op);
absl::Status Check(const operation::Shutdown& op);
absl::Status Check(const operation::Poll& op);

}  // namespace agentos::ring_internal

#endif  // AGENTOS_RING_ENTRY_CHECKS_H_
