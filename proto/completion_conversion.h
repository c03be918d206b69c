// Completions as protocol buffers and back.
//
// Thread rule: free functions without state.
// Errors: FromProto answers InvalidArgument for a message that is no completion (an outcome that contradicts itself, an operation
// that this version does not know). Data that was not kept in full is left out as far as it is missing; value() still says how
// much there was.
//
//   proto::v1::Completion message = ToProto(done, /*payload_bytes=*/0);
//   absl::StatusOr<SyscallCompletionEntry> same = FromProto(message);

#ifndef AGENTOS_PROTO_COMPLETION_CONVERSION_H_
#define AGENTOS_PROTO_COMPLETION_CONVERSION_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "agentos/proto/completion.pb.h"
#include "agentos/proto/entry_conversion.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/operation.h"

namespace agentos {

// The description of a completion, with at most the first `payload_bytes` of its data.
proto::v1::Completion ToProto(const SyscallCompletionEntry& done, size_t payload_bytes = kAllPayloadBytes);

absl::StatusOr<SyscallCompletionEntry> FromProto(const proto::v1::Completion& message);

// OperationKind by its name in a message. InvalidArgument for one of a newer version.
proto::v1::OperationKind ToProto(OperationKind kind);
absl::StatusOr<OperationKind> FromProto(proto::v1::OperationKind kind);

}  // namespace agentos

#endif  // AGENTOS_PROTO_COMPLETION_CONVERSION_H_
