// What an operation was asked for and what came of it, as names and values: for formats that list them.
//
// Everything is read off the message's own description, so an operation that is added to entry.proto needs no word here.
//
// Thread rule: pure functions.
// Errors: none; every operation has an output, however strange the trace that it is from.
//
//   for (const OperationDetail& detail : OperandsOf(operation.entry)) Print(detail.name, detail.value);

#ifndef AGENTOS_TOOLS_OPERATION_DETAILS_H_
#define AGENTOS_TOOLS_OPERATION_DETAILS_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "agentos/proto/entry.pb.h"
#include "agentos/tools/trace_item.h"

namespace agentos {

struct OperationDetail {
  std::string name;
  // Text is UTF-8 as ToUtf8 makes it.
  std::variant<bool, int64_t, uint64_t, std::string> value;
};

// "ReadFile", as agentos/ring/operation.h has it; "Unknown" when the entry holds no operation.
std::string OperationNameOf(const proto::v1::Entry& entry);

// What it is about, in a word: a path, "fd 5", an address, "pid 7"; "" for one that is about nothing.
std::string TargetOf(const proto::v1::Entry& entry);

// The operands, then the modifiers that are set. Of a payload: its size, and as text what was kept of it, shortened.
std::vector<OperationDetail> OperandsOf(const proto::v1::Entry& entry);

// Whether the value of its success is a number of bytes that were read, written, sent or received.
bool MovesBytes(const proto::v1::Entry& entry);

// "ENOENT"; "errno 4711" when the system has no name for it.
std::string ErrnoNameOf(int error_number);

// "4096", "ENOENT", "cancelled" or "never ended".
std::string ResultOf(const TracedOperation& operation);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_OPERATION_DETAILS_H_
