#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "agentos/ring/entry_checks.h"

// The checks of operations on files: by name, and on a part of one.

namespace agentos::ring_internal {

namespace {

constexpr size_t kMaxFileDataSize = size_t{1} << 40;

// Flags by value, so that those the kernel has and this library does not handle are refused and not passed on.
constexpr int kOpenFlags = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC |
                           O_ASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH |
                           O_TMPFILE;
constexpr int kStatxFlags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE;
constexpr int kRenameFlags = RENAME_NOREPLACE | RENAME_EXCHANGE;
constexpr int kUnlinkFlags = AT_REMOVEDIR;
constexpr int kFallocateModes = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_ZERO_RANGE |
                                FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE;
constexpr int kSpliceFlags = SPLICE_F_MOVE | SPLICE_F_MORE | SPLICE_F_NONBLOCK;

constexpr absl::string_view kOpenFlagNames = "the flags of open(2)";
constexpr absl::string_view kStatxFlagNames =
    "AT_SYMLINK_NOFOLLOW, AT_NO_AUTOMOUNT and either AT_STATX_FORCE_SYNC or AT_STATX_DONT_SYNC";
constexpr absl::string_view kRenameFlagNames = "either RENAME_NOREPLACE or RENAME_EXCHANGE";
constexpr absl::string_view kUnlinkFlagNames = "AT_REMOVEDIR";
constexpr absl::string_view kFallocateModeNames =
    "FALLOC_FL_KEEP_SIZE, _PUNCH_HOLE, _COLLAPSE_RANGE, _ZERO_RANGE, _INSERT_RANGE and _UNSHARE_RANGE";
constexpr absl::string_view kSpliceFlagNames = "SPLICE_F_MOVE, SPLICE_F_MORE and SPLICE_F_NONBLOCK";

AGENTOS_COLD absl::Status RefuseAccessMode(int flags) {
  return Refuse(OperationKind::kOpen, "flags", absl::StrCat(Hex(flags), " with the access mode 3"),
                "one of O_RDONLY, O_WRONLY and O_RDWR");
}

AGENTOS_COLD absl::Status RefuseWhence(int whence) {
  return Refuse(OperationKind::kLseek, "whence", whence,
                "SEEK_SET (0), SEEK_CUR (1), SEEK_END (2), SEEK_DATA (3) or SEEK_HOLE (4)");
}

}  // namespace

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

// What Splice and CopyFileRange have in common.
template <typename Op>
absl::Status CheckMove(OperationKind kind, const Op& op) {
  if (!IsFd(op.from_fd)) [[unlikely]]
    return RefuseFd(kind, op.from_fd, "from_fd");
  if (!IsFd(op.to_fd)) [[unlikely]]
    return RefuseFd(kind, op.to_fd, "to_fd");
  if (!IsTransfer(op.size)) [[unlikely]]
    return RefuseSize(kind, op.size);
  if (!IsOffset(op.from_offset, op.size)) [[unlikely]]
    return RefuseOffset(kind, op.from_offset, op.size, "from_offset");
  if (!IsOffset(op.to_offset, op.size)) [[unlikely]]
    return RefuseOffset(kind, op.to_offset, op.size, "to_offset");
  return absl::OkStatus();
}

absl::Status Check(const operation::Splice& op) {
  if (absl::Status status = CheckMove(OperationKind::kSplice, op); !status.ok()) [[unlikely]]
    return status;
  const auto flags = static_cast<int>(op.flags);
  if ((flags & ~kSpliceFlags) != 0) [[unlikely]] {
    return RefuseFlags(OperationKind::kSplice, flags, kSpliceFlags, kSpliceFlagNames);
  }
  return absl::OkStatus();
}

absl::Status Check(const operation::CopyFileRange& op) { return CheckMove(OperationKind::kCopyFileRange, op); }

}  // namespace agentos::ring_internal
