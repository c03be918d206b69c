// A trace for other programs: JSON, CSV, and the records themselves.
//
// JSON: one object a line, always with "type":
// - "header": "format", "os_pid", "program", "kernel", "executor", "began" (seconds since 1970)
// - "operation": "time_ns" (CLOCK_MONOTONIC), "pid", "seq", "user_data", "operation", "arguments" (an object of entry.proto's names),
//   "outcome" ("success", "error", "cancelled", "in flight"), "value", "error" (its name), "waited_ns", "took_ns", "data" (what was
//   kept), "peer_address", "more", "file". What is not known is left out.
// - "ring created", "ring destroyed", "dropped", "refused", "loss", "damage", "unknown": their fields by name
// CSV: a line of names, then one line per operation, quoted as RFC 4180 says: time_ns, pid, seq, user_data, operation, target,
//   outcome, value, error, waited_ns, took_ns.
// proto: agentos.proto.v1.TraceRecord, each after its length as a varint, with times that count from 0: what
//   google::protobuf::util::ParseDelimitedFromZeroCopyStream reads.
//
// Thread rule, lifetime, errors: those of trace_exporter.h.

#ifndef AGENTOS_TOOLS_TRACE_FORMATS_H_
#define AGENTOS_TOOLS_TRACE_FORMATS_H_

#include <memory>

#include "agentos/tools/trace_exporter.h"
#include "google/protobuf/io/zero_copy_stream.h"

namespace agentos {

std::unique_ptr<TraceExporter> MakeJsonLines(google::protobuf::io::ZeroCopyOutputStream* out);
std::unique_ptr<TraceExporter> MakeCsv(google::protobuf::io::ZeroCopyOutputStream* out);
std::unique_ptr<TraceExporter> MakeProtoRecords(google::protobuf::io::ZeroCopyOutputStream* out);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_FORMATS_H_
