// Sums of a trace as a table: how often, how many failed, how much, and how long, by operation, process, descriptor or path.
//
//     calls  errors  cancelled       bytes   total     min    mean     p50     p90     p99     max  operation
//
// Latencies are from submission to end, percentiles within one eighth. Memory is bounded: of more than 4,000 groups those that come
// later are one, "(others)".
//
// Thread rule, lifetime, errors: those of trace_exporter.h. Everything is written by End.
//
//   auto summary = MakeTraceSummary(&out, {.by = SummaryBy::kOperation, .histogram = true});

#ifndef AGENTOS_TOOLS_TRACE_SUMMARY_H_
#define AGENTOS_TOOLS_TRACE_SUMMARY_H_

#include <cstdint>
#include <memory>

#include "agentos/tools/trace_exporter.h"
#include "google/protobuf/io/zero_copy_stream.h"

namespace agentos {

enum class SummaryBy : uint8_t { kOperation, kPid, kFd, kPath };

struct SummaryOptions {
  SummaryBy by = SummaryBy::kOperation;
  // The table.
  bool table = true;
  // How many took how long, for each group: a line per power of two.
  bool histogram = false;
};

std::unique_ptr<TraceExporter> MakeTraceSummary(google::protobuf::io::ZeroCopyOutputStream* out, SummaryOptions options = {});

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_SUMMARY_H_
