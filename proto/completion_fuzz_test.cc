// Bytes that may be a completion: what can be made of them is a completion that goes through a message and comes back the same.

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/proto/completion.pb.h"
#include "agentos/proto/completion_conversion.h"
#include "agentos/ring/check.h"
#include "google/protobuf/util/message_differencer.h"

namespace {

using agentos::FromProto;
using agentos::SyscallCompletionEntry;
using agentos::ToProto;
using google::protobuf::util::MessageDifferencer;

// What is left of a message by way of a completion.
void Normalize(agentos::proto::v1::Completion& message) {
  message.DiscardUnknownFields();
  if (message.has_payload()) message.mutable_payload()->set_size(message.payload().data().size());
  if (message.cancelled()) message.clear_context();
  if (message.cancelled() || message.error_number() != 0) return;
  message.clear_operation();
  message.clear_context();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  agentos::proto::v1::Completion message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
  const absl::StatusOr<SyscallCompletionEntry> done = FromProto(message);
  if (!done.ok()) {
    AGENTOS_CHECK(absl::IsInvalidArgument(done.status()));
    AGENTOS_CHECK(!done.status().message().empty());
    return 0;
  }
  AGENTOS_CHECK(done->status.is_success() == done->status.ToStatus().ok());
  AGENTOS_CHECK(done->status.is_success() == done->status.error_message().empty());

  Normalize(message);
  const agentos::proto::v1::Completion same = ToProto(*done);
  AGENTOS_CHECK(MessageDifferencer::Equivalent(message, same));
  const absl::StatusOr<SyscallCompletionEntry> again = FromProto(same);
  AGENTOS_CHECK(again.ok());
  AGENTOS_CHECK(MessageDifferencer::Equals(same, ToProto(*again)));
  AGENTOS_CHECK(ToProto(*done, 1).payload().data().size() <= 1);
  return 0;
}
