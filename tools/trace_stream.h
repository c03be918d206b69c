// What happened in a recording, one thing after the other: the records of one or several trace files, with the halves of each
// operation brought together and times made absolute.
//
// The files of one recording (path, path.1, ...) are read in their order. Several recordings are merged by time.
//
// Memory does not grow with the files: what is kept is the operations that are under way at the place that is being read, at most a
// million; of more, the oldest come out as never ended.
//
// Damage costs the block that it hits and is an item where it was found; reading goes on behind it.
//
// Thread rule: one thread at a time.
// Lifetime: an item is the caller's.
// Errors: a Status when nothing can be read (no such file, a directory, no trace file, a newer major version), naming the path and
// the remedy. Everything else is an item.
//
//   auto stream = TraceStream::Open({"/tmp/a.trace"});
//   for (TraceItem item; *(*stream)->Next(item);) {
//     if (const auto* operation = std::get_if<TracedOperation>(&item)) ...
//   }

#ifndef AGENTOS_TOOLS_TRACE_STREAM_H_
#define AGENTOS_TOOLS_TRACE_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/tools/trace_blocks.h"
#include "agentos/tools/trace_item.h"
#include "agentos/tools/trace_recording.h"

namespace agentos {

struct TraceStreamOptions {
  // Does not end: waits for what is written next, until this answers true. It is asked at least ten times a second.
  std::function<bool()> follow_until = nullptr;
};

class TraceStream {
 public:
  // "-" is the standard input.
  static absl::StatusOr<std::unique_ptr<TraceStream>> Open(const std::vector<std::string>& paths,
                                                           TraceStreamOptions options = {});

  // False at the end.
  absl::StatusOr<bool> Next(TraceItem& item);

  // How far it is, for showing progress: bytes read of bytes there are. 0 of 0 when nobody knows.
  uint64_t bytes_read() const;
  uint64_t bytes() const;

 private:
  explicit TraceStream(TraceStreamOptions options) : options_(std::move(options)) {}

  // Of one recording, what comes next.
  struct Source {
    std::unique_ptr<TraceRecording> recording;
    TraceItem next;
    int64_t time_ns = 0;
    bool has_next = false;
    bool has_ended = false;
  };

  absl::Status Fill(Source& source);

  TraceStreamOptions options_;
  std::vector<Source> sources_;
};

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_STREAM_H_
