// Sleeping on a word of shared memory, between processes.
//
// Thread rule: any thread.
// Units: deadlines are nanoseconds of CLOCK_MONOTONIC (MonotonicNanos), kNoDeadline for none.
// Errors: none; a wait may end for no reason, so that its caller looks again.
// Source: futex(2), FUTEX_WAIT_BITSET.

#ifndef AGENTOS_IPC_FUTEX_H_
#define AGENTOS_IPC_FUTEX_H_

#include <atomic>
#include <cstdint>
#include <limits>

#include "absl/time/time.h"

namespace agentos {

inline constexpr int64_t kNoDeadline = std::numeric_limits<int64_t>::max();

// The deadline that is `timeout` from now; one that has passed for zero and less.
int64_t DeadlineAfter(absl::Duration timeout);

// Sleeps while the word is `expected`. False when the deadline has passed.
bool FutexWait(std::atomic<uint32_t>& word, uint32_t expected, int64_t deadline);

// Wakes all who sleep on the word.
void FutexWake(std::atomic<uint32_t>& word);

}  // namespace agentos

#endif  // AGENTOS_IPC_FUTEX_H_
