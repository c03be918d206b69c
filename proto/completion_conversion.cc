#include "agentos/proto/completion_conversion.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "agentos/ring/bytes.h"

namespace agentos {

namespace {

// The two count alike; proto_test goes through all names.
static_assert(static_cast<int>(OperationKind::kCopyFileRange) == proto::v1::OPERATION_KIND_COPY_FILE_RANGE);
static_assert(static_cast<size_t>(proto::v1::OperationKind_ARRAYSIZE) == kOperationKinds);

std::string ToString(absl::string_view text) { return std::string(text.data(), text.size()); }

}  // namespace

proto::v1::OperationKind ToProto(OperationKind kind) { return static_cast<proto::v1::OperationKind>(kind); }

absl::StatusOr<OperationKind> FromProto(proto::v1::OperationKind kind) {
  if (!proto::v1::OperationKind_IsValid(kind)) {
    return absl::InvalidArgumentError(
        absl::StrCat("operation is ", static_cast<int>(kind), ": this version knows 0 to ", kOperationKinds - 1));
  }
  return static_cast<OperationKind>(kind);
}

proto::v1::Completion ToProto(const SyscallCompletionEntry& done, size_t payload_bytes) {
  proto::v1::Completion message;
  message.set_pid(done.pid);
  message.set_seq(done.seq);
  message.set_user_data(done.user_data);
  message.set_value(done.result.value());
  message.set_more(done.more);
  if (const absl::string_view data = done.result.data(); !data.empty()) {
    message.mutable_payload()->set_size(data.size());
    message.mutable_payload()->set_data(data.data(), std::min(payload_bytes, data.size()));
  }
  message.set_peer_address(ToString(done.result.peer_address()));
  if (done.status.is_success()) return message;
  message.set_cancelled(done.status.is_cancelled());
  message.set_error_number(done.status.error_number());
  message.set_operation(ToProto(done.status.operation()));
  message.set_context(ToString(done.status.context()));
  return message;
}

absl::StatusOr<SyscallCompletionEntry> FromProto(const proto::v1::Completion& message) {
  const absl::StatusOr<OperationKind> operation = FromProto(message.operation());
  if (!operation.ok()) return operation.status();
  if (message.error_number() < 0 || (message.cancelled() && message.error_number() != 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("error_number is ", message.error_number(),
                     message.cancelled() ? ": what was cancelled has none" : ": it must be an errno, or 0 for a success"));
  }
  SyscallCompletionEntry done;
  done.seq = message.seq();
  done.pid = message.pid();
  done.more = message.more();
  done.user_data = message.user_data();
  if (message.cancelled()) {
    done.status = SyscallCompletionStatus::Cancelled(*operation);
  } else if (message.error_number() != 0) {
    done.status = SyscallCompletionStatus::Error(*operation, message.error_number(), message.context());
  }
  std::unique_ptr<std::string> peer;
  if (!message.peer_address().empty()) peer = std::make_unique<std::string>(message.peer_address());
  Bytes data = message.payload().data().empty() ? Bytes() : Bytes(message.payload().data());
  done.result = SyscallResult(message.value(), std::move(data), std::move(peer));
  return done;
}

}  // namespace agentos
