#include "agentos/benchmarks/receive_buffers.h"

#include <cstdlib>
#include <cstring>

namespace agentos::bench {
namespace {

constexpr size_t kPage = 4096;

void* WarmPages(size_t bytes) {
  const size_t whole = (bytes + kPage - 1) / kPage * kPage;
  return std::memset(std::aligned_alloc(kPage, whole), 0, whole);
}

}  // namespace

ReceiveBuffers::ReceiveBuffers(unsigned count, unsigned size)
    : count_(count),
      size_(size),
      ring_(static_cast<io_uring_buf_ring*>(WarmPages(count * sizeof(io_uring_buf)))),
      data_(static_cast<char*>(WarmPages(size_t{count} * size))) {
  io_uring_buf_ring_init(ring_);
}

ReceiveBuffers::~ReceiveBuffers() {
  std::free(ring_);
  std::free(data_);
}

int ReceiveBuffers::Register(io_uring* ring) {
  io_uring_buf_reg registration = {};
  registration.ring_addr = reinterpret_cast<uintptr_t>(ring_);
  registration.ring_entries = count_;
  registration.bgid = kGroup;
  const int result = io_uring_register_buf_ring(ring, &registration, 0);
  if (result != 0) return result;
  for (unsigned id = 0; id < count_; ++id) GiveBack(id);
  Publish();
  return 0;
}

}  // namespace agentos::bench
