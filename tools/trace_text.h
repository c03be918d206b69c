// Writes a trace as lines, one for each operation, as strace does:
//
//     0.000123  pid 7 #1   Open("/etc/hostname", O_RDONLY|O_CLOEXEC, 0) = fd 5  <12.3us>
//     0.000130  pid 7 #2   Read(fd 5, 4096, at 0) = 12 bytes  <3us + 4.1us>
//
// Time, process, sequence number; what was asked, flags by their names; what came of it; and how long it took, the wait for its turn
// apart from the work. Operations that are linked have a bracket before them. What is no operation (rings, losses, damage) is a line
// that begins with #.
//
// Lines come in the order in which operations were submitted, as far as a window of 4,096 allows. Nothing that a trace holds reaches
// a terminal as a control character.
//
// Thread rule, lifetime, errors: those of trace_exporter.h.
//
//   auto text = MakeTraceText(&out, {.colour = true, .width = 120});

#ifndef AGENTOS_TOOLS_TRACE_TEXT_H_
#define AGENTOS_TOOLS_TRACE_TEXT_H_

#include <cstddef>
#include <memory>

#include "agentos/tools/trace_exporter.h"
#include "google/protobuf/io/zero_copy_stream.h"

namespace agentos {

struct TraceTextOptions {
  bool colour = false;
  // Longer lines are cut, 0 is no limit.
  size_t width = 0;
  // Local date and time instead of seconds since the trace began.
  bool absolute_times = false;
  // How many operations are held back so that they come in order.
  size_t window = 4096;
};

std::unique_ptr<TraceExporter> MakeTraceText(google::protobuf::io::ZeroCopyOutputStream* out, TraceTextOptions options = {});

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_TEXT_H_
