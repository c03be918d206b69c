// What a manager has done since it was made.
//
// Thread rule: a plain value, a snapshot. Totals outlive the rings they were counted on.

#ifndef AGENTOS_MANAGER_IO_URING_STATS_H_
#define AGENTOS_MANAGER_IO_URING_STATS_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "agentos/ring/operation.h"

namespace agentos {

struct IoUringStats {
  // Rings that exist now.
  uint64_t active_rings = 0;
  // Entries accepted.
  uint64_t total_submissions = 0;
  // Completions placed in a ring, whether reaped, dropped or neither yet; errors and cancelled ones too.
  uint64_t total_completions = 0;
  // Completions of multishot entries beside their last ones: those with `more`, which total_completions leaves out.
  uint64_t multishot_completions = 0;
  // Times that RecvMany found all memory that the kernel may choose from taken, and had to be given more.
  uint64_t receive_buffer_exhaustions = 0;
  // Sends that the kernel was to do without a copy, and those of them that it says it copied all the same.
  uint64_t zero_copy_sends = 0;
  uint64_t zero_copy_copied = 0;
  // Entries under way: accepted, not completed.
  uint64_t pending = 0;
  // Completions that were errors.
  uint64_t errors = 0;
  // Completions that were cancelled.
  uint64_t cancelled = 0;
  // Completions that a full completion queue gave up.
  uint64_t dropped = 0;
  // Entries that were refused.
  uint64_t rejected = 0;
  // Bytes that completed entries moved, both ways.
  uint64_t bytes = 0;
  // io_uring_enter(2) calls made; total_submissions / kernel_entries is how well batching works. On threads: how often entries
  // were handed over or waited for.
  uint64_t kernel_entries = 0;
  // Completions per operation, indexed by OperationKind.
  std::array<uint64_t, kOperationKinds> completions_by_operation{};

  // Time from acceptance to completion, over all completions so far. Each is the upper edge of a histogram bucket, at most 1/8
  // above the true value; zero when nothing has completed.
  absl::Duration latency_p50;
  absl::Duration latency_p90;
  absl::Duration latency_p99;
  absl::Duration latency_p999;
  absl::Duration latency_max;

  // A table a person can read.
  std::string ToString() const;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_IO_URING_STATS_H_
