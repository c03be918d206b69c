// What a manager records of its operations, and where.
//
// The environment variable AGENTOS_URING_TRACE=/path/file turns on a stream to that file for a program that nobody wants to rebuild;
// it wins over `mode` and `path`. All else is as the options say, so what the program keeps private stays private. Where the path is
// another recording's (of this process or another one), a number is put behind it: /path/file-2.
//
//   IoUringManagerOptions options;
//   options.trace.mode = TraceMode::kFlightRecorder;
//   options.trace.path = "/var/tmp/agent.%p.trace";
//   options.trace.dump_signal = SIGUSR2;

#ifndef AGENTOS_MANAGER_TRACE_OPTIONS_H_
#define AGENTOS_MANAGER_TRACE_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace agentos {

enum class TraceMode : uint8_t {
  kOff,
  // Everything goes to the file.
  kStream,
  // The last records are kept in memory and written to the file when somebody wants them.
  kFlightRecorder,
};

struct TraceOptions {
  // The most bytes of one operation's payload that a record holds.
  static constexpr size_t kMostPayloadBytes = 48 * 1024;

  TraceMode mode = TraceMode::kOff;
  // "%p" in it becomes the host's process id. A file that is there is overwritten; only its owner may read what is recorded.
  std::string path;
  // How much is kept of what an operation writes or reads: 0 is nothing, kMostPayloadBytes as much as there can be.
  size_t payload_bytes = 0;
  // Names in paths become numbers (path_redactor.h), and the program's own path is left out.
  bool redact_paths = false;
  // A file that has so many bytes is renamed to <path>.1 and another one begun; 0 is no limit, else at least 131,072.
  uint64_t max_file_bytes = 0;
  // How many such older files there are at most: <path>.1 is the youngest. Of a flight recorder: how many older dumps.
  size_t keep = 1;
  // Of a flight recorder: how many records are kept at least, 40 to 60 bytes each without payload.
  size_t flight_records = 100'000;
  // Of a flight recorder: the number of a signal that writes them out; 0 is none. The signal must have no handler.
  int dump_signal = 0;
  // Of a flight recorder: an operation that takes longer, from its acceptance on, writes them out. After that, not before half of
  // `flight_records` are there again.
  absl::Duration dump_when_slower = absl::InfiniteDuration();
  // The memory between each thread that calls and the one that writes; what does not fit is lost, and counted. From 65,536 to
  // 1,073,741,824.
  size_t thread_buffer_bytes = 4 << 20;

  // InvalidArgument names the field.
  absl::Status Validate() const;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TRACE_OPTIONS_H_
