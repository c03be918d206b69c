// Entries as protocol buffers and back.
//
// Thread rule: free functions without state.
// Errors: FromProto answers InvalidArgument for a message that is no entry (no operation that this version knows, a number that no
// field of an entry can hold), and FailedPrecondition for one whose payload was not kept in full. What an entry may ask for is
// checked by Submit, as always.
//
//   proto::v1::Entry message = ToProto(entry, /*payload_bytes=*/0);
//   absl::StatusOr<SyscallSubmissionEntry> same = FromProto(message);

#ifndef AGENTOS_PROTO_ENTRY_CONVERSION_H_
#define AGENTOS_PROTO_ENTRY_CONVERSION_H_

#include <cstddef>
#include <limits>

#include "absl/status/statusor.h"
#include "agentos/proto/entry.pb.h"
#include "agentos/ring/submission_entry.h"

namespace agentos {

inline constexpr size_t kAllPayloadBytes = std::numeric_limits<size_t>::max();

// The description of an entry, with at most the first `payload_bytes` of what it writes or sends, and never more than 1 GiB.
proto::v1::Entry ToProto(const SyscallSubmissionEntry& entry, size_t payload_bytes = kAllPayloadBytes);

absl::StatusOr<SyscallSubmissionEntry> FromProto(const proto::v1::Entry& message);

}  // namespace agentos

#endif  // AGENTOS_PROTO_ENTRY_CONVERSION_H_
