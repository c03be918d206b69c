#include "agentos/ipc/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>

#include "agentos/ring/monotonic_clock.h"

namespace agentos {

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t) && std::atomic<uint32_t>::is_always_lock_free);

int64_t DeadlineAfter(absl::Duration timeout) {
  if (timeout <= absl::ZeroDuration()) return 0;
  const int64_t nanos = absl::ToInt64Nanoseconds(timeout);
  const int64_t now = MonotonicNanos();
  return nanos >= kNoDeadline - now ? kNoDeadline : now + nanos;
}

bool FutexWait(std::atomic<uint32_t>& word, uint32_t expected, int64_t deadline) {
  constexpr int64_t kNanosPerSecond = 1'000'000'000;
  const timespec until = {.tv_sec = deadline / kNanosPerSecond, .tv_nsec = deadline % kNanosPerSecond};
  const long result = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, expected, deadline == kNoDeadline ? nullptr : &until, nullptr,
                              FUTEX_BITSET_MATCH_ANY);
  return result == 0 || errno != ETIMEDOUT;
}

void FutexWake(std::atomic<uint32_t>& word) { syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }

}  // namespace agentos
