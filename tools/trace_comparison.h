// Finds what is different between two traces of the same workload: results that changed, operations that became slower, that are
// new, and that are gone.
//
// Operations are the same when process, operation and what it is about (path, descriptor or address, see TargetOf) are the same, and
// they were submitted in the same order: the third read of fd 5 is compared with the third. How long operations take is compared by medians
// of all with the same operation and target, because single ones differ in any two runs.
//
// Memory grows with the traces up to a limit; what lies beyond it is counted and not compared.
//
// Thread rule: values, one thread at a time.
//
//   TraceProfile before, after;
//   for (...) before.Add(item);
//   for (...) after.Add(item);
//   TraceDifferences differences = Compare(before, after, {});

#ifndef AGENTOS_TOOLS_TRACE_COMPARISON_H_
#define AGENTOS_TOOLS_TRACE_COMPARISON_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agentos/tools/trace_item.h"

namespace agentos {

struct ComparisonOptions {
  // Slower is what takes so many times as long, and so much longer, each of both traces having at least so many of it.
  double slower_ratio = 2;
  int64_t slower_by_ns = 100'000;
  size_t slower_min_calls = 5;
  bool compare_times = true;
};

class TraceProfile {
 public:
  // What operations are the same by.
  struct Key {
    uint32_t pid = 0;
    std::string operation;
    std::string target;

    friend auto operator<=>(const Key&, const Key&) = default;
  };

  struct Occurrence {
    int64_t queued_ns = 0;
    uint64_t seq = 0;
    int64_t value = 0;
    // -1 when it has not ended.
    int64_t total_ns = -1;
    int32_t error_number = 0;
    bool cancelled = false;
  };

  struct Occurrences {
    uint64_t count = 0;
    // What a success returns is a new descriptor, whose number means nothing.
    bool returns_descriptor = false;
    // The first ones, in no order.
    std::vector<Occurrence> kept;
  };

  // `ignore_pids`: processes are taken for one. At most `max_kept` operations are compared one by one.
  explicit TraceProfile(bool ignore_pids = false, size_t max_kept = 2'000'000) : ignore_pids_(ignore_pids), max_kept_(max_kept) {}

  void Add(const TraceItem& item);

  const std::map<Key, Occurrences>& occurrences() const { return occurrences_; }
  uint64_t operations() const { return operations_; }
  // Operations that were not kept because there were too many.
  uint64_t beyond_limit() const { return operations_ - kept_; }
  bool ignores_pids() const { return ignore_pids_; }
  // Whether something is missing, so that what seems gone or new may not be: records lost or damaged, beginnings unknown.
  bool is_complete() const { return is_complete_; }

 private:
  void AddOperation(const TracedOperation& operation);

  bool ignore_pids_;
  size_t max_kept_;
  std::map<Key, Occurrences> occurrences_;
  uint64_t operations_ = 0;
  uint64_t kept_ = 0;
  bool is_complete_ = true;
};

struct TraceDifferences {
  struct Changed {
    TraceProfile::Key key;
    // "4096", "ENOENT", "cancelled", "never ended"; "a descriptor".
    std::string from;
    std::string to;
    // How many changed that way, of how many that both traces have, and the first of them, from 1.
    uint64_t count = 0;
    uint64_t of = 0;
    uint64_t first = 0;
  };

  // All processes together; the pid is 0.
  struct Slower {
    TraceProfile::Key key;
    int64_t median_before_ns = 0;
    int64_t median_after_ns = 0;
    uint64_t calls_before = 0;
    uint64_t calls_after = 0;
  };

  struct Counted {
    TraceProfile::Key key;
    uint64_t before = 0;
    uint64_t after = 0;
  };

  // The largest differences first.
  std::vector<Changed> changed;
  std::vector<Slower> slower;
  // More of them than before, or fewer.
  std::vector<Counted> appeared;
  std::vector<Counted> vanished;

  bool empty() const { return changed.empty() && slower.empty() && appeared.empty() && vanished.empty(); }
};

TraceDifferences Compare(const TraceProfile& before, const TraceProfile& after, const ComparisonOptions& options);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_COMPARISON_H_
