#include "agentos/manager/trace_options.h"

#include <signal.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "agentos/manager/trace_block.h"

namespace agentos {

namespace {

absl::Status CheckRange(absl::string_view field, uint64_t value, uint64_t least, uint64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("TraceOptions.", field, " is ", value, ": it must be from ", least, " to ", most));
}

}  // namespace

absl::Status TraceOptions::Validate() const {
  if (mode == TraceMode::kOff) return absl::OkStatus();
  if (mode != TraceMode::kStream && mode != TraceMode::kFlightRecorder) {
    return absl::InvalidArgumentError(absl::StrCat("TraceOptions.mode is ", static_cast<int>(mode), ": there is no such mode"));
  }
  if (path.empty()) return absl::InvalidArgumentError("TraceOptions.path is empty: it must name the file to write");
  if (absl::Status s = CheckRange("payload_bytes", payload_bytes, 0, kMostPayloadBytes); !s.ok()) return s;
  if (max_file_bytes != 0) {
    constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
    if (absl::Status s = CheckRange("max_file_bytes (0 = no limit)", max_file_bytes, 2 * kTraceBlockSize, kMost); !s.ok())
      return s;
  }
  if (absl::Status s = CheckRange("keep", keep, 0, 1000); !s.ok()) return s;
  if (absl::Status s = CheckRange("thread_buffer_bytes", thread_buffer_bytes, 1 << 16, 1 << 30); !s.ok()) return s;
  // Half of it must hold the largest event: two paths, or a path and a payload.
  if (payload_bytes > 0) {
    if (absl::Status s = CheckRange("thread_buffer_bytes, with payload_bytes,", thread_buffer_bytes, 1 << 17, 1 << 30); !s.ok()) {
      return s;
    }
  }
  if (mode == TraceMode::kFlightRecorder) {
    if (absl::Status s = CheckRange("flight_records", flight_records, 1, 1'000'000'000); !s.ok()) return s;
    if (dump_when_slower < absl::ZeroDuration()) {
      return absl::InvalidArgumentError("TraceOptions.dump_when_slower is negative: it must be a time, or InfiniteDuration()");
    }
    return CheckRange("dump_signal (0 = none)", static_cast<uint64_t>(dump_signal), 0, static_cast<uint64_t>(SIGRTMAX));
  }
  if (dump_signal != 0 || dump_when_slower != absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(
        "TraceOptions.dump_signal and dump_when_slower are for TraceMode::kFlightRecorder: a stream writes everything by itself");
  }
  return absl::OkStatus();
}

}  // namespace agentos
