// Writes a trace as one web page: timeline, depth, latency distribution, sums by operation, and the slowest operations.
//
// The page is a single file that loads nothing and can be sent to somebody. Its size is bounded: figures and distributions are of
// the whole trace, the timeline shows what TraceDigest keeps of it, and the page says so. Nothing that the trace holds becomes
// markup or script.
//
// Thread rule, lifetime, errors: those of trace_exporter.h. Everything is written by End.
//
//   std::unique_ptr<TraceExporter> exporter = MakeHtmlReport(&out);

#ifndef AGENTOS_TOOLS_HTML_REPORT_H_
#define AGENTOS_TOOLS_HTML_REPORT_H_

#include <memory>

#include "agentos/tools/trace_exporter.h"
#include "google/protobuf/io/zero_copy_stream.h"

namespace agentos {

std::unique_ptr<TraceExporter> MakeHtmlReport(google::protobuf::io::ZeroCopyOutputStream* out);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_HTML_REPORT_H_
