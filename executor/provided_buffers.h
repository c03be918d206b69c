// Memory that the kernel chooses from when something comes: what a RecvMany receives into.
//
// A buffer that the kernel has filled goes to the caller with the result, and another one takes its place at once: whoever keeps
// his results costs memory, never progress. The kernel has few buffers at first and twice as many after each time that it found
// none left.
//
// Thread rule: externally synchronised, as the submission ring is.
// Lifetime: destroy it after the submission ring.
// Source: io_uring_register_buf_ring(3), IOSQE_BUFFER_SELECT in io_uring_enter(2).
//
//   if (provided.Ready()) sqe->flags |= IOSQE_BUFFER_SELECT, sqe->buf_group = SubmissionRing::kBufferGroup;
//   ...
//   PooledBuffer filled = provided.Take(BufferOf(result.flags));
//   if (result.value == -ENOBUFS && !provided.Grow()) ...  // no memory at all

#ifndef AGENTOS_EXECUTOR_PROVIDED_BUFFERS_H_
#define AGENTOS_EXECUTOR_PROVIDED_BUFFERS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "agentos/executor/result_buffers.h"
#include "agentos/executor/submission_ring.h"
#include "agentos/ring/operation.h"
#include "agentos/ring/result_buffer_pool.h"

namespace agentos {

class ProvidedBuffers {
 public:
  static constexpr size_t kBufferSize = operation::kRecvManyBytes;
  static constexpr size_t kFirstBuffers = 64;
  static constexpr size_t kMostBuffers = 4096;

  ProvidedBuffers(SubmissionRing& kernel, ResultBuffers& buffers) : kernel_(kernel), buffers_(buffers) {}
  ProvidedBuffers(const ProvidedBuffers&) = delete;
  ProvidedBuffers& operator=(const ProvidedBuffers&) = delete;

  // Whether there are such buffers. The first call makes them, where the ring can have any.
  bool Ready() {
    if (!tried_) [[unlikely]] {
      Start();
    }
    return ready_;
  }

  // The buffer that a result names. Precondition: the kernel has chosen it since it was provided.
  PooledBuffer Take(uint16_t id);

  // The kernel found none left: gives it more. False when it still has none. Many entries may say so of one and the same time:
  // only when all that there were have been taken since the last growth, they have run out again.
  bool Grow();

  uint64_t exhaustions() const { return exhaustions_; }

 private:
  void Start();
  // False when the memory is not to be had.
  bool Provide(uint16_t id);

  SubmissionRing& kernel_;
  ResultBuffers& buffers_;
  bool tried_ = false;
  bool ready_ = false;
  // By the number that the kernel knows them by; empty when there was no memory for one.
  std::vector<PooledBuffer> provided_;
  size_t missing_ = 0;
  size_t taken_since_growth_ = 0;
  uint64_t exhaustions_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_PROVIDED_BUFFERS_H_
