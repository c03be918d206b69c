// Whether an entry may be accepted: the checks that need nothing but the entry.
//
// What the kernel alone can tell (an fd that is closed or of the wrong kind, a path that does not exist) is not asked here: it
// comes back as the errno of an error completion.
//
// Thread rule: a pure function.
// Errors: InvalidArgument with a message that names the operation, the field, its value and what is allowed.
//
//   absl::Status status = ValidateEntry(pid, entry);
//   // "Read.offset is -7: it must be -1 (the file's own position) or ..."

#ifndef AGENTOS_RING_ENTRY_VALIDATION_H_
#define AGENTOS_RING_ENTRY_VALIDATION_H_

#include "absl/status/status.h"
#include "agentos/ring/submission_entry.h"
#include "agentos/ring/types.h"

namespace agentos {

// `pid` is the process that the call names: the entry must name the same one.
absl::Status ValidateEntry(Pid pid, const SyscallSubmissionEntry& entry);

}  // namespace agentos

#endif  // AGENTOS_RING_ENTRY_VALIDATION_H_
