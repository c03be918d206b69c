#include "agentos/benchmarks/floor_ring.h"

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "agentos/benchmarks/bench_environment.h"

namespace agentos::bench {
std::string RingFlagsName(RingFlags flags) { return flags == RingFlags::kDefault ? "default_flags" : "defer_taskrun"; }

bool FloorAvailable() {
  io_uring ring = {};
  if (io_uring_queue_init(8, &ring, 0) < 0) return false;
  io_uring_queue_exit(&ring);
  return true;
}

std::unique_ptr<FloorRing> FloorRing::Create(benchmark::State& state, unsigned entries, RingFlags flags) {
  std::unique_ptr<FloorRing> ring(new FloorRing);
  const int result = RetryWhileOutOfMemory([&] { return ring->Init(entries, flags); }, [](int made) { return made == -ENOMEM; });
  if (result == 0) return ring;
  state.SkipWithError((std::string("io_uring_setup: ") + std::strerror(-result)).c_str());
  return nullptr;
}

FloorRing::~FloorRing() {
  if (made_) io_uring_queue_exit(&ring_);
}

int FloorRing::Init(unsigned entries, RingFlags flags) {
  io_uring_params params = {};
  if (flags == RingFlags::kDeferTaskrun) params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  const int result = io_uring_queue_init_params(entries, &ring_, &params);
  if (result < 0) return result;
  made_ = true;
  if (flags == RingFlags::kDefault) return 0;
  const int registered = io_uring_register_ring_fd(&ring_);
  return registered < 0 ? registered : 0;
}

}  // namespace agentos::bench
