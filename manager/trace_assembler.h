// Makes records out of events: brings the two halves of each operation together, whichever threads they happened on, and hands one
// record for both to a sink.
//
// What is still under way when FlushUnderWay is called gets a record of its first half alone, and later one of its second; so does
// an operation that completes many times, and one of which the other half was lost.
//
// Events of one thread come in order; those of several threads are brought in by passes. A thread that hears of an end was, in the
// memory's order, behind the one that heard of the beginning: so an end whose beginning has not come by the end of the next pass has
// none.
//
// Thread rule: one thread at a time.
// Lifetime: the sink outlives it.
//
//   TraceAssembler assembler(sink, /*redactor=*/nullptr);
//   buffer.Drain([&](const char* event, size_t size) { assembler.Add(event, size, now_ns); });
//   assembler.EndPass(now_ns);
//   assembler.FlushUnderWay(now_ns);

#ifndef AGENTOS_MANAGER_TRACE_ASSEMBLER_H_
#define AGENTOS_MANAGER_TRACE_ASSEMBLER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agentos/manager/path_redactor.h"
#include "agentos/manager/trace_counts.h"
#include "agentos/manager/trace_event.h"
#include "agentos/manager/trace_records.h"
#include "agentos/manager/trace_sink.h"

namespace agentos {

// The manager counts an operation that completes many times once, when it has ended.
inline TraceCounts CountOfEnd(bool more) { return {.completions = more ? 0u : 1u, .others = more ? 1u : 0u}; }

class TraceAssembler {
 public:
  // `redactor` may be null.
  TraceAssembler(TraceSink& sink, PathRedactor* redactor) : sink_(sink), redactor_(redactor) {}

  // An event as trace_event.h has them.
  void Add(const char* event, size_t size, uint64_t now_ns);
  // All threads' events so far are in.
  void EndPass(uint64_t now_ns);
  // Records the first halves of what has not ended.
  void FlushUnderWay(uint64_t now_ns);
  // There will be no more passes.
  void Finish(uint64_t now_ns);

  // What was handed to the sink.
  const TraceCounts& recorded() const { return recorded_; }
  // The longest that an operation took since the last call.
  int64_t TakeSlowest();
  // What the sink said first since the last call; it goes on all the same.
  absl::Status TakeError();

 private:
  struct Key {
    Pid pid;
    Seq seq;
    int64_t queued_ns;

    bool operator==(const Key&) const = default;
    template <typename H>
    friend H AbslHashValue(H state, const Key& key) {
      return H::combine(std::move(state), key.pid, key.seq, key.queued_ns);
    }
  };
  struct Begun {
    std::optional<int64_t> waited_ns;
    absl::InlinedVector<char, 48> entry;
  };
  struct Ended {
    RecordedEnd end;
    std::string data;
    std::string peer_address;
    uint64_t pass;

    RecordedEnd Get() const {
      RecordedEnd said = end;
      said.data = data;
      said.peer_address = peer_address;
      return said;
    }
  };

  void AddBegin(const TraceEvent& event, absl::string_view entry, uint64_t now_ns);
  void AddEnd(const TraceEvent& event, const EndEvent& tail, absl::string_view data, absl::string_view peer_address,
              uint64_t now_ns);
  void RecordBegun(const Key& key, const Begun& begun, uint64_t now_ns);
  void RecordEnded(RecordedEnd end, uint64_t now_ns);
  void RecordOperation(const Key& key, const Begun& begun, RecordedEnd end, uint64_t now_ns);
  void RecordDestroyed(Pid pid, int64_t time_ns, uint64_t now_ns);
  RecordedQueued Describe(const Key& key, const Begun& begun);
  // `memory` is what `end` then points to.
  void Redact(RecordedEnd& end, std::string& memory) const;
  void Append(TraceSink::Encode encode, const TraceCounts& counts, uint64_t now_ns);

  TraceSink& sink_;
  PathRedactor* const redactor_;
  absl::flat_hash_map<Key, Begun> begun_;
  // Ends whose beginning has not come.
  absl::flat_hash_map<Key, Ended> ended_;
  // Rings that have gone: said after all of their operations.
  struct Destroyed {
    Pid pid;
    int64_t time_ns;
    uint64_t pass;
  };
  std::vector<Destroyed> destroyed_;
  uint64_t pass_ = 0;
  int64_t slowest_ns_ = 0;
  TraceCounts recorded_;
  absl::Status error_;
  std::string redacted_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TRACE_ASSEMBLER_H_
