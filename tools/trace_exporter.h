// Writes a trace in another format: takes what TraceStream hands out, one item after the other, and writes bytes.
//
// Memory is bounded: it does not grow with the number of items.
//
// Thread rule: one thread at a time.
// Lifetime: the output outlives the exporter. What is written lies complete in the output's buffers after End, not before; an
// exporter that is destroyed without it leaves an incomplete file.
// Errors: Unavailable when the output takes no more bytes; its owner knows why (FileOutputStream::GetErrno()). What an item holds
// is never an error, however strange it is.
//
//   google::protobuf::io::FileOutputStream out(STDOUT_FILENO);
//   std::unique_ptr<TraceExporter> exporter = MakeChromeExporter(&out);
//   absl::Status status = exporter->Begin();
//   for (TraceItem item; status.ok() && *stream->Next(item);) status = exporter->Add(item);
//   if (status.ok()) status = exporter->End();
//   if (!status.ok() || !out.Flush()) ...

#ifndef AGENTOS_TOOLS_TRACE_EXPORTER_H_
#define AGENTOS_TOOLS_TRACE_EXPORTER_H_

#include "absl/status/status.h"
#include "agentos/tools/trace_item.h"

namespace agentos {

class TraceExporter {
 public:
  virtual ~TraceExporter() = default;

  // Once, before anything else.
  virtual absl::Status Begin() = 0;
  virtual absl::Status Add(const TraceItem& item) = 0;
  // Once, after everything else.
  virtual absl::Status End() = 0;
  // What has been written so far lies complete in the output's buffers, for outputs that are read while they grow. Those that are
  // written by End have nothing to do.
  virtual void Flush() {}
};

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_EXPORTER_H_
