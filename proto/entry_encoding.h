// An entry's description as bytes, without a message: what a recorder does for every entry while the entry waits.
//
// The bytes are those of a proto::v1::Entry (agentos/proto/entry.proto). Nothing is allocated.
//
// Thread rule: free functions without state.
// Lifetime: the memory is the caller's.
//
//   char memory[...];  // at least MostEncodedBytes(entry, 0)
//   const char* end = EncodeEntry(entry, /*payload_bytes=*/0, memory);

#ifndef AGENTOS_PROTO_ENTRY_ENCODING_H_
#define AGENTOS_PROTO_ENTRY_ENCODING_H_

#include <cstddef>

#include "agentos/ring/submission_entry.h"

namespace agentos {

// What EncodeEntry needs at most.
size_t MostEncodedBytes(const SyscallSubmissionEntry& entry, size_t payload_bytes);

// Writes the description, with at most the first `payload_bytes` of what the entry writes or sends. Answers its end.
char* EncodeEntry(const SyscallSubmissionEntry& entry, size_t payload_bytes, char* to);

}  // namespace agentos

#endif  // AGENTOS_PROTO_ENTRY_ENCODING_H_
