// How much of a recording is meant: of what was lost, or of what a block holds.
//
// Every operation is submitted once and completes once (a multishot one completes many times), so that what was recorded and what
// was lost add up to what the manager counted.
//
// Thread rule: a value.

#ifndef AGENTOS_MANAGER_TRACE_COUNTS_H_
#define AGENTOS_MANAGER_TRACE_COUNTS_H_

#include <cstdint>

namespace agentos {

struct TraceCounts {
  uint64_t submissions = 0;
  uint64_t completions = 0;
  // Rings made and destroyed, refusals, drops, late starts.
  uint64_t others = 0;

  TraceCounts& operator+=(const TraceCounts& more) {
    submissions += more.submissions;
    completions += more.completions;
    others += more.others;
    return *this;
  }
  TraceCounts& operator-=(const TraceCounts& less) {
    submissions -= less.submissions;
    completions -= less.completions;
    others -= less.others;
    return *this;
  }
  bool operator==(const TraceCounts&) const = default;
  bool any() const { return (submissions | completions | others) != 0; }
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TRACE_COUNTS_H_
