#include "agentos/handlers/syscall.h"

#include <cerrno>
#include <optional>
#include <type_traits>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace agentos {

namespace {

Bytes CopyOf(const Bytes& data) { return Bytes(data.view()); }

// The same operation with operands of its own; nothing where that cannot be.
template <typename Op>
std::optional<Operation> CopyOf(const Op& op) {
  using operation::IpcSend;
  using operation::Send;
  using operation::SendTo;
  using operation::Write;
  using operation::WriteFile;
  if constexpr (std::is_same_v<Op, operation::None> || std::is_same_v<Op, operation::AcceptMany> ||
                std::is_same_v<Op, operation::RecvMany>) {
    return std::nullopt;
  } else if constexpr (std::is_copy_constructible_v<Op>) {
    return op;
  } else if constexpr (std::is_same_v<Op, WriteFile>) {
    return WriteFile{op.path, CopyOf(op.data), op.options, op.beneath_fd};
  } else if constexpr (std::is_same_v<Op, Write>) {
    return Write{op.fd, CopyOf(op.data), op.offset};
  } else if constexpr (std::is_same_v<Op, Send>) {
    return Send{op.fd, CopyOf(op.data), op.flags};
  } else if constexpr (std::is_same_v<Op, SendTo>) {
    return SendTo{op.fd, CopyOf(op.data), op.address, op.flags};
  } else if constexpr (std::is_same_v<Op, IpcSend>) {
    return IpcSend{op.target, CopyOf(op.data)};
  } else {
    return std::nullopt;
  }
}

}  // namespace

absl::string_view Syscall::name() const {
  if (const Operation* op = operation()) return OperationName(*op);
  if (const Other* named = other()) return named->name;
  return "ProcessInfo";
}

bool Syscall::is_io_bound() const { return operation() != nullptr && IsIoBound(*operation()); }

absl::StatusOr<SyscallSubmissionEntry> Syscall::ToEntry(Pid pid, uint64_t user_data) const {
  if (operation() == nullptr) return absl::InvalidArgumentError(absl::StrCat(name(), " is no operation of a ring"));
  std::optional<Operation> copy = std::visit([](const auto& op) { return CopyOf(op); }, *operation());
  if (!copy.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name(), " has not one answer that a handler could give; submit it to the ring"));
  }
  return std::visit([&](auto& op) { return SyscallSubmissionEntry(pid, std::move(op), user_data); }, *copy);
}

SyscallAnswer SyscallAnswer::Success(int64_t value, Bytes data, std::string peer_address) {
  SyscallAnswer answer;
  answer.value_ = value;
  answer.data_ = std::move(data);
  answer.text_ = std::move(peer_address);
  return answer;
}

SyscallAnswer SyscallAnswer::Error(std::string message, int error_number) {
  SyscallAnswer answer;
  answer.kind_ = Kind::kError;
  answer.text_ = std::move(message);
  answer.error_number_ = error_number;
  return answer;
}

SyscallAnswer SyscallAnswer::PermissionDenied(std::string reason) {
  SyscallAnswer answer = Error(std::move(reason), EACCES);
  answer.kind_ = Kind::kPermissionDenied;
  return answer;
}

SyscallAnswer SyscallAnswer::Pending(SyscallTaskId task) {
  SyscallAnswer answer = Success(static_cast<int64_t>(task));
  answer.kind_ = Kind::kPending;
  return answer;
}

SyscallAnswer SyscallAnswer::Of(SyscallCompletionEntry done) {
  if (done.status.is_success()) {
    const int64_t value = done.result.value();
    std::string peer_address(done.result.peer_address());
    return Success(value, done.result.TakeBytes(), std::move(peer_address));
  }
  const int error_number = done.status.is_cancelled() ? ECANCELED : done.status.error_number();
  SyscallAnswer answer = Error(done.status.error_message(), error_number);
  if (error_number == EACCES || error_number == EPERM) answer.kind_ = Kind::kPermissionDenied;
  // What a Write or a Send had moved before it failed.
  answer.value_ = done.result.value();
  return answer;
}

SyscallAnswer SyscallAnswer::Of(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return SyscallAnswer();
    case absl::StatusCode::kPermissionDenied:
      return PermissionDenied(std::string(status.message()));
    case absl::StatusCode::kInvalidArgument:
      return Error(std::string(status.message()), EINVAL);
    case absl::StatusCode::kResourceExhausted:
      return Error(std::string(status.message()), EAGAIN);
    case absl::StatusCode::kDeadlineExceeded:
      return Error(std::string(status.message()), ETIMEDOUT);
    default:
      return Error(std::string(status.message()));
  }
}

absl::Status SyscallAnswer::ToStatus() const {
  switch (kind_) {
    case Kind::kSuccess:
      return absl::OkStatus();
    case Kind::kPermissionDenied:
      return absl::PermissionDeniedError(text_);
    case Kind::kPending:
      return absl::UnavailableError(absl::StrCat("request ", task(), " is still under way"));
    case Kind::kError:
      break;
  }
  if (error_number_ == 0) return absl::UnknownError(text_);
  return absl::Status(absl::ErrnoToStatusCode(error_number_), text_);
}

}  // namespace agentos
