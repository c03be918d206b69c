#include "agentos/ring/entry_validation.h"

#include <cstddef>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agentos/ring/entry_checks.h"

namespace agentos {

using namespace ring_internal;  // The private half of this very component.

namespace {

using ring_internal::Check;  // Beside those below, which would hide them.

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

absl::Status Check(const operation::Nop&) { return absl::OkStatus(); }

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

absl::Status Check(const operation::Send& op) { return CheckSend(OperationKind::kSend, op.fd, op.data.size(), op.flags); }

absl::Status Check(const operation::Recv& op) { return CheckRecv(OperationKind::kRecv, op.fd, op.size, op.flags); }

absl::Status Check(const operation::RecvInto& op) {
  absl::Status status = CheckRecv(OperationKind::kRecvInto, op.fd, op.size, op.flags);
  return status.ok() ? CheckBuffer(OperationKind::kRecvInto, op.buffer, op.size) : status;
}

absl::Status Check(const operation::Accept& op) { return CheckFd(OperationKind::kAccept, op.fd); }

// What a message may weigh is a matter of the target's mailbox.
absl::Status Check(const operation::IpcSend&) { return absl::OkStatus(); }

absl::Status Check(const operation::IpcRecv& op) {
  if (!IsTransfer(op.size)) [[unlikely]]
    return RefuseSize(OperationKind::kIpcRecv, op.size);
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
    case OperationKind::kCopyFileRange:
      return CheckAs<operation::CopyFileRange>(operation);
  }
  return RefuseEntry(pid, entry);
}

}  // namespace agentos
