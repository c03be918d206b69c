// CLOCK_MONOTONIC in nanoseconds: the clock of every deadline, latency and record.
//
// Thread rule: any thread.

#ifndef AGENTOS_RING_MONOTONIC_CLOCK_H_
#define AGENTOS_RING_MONOTONIC_CLOCK_H_

#include <cstdint>
#include <ctime>

namespace agentos {

inline int64_t MonotonicNanos() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace agentos

#endif  // AGENTOS_RING_MONOTONIC_CLOCK_H_
