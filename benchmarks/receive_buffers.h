// Buffers that the kernel takes by itself for what a multishot receive gets: a ring of provided buffers, by liburing.
//
// Thread rule: one thread, the kernel ring's.
// Lifetime: destroy it after the kernel ring has been.
// Source: io_uring_register_buf_ring(3).

#ifndef AGENTOS_BENCHMARKS_RECEIVE_BUFFERS_H_
#define AGENTOS_BENCHMARKS_RECEIVE_BUFFERS_H_

#include <liburing.h>

#include <cstddef>
#include <cstdint>

namespace agentos::bench {

class ReceiveBuffers {
 public:
  static constexpr uint16_t kGroup = 1;

  // `count` is a power of two.
  ReceiveBuffers(unsigned count, unsigned size);
  ReceiveBuffers(const ReceiveBuffers&) = delete;
  ReceiveBuffers& operator=(const ReceiveBuffers&) = delete;
  ~ReceiveBuffers();

  // 0 or -errno.
  int Register(io_uring* ring);

  char* operator[](unsigned id) { return data_ + size_t{id} * size_; }

  // How many the kernel may still take, as far as completions tell that have been looked at.
  unsigned free() const { return free_; }
  void Took() { --free_; }

  // Handed to the kernel with the next Publish.
  void GiveBack(unsigned id) {
    io_uring_buf_ring_add(ring_, (*this)[id], size_, static_cast<uint16_t>(id), io_uring_buf_ring_mask(count_), unpublished_++);
    ++free_;
  }
  void Publish() {
    io_uring_buf_ring_advance(ring_, unpublished_);
    unpublished_ = 0;
  }

 private:
  const unsigned count_;
  const unsigned size_;
  io_uring_buf_ring* const ring_;
  char* const data_;
  unsigned free_ = 0;
  int unpublished_ = 0;
};

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_RECEIVE_BUFFERS_H_
