// Writes a trace in Perfetto's own format, protocol buffers, which ui.perfetto.dev and trace_processor load.
//
// Times are CLOCK_MONOTONIC, as recorded; a snapshot of the clocks turns them into dates. A process is a process track; its lanes
// are tracks below it that have the same name, which the viewer draws as one.
//
// What is written for different recordings can be joined with cat: track numbers are made from the recording.
// Source: the messages of perfetto/trace/trace_packet.proto and track_event/*.proto; perfetto.proto holds what we use of them.
//
// Thread rule, lifetime, errors: those of trace_exporter.h.
//
//   std::unique_ptr<TraceExporter> exporter = MakePerfettoExporter(&out);

#ifndef AGENTOS_TOOLS_PERFETTO_EXPORT_H_
#define AGENTOS_TOOLS_PERFETTO_EXPORT_H_

#include <memory>

#include "agentos/tools/trace_exporter.h"
#include "google/protobuf/io/zero_copy_stream.h"

namespace agentos {

std::unique_ptr<TraceExporter> MakePerfettoExporter(google::protobuf::io::ZeroCopyOutputStream* out);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_PERFETTO_EXPORT_H_
