// Bytes that may be an entry: what can be made of them is an entry that goes through a message and comes back the same.

#include <cstddef>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/proto/entry.pb.h"
#include "agentos/proto/entry_conversion.h"
#include "agentos/ring/check.h"
#include "agentos/ring/entry_validation.h"
#include "google/protobuf/util/message_differencer.h"

namespace {

using agentos::FromProto;
using agentos::SyscallSubmissionEntry;
using agentos::ToProto;
using google::protobuf::util::MessageDifferencer;

// Memory is what an entry may ask for, and what a fuzzer has little of.
constexpr uint64_t kMostBuffer = 1 << 20;

bool AsksForMuchMemory(const agentos::proto::v1::Entry& message) {
  return message.read_into().size() > kMostBuffer || message.recv_into().size() > kMostBuffer;
}

// Of 292 years. Longer ones do not fit an entry's word for the timeout.
constexpr int64_t kLongestTimeoutNs = std::numeric_limits<int64_t>::max() - (int64_t{1} << 44);

// An entry keeps a timeout to two parts in a million, and of one that is none only that.
bool IsTimeoutKept(int64_t asked_ns, int64_t kept_ns) {
  if (asked_ns <= 0) return kept_ns == (asked_ns < 0 ? -1 : 0);
  return kept_ns > 0 && kept_ns >= asked_ns && kept_ns - asked_ns <= asked_ns / 500'000;
}

bool HasBeneathFd(const agentos::proto::v1::Entry& message) {
  return message.read_file().has_beneath_fd() || message.write_file().has_beneath_fd() || message.open().has_beneath_fd();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  agentos::proto::v1::Entry message;
  if (!message.ParseFromArray(data, static_cast<int>(size)) || AsksForMuchMemory(message)) return 0;
  if (message.modifiers().timeout_ns() > kLongestTimeoutNs) return 0;
  const absl::StatusOr<SyscallSubmissionEntry> entry = FromProto(message);
  if (!entry.ok()) {
    AGENTOS_CHECK(absl::IsInvalidArgument(entry.status()) || absl::IsFailedPrecondition(entry.status()));
    AGENTOS_CHECK(!entry.status().message().empty());
    return 0;
  }
  const absl::Status valid = agentos::ValidateEntry(message.pid(), *entry);
  AGENTOS_CHECK(valid.ok() || !valid.message().empty());

  // What a newer version may have said is lost, and so is the difference between what was not said and what was said to be 0.
  message.DiscardUnknownFields();
  const agentos::proto::v1::Entry same = ToProto(*entry);
  if (message.has_modifiers()) {
    AGENTOS_CHECK(IsTimeoutKept(message.modifiers().timeout_ns(), same.modifiers().timeout_ns()));
    message.mutable_modifiers()->set_timeout_ns(same.modifiers().timeout_ns());
  }
  AGENTOS_CHECK(MessageDifferencer::Equivalent(message, same));
  AGENTOS_CHECK(HasBeneathFd(message) == HasBeneathFd(same));
  const absl::StatusOr<SyscallSubmissionEntry> again = FromProto(same);
  AGENTOS_CHECK(again.ok());
  AGENTOS_CHECK(MessageDifferencer::Equals(same, ToProto(*again)));
  AGENTOS_CHECK(agentos::ValidateEntry(message.pid(), *again) == valid);
  for (const size_t payload_bytes : {0, 1, 3}) {
    AGENTOS_CHECK(ToProto(*entry, payload_bytes).operation_case() == message.operation_case());
  }
  return 0;
}
