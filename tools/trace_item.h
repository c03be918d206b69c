// What a trace tells, one thing after the other: what TraceStream hands out and exporters take.
//
// Times are CLOCK_MONOTONIC in nanoseconds. They come from a file and can be anything: sums of them are made with EndOf and the
// like, which do not overflow.
//
// Thread rule: plain values.
//
//   void Count(const TraceItem& item) {
//     if (const auto* operation = std::get_if<TracedOperation>(&item)) ++counts[operation->entry.operation_case()];
//   }

#ifndef AGENTOS_TOOLS_TRACE_ITEM_H_
#define AGENTOS_TOOLS_TRACE_ITEM_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>

#include "agentos/proto/entry.pb.h"
#include "agentos/proto/trace.pb.h"

namespace agentos {

// An operation, as far as the trace tells of it.
struct TracedOperation {
  // What was asked. `entry.operation_case()` is OPERATION_NOT_SET when only the end is in the trace (its beginning was lost, or
  // lies before the first file); pid is always set.
  proto::v1::Entry entry;
  uint64_t seq = 0;
  // Which recording it is from: the place of its first file among the stream's paths, from 0. Files of one recording have one number.
  size_t file = 0;

  // Of an operation whose submission is unknown, the time of its end.
  int64_t queued_ns = 0;
  // How long it waited for its turn; nullopt: it never started, or nobody knows when.
  std::optional<int64_t> waited_ns;
  // From its start to its end; nullopt: it has not ended (or its end was lost).
  std::optional<int64_t> took_ns;

  // True when what follows is known.
  bool ended = false;
  int64_t value = 0;
  // An errno; 0 unless it is an error.
  int error_number = 0;
  bool cancelled = false;
  // Of an operation that completes many times: this is not its last completion.
  bool more = false;
  // What was read or received: payload.size() is how much there was, payload.data() what was kept of it.
  proto::v1::Payload payload;
  std::string peer_address;
};

struct TraceRingEvent {
  // Otherwise it was destroyed.
  bool created = false;
  uint32_t pid = 0;
  int64_t time_ns = 0;
  uint64_t sq_size = 0;
  uint64_t cq_size = 0;
  size_t file = 0;
};

// A completion that nobody reaped was dropped for a newer one.
struct TraceDrop {
  uint32_t pid = 0;
  uint64_t seq = 0;
  int64_t time_ns = 0;
  size_t file = 0;
};

// Entries that were not accepted.
struct TraceRefusal {
  uint32_t pid = 0;
  uint64_t entries = 0;
  // The absl::StatusCode.
  int code = 0;
  int64_t time_ns = 0;
  size_t file = 0;
};

// What the recorder says that it lost.
struct TraceLoss {
  uint64_t submissions = 0;
  uint64_t completions = 0;
  uint64_t others = 0;
  int64_t time_ns = 0;
  size_t file = 0;
};

// A block that cannot be read, or that is not there.
struct TraceDamage {
  std::string path;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  // In words: "its checksum is wrong", "3 blocks are missing", "the file ends within it".
  std::string what;
  size_t file = 0;
};

// A record of a kind that this version does not know, or fields of a newer minor version, as protobuf's text format.
struct TraceUnknown {
  std::string text;
  size_t file = 0;
};

using TraceItem = std::variant<proto::v1::TraceHeader, TracedOperation, TraceRingEvent, TraceDrop, TraceRefusal, TraceLoss,
                               TraceDamage, TraceUnknown>;

// The moment `duration_ns` after `time_ns`, or the last one that there is. A negative duration is none.
inline int64_t After(int64_t time_ns, int64_t duration_ns) {
  if (duration_ns <= 0) return time_ns;
  if (time_ns > std::numeric_limits<int64_t>::max() - duration_ns) return std::numeric_limits<int64_t>::max();
  return time_ns + duration_ns;
}

// The moment that lies `offset_ns` from `time_ns`, before it when that is negative; the first or the last one that there is.
inline int64_t Shifted(int64_t time_ns, int64_t offset_ns) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(time_ns, offset_ns, &sum)) return sum;
  return offset_ns < 0 ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
}

// How long after `begin_ns` the moment `time_ns` is; negative when it is before it.
inline int64_t Since(int64_t begin_ns, int64_t time_ns) {
  int64_t difference = 0;
  if (!__builtin_sub_overflow(time_ns, begin_ns, &difference)) return difference;
  return time_ns < begin_ns ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
}

// When it started, or its beginning when that is unknown.
inline int64_t StartOf(const TracedOperation& operation) { return After(operation.queued_ns, operation.waited_ns.value_or(0)); }

// When it ended, or its start when that is unknown.
inline int64_t EndOf(const TracedOperation& operation) { return After(StartOf(operation), operation.took_ns.value_or(0)); }

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_ITEM_H_
