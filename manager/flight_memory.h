// The last records of a trace, in memory: what a flight recorder keeps until somebody wants to know what happened.
//
// Records are forgotten by whole blocks of 64 KiB, so that at least as many as asked for are there, and up to a block more.
//
// Thread rule: one thread at a time.
// Errors: WriteTo's are those of TraceFileWriter; what was not written is still there.
//
//   FlightMemory memory(100'000, now_ns);
//   memory.Append(encode, {.submissions = 1}, now_ns);
//   memory.WriteTo({.path = "/tmp/flight.trace"}, header, now_ns);

#ifndef AGENTOS_MANAGER_FLIGHT_MEMORY_H_
#define AGENTOS_MANAGER_FLIGHT_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "absl/status/status.h"
#include "agentos/manager/trace_block.h"
#include "agentos/manager/trace_counts.h"
#include "agentos/manager/trace_file_writer.h"
#include "agentos/manager/trace_sink.h"

namespace agentos {

class FlightMemory final : public TraceSink {
 public:
  FlightMemory(size_t records, uint64_t now_ns);

  absl::Status Append(Encode encode, const TraceCounts& counts, uint64_t now_ns) override;
  absl::Status AppendLoss(const TraceCounts& lost, uint64_t now_ns) override;

  // Writes all that is there to a file of its own and forgets it. Older files are kept as TraceFileOptions::keep says.
  absl::Status WriteTo(const TraceFileOptions& options, const std::string& header, uint64_t now_ns);

  size_t records() const { return finished_records_ + current_.records(); }
  // What there is no memory of any more, without ever having been written.
  const TraceCounts& forgotten() const { return forgotten_; }

 private:
  struct Block {
    std::string bytes;
    size_t records;
    TraceCounts counts;
  };

  void FinishBlock(uint64_t now_ns);
  void ForgetOldest();

  const size_t wanted_;
  std::deque<Block> finished_;
  size_t finished_records_ = 0;
  TraceBlockBuilder current_;
  TraceCounts current_counts_;
  TraceCounts forgotten_;
  std::string record_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_FLIGHT_MEMORY_H_
