// Writes a trace in Chrome's JSON format, which Perfetto's and Chrome's own viewer load.
//
// Times count from the recording's beginning, in microseconds with three decimals, because readers keep them as doubles; the
// clocks at that moment stand in otherData. Slices are complete events ("X"), marks instant ones ("i"), depths counters ("C") and
// links flow events ("s" to "f").
// Source: "Trace Event Format", the specification of the Catapult project.
//
// Thread rule, lifetime, errors: those of trace_exporter.h.
//
//   std::unique_ptr<TraceExporter> exporter = MakeChromeExporter(&out);

#ifndef AGENTOS_TOOLS_CHROME_EXPORT_H_
#define AGENTOS_TOOLS_CHROME_EXPORT_H_

#include <memory>

#include "agentos/tools/trace_exporter.h"
#include "google/protobuf/io/zero_copy_stream.h"

namespace agentos {

std::unique_ptr<TraceExporter> MakeChromeExporter(google::protobuf::io::ZeroCopyOutputStream* out);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_CHROME_EXPORT_H_
