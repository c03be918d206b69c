// A trace of any length as so much as fits a page: sums and distributions of everything, and some of its operations in full.
//
// What is kept in full: the slowest operations; of the rest some that failed and some that did not, each drawn with the same
// chance; and what never ended. The draw is the same whenever the trace is.
//
// Memory grows with the number of processes only.
//
// Thread rule: a value, one thread at a time.
//
//   TraceDigest digest;
//   for (TraceItem item; *stream->Next(item);) digest.Add(item);
//   for (const TraceDigest::Kept& kept : digest.KeptOperations()) ...

#ifndef AGENTOS_TOOLS_TRACE_DIGEST_H_
#define AGENTOS_TOOLS_TRACE_DIGEST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agentos/proto/trace.pb.h"
#include "agentos/ring/latency_histogram.h"
#include "agentos/tools/depth_over_time.h"
#include "agentos/tools/trace_item.h"

namespace agentos {

class TraceDigest {
 public:
  enum class Outcome : uint8_t { kSuccess, kFailed, kCancelled, kNeverEnded };

  struct Limits {
    size_t slowest = 4'000;
    size_t failed = 4'000;
    size_t others = 12'000;
    size_t never_ended = 1'000;
  };

  struct Kept {
    int64_t queued_ns = 0;
    // -1 when nobody knows.
    int64_t waited_ns = -1;
    // From its submission to its end; of what never ended, to the end of the trace.
    int64_t total_ns = 0;
    size_t file = 0;
    uint32_t pid = 0;
    uint64_t seq = 0;
    Outcome outcome = Outcome::kSuccess;
    // Number of its kind in kinds().
    int kind = 0;
    // Shortened where they are very long.
    std::string target;
    std::string result;
  };

  // Counts by length: four steps per power of two, step n beginning at 2^(n / 4) * (1 + n % 4 / 4) ns.
  using Lengths = std::array<uint64_t, 256>;

  // What all operations of a name have in common; what has not ended is only counted.
  struct Kind {
    std::string name;
    uint64_t calls = 0;
    uint64_t failed = 0;
    uint64_t cancelled = 0;
    uint64_t never_ended = 0;
    uint64_t bytes = 0;
    double total_ns = 0;
    double waited_ns = 0;
    LatencyHistogram latency;
    Lengths total_lengths{};
    Lengths waited_lengths{};
    Lengths took_lengths{};
  };

  struct Sums {
    uint64_t operations = 0;
    // Ends without a beginning.
    uint64_t beginnings_lost = 0;
    uint64_t lost_submissions = 0;
    uint64_t lost_completions = 0;
    uint64_t lost_others = 0;
    uint64_t dropped = 0;
    uint64_t refused = 0;
    uint64_t unknown_records = 0;
    uint64_t damages = 0;
    uint64_t damaged_bytes = 0;
  };

  TraceDigest() : TraceDigest(Limits()) {}
  explicit TraceDigest(Limits limits) : limits_(limits) {}

  void Add(const TraceItem& item);

  // By their numbers.
  const std::map<int, Kind>& kinds() const { return kinds_; }
  const Sums& sums() const { return sums_; }
  const LatencyHistogram& latency() const { return latency_; }
  const DepthOverTime& depth() const { return depth_; }
  // The first ones, at most 100 of each.
  const std::vector<proto::v1::TraceHeader>& headers() const { return headers_; }
  const std::vector<TraceDamage>& damages() const { return damages_; }
  // How many processes had operations.
  uint64_t processes() const { return processes_.size(); }

  // From the first to the last that happened; 0 and 0 of an empty trace.
  int64_t first_ns() const { return first_ns_.value_or(0); }
  int64_t last_ns() const { return last_ns_.value_or(0); }

  // The slowest come first, the slowest of all before the others; the rest is in no order.
  std::vector<Kept> KeptOperations() const;
  // How many of them are the slowest of all.
  size_t kept_slowest() const { return slowest_.size(); }

 private:
  // A draw of at most so many out of all that were offered.
  struct Draw {
    uint64_t offered = 0;
    std::vector<Kept> drawn;
  };

  void AddItem(const proto::v1::TraceHeader& header);
  void AddItem(const TracedOperation& operation);
  void AddItem(const TraceRingEvent& event);
  void AddItem(const TraceDrop& drop);
  void AddItem(const TraceRefusal& refusal);
  void AddItem(const TraceLoss& loss);
  void AddItem(const TraceDamage& damage);
  void AddItem(const TraceUnknown& unknown);

  void Saw(int64_t time_ns);
  void Keep(const TracedOperation& operation, int64_t total_ns);
  // Where the next one that is offered goes; nullopt when it is not drawn.
  std::optional<size_t> Place(Draw& draw, size_t limit);
  static Kept KeptOf(const TracedOperation& operation, int64_t total_ns);

  const Limits limits_;
  std::map<int, Kind> kinds_;
  Sums sums_;
  LatencyHistogram latency_;
  DepthOverTime depth_{1024};
  std::vector<proto::v1::TraceHeader> headers_;
  std::vector<TraceDamage> damages_;
  std::set<std::pair<size_t, uint32_t>> processes_;
  std::optional<int64_t> first_ns_;
  std::optional<int64_t> last_ns_;
  // A heap whose first is the fastest.
  std::vector<Kept> slowest_;
  Draw failed_;
  Draw others_;
  Draw never_ended_;
  std::mt19937_64 random_;
};

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_DIGEST_H_
