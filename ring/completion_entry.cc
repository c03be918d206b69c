#include "agentos/ring/completion_entry.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace agentos {

namespace {

absl::string_view ErrnoName(int error_number) {
  const char* name = strerrorname_np(error_number);
  return name == nullptr ? "unknown errno" : name;
}

std::string ErrnoText(int error_number) {
  char buffer[128];
  // The GNU strerror_r: returns the text, which need not be in the buffer.
  return strerror_r(error_number, buffer, sizeof(buffer));
}

}  // namespace

SyscallCompletionStatus SyscallCompletionStatus::Error(OperationKind operation, int error_number, absl::string_view context) {
  SyscallCompletionStatus status;
  status.outcome_ = Outcome::kError;
  status.operation_ = operation;
  status.error_number_ = error_number;
  if (!context.empty()) status.context_ = std::make_unique<std::string>(context);
  return status;
}

SyscallCompletionStatus SyscallCompletionStatus::Cancelled(OperationKind operation) {
  SyscallCompletionStatus status;
  status.outcome_ = Outcome::kCancelled;
  status.operation_ = operation;
  return status;
}

std::string SyscallCompletionStatus::error_message() const {
  switch (outcome_) {
    case Outcome::kSuccess:
      return "";
    case Outcome::kCancelled:
      return absl::StrCat(OperationName(operation_), ": cancelled");
    case Outcome::kError:
      return absl::StrCat(OperationName(operation_), "(", context_ == nullptr ? "" : *context_, "): ", ErrnoText(error_number_),
                          " (", ErrnoName(error_number_), ")");
  }
  return "";
}

absl::Status SyscallCompletionStatus::ToStatus() const {
  switch (outcome_) {
    case Outcome::kSuccess:
      return absl::OkStatus();
    case Outcome::kCancelled:
      return absl::CancelledError(error_message());
    case Outcome::kError:
      break;
  }
  // EFBIG is the answer to a file over the ring's limit: a limit that the caller can raise, not a value out of range.
  if (error_number_ == EFBIG) return absl::ResourceExhaustedError(error_message());
  return absl::Status(absl::ErrnoToStatusCode(error_number_), error_message());
}

}  // namespace agentos
