// A ring of liburing and nothing around it: what the floors are written with. Everything that runs per operation is inline, so
// that a floor costs what it would cost by hand.
//
// Thread rule: one thread, the one that made it.

#ifndef AGENTOS_BENCHMARKS_FLOOR_RING_H_
#define AGENTOS_BENCHMARKS_FLOOR_RING_H_

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <string>

#include "benchmark/benchmark.h"

namespace agentos::bench {

enum class RingFlags {
  kDefault,
  // IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_DEFER_TASKRUN and a registered ring fd.
  kDeferTaskrun,
};
inline constexpr RingFlags kAllRingFlags[] = {RingFlags::kDeferTaskrun, RingFlags::kDefault};

std::string RingFlagsName(RingFlags flags);

// Whether this kernel lets us make a ring at all; without one there is no floor.
bool FloorAvailable();

class FloorRing {
 public:
  // Null, and the state skipped with the cause, when the kernel refuses.
  static std::unique_ptr<FloorRing> Create(benchmark::State& state, unsigned entries, RingFlags flags);

  FloorRing(const FloorRing&) = delete;
  FloorRing& operator=(const FloorRing&) = delete;
  ~FloorRing();

  io_uring* get() { return &ring_; }

  // The caller never asks for more than the ring has entries between two submissions.
  io_uring_sqe* NextSqe() { return io_uring_get_sqe(&ring_); }

  // Submits what was prepared, waits until `count` completions are there, and gives all that are there to `consume`.
  template <typename Consume>
  unsigned SubmitAndConsume(unsigned count, Consume consume) {
    io_uring_submit_and_wait(&ring_, count);
    unsigned head;
    unsigned seen = 0;
    io_uring_cqe* cqe;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      consume(cqe->user_data, cqe->res);
      ++seen;
    }
    io_uring_cq_advance(&ring_, seen);
    return seen;
  }

 private:
  FloorRing() = default;

  // 0 or -errno.
  int Init(unsigned entries, RingFlags flags);

  io_uring ring_ = {};
  bool made_ = false;
};

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_FLOOR_RING_H_
