// Where the results of one kernel ring are put: a pool whose most used sizes lie in memory that is registered with the ring.
//
// The kernel copies into registered memory without translating its address page by page, which is worth a tenth of a cached 4 KiB
// read. The memory is pinned, so it is little, taken only when a size is first asked for, and done without where it may not be
// locked: then the same buffers are used as ordinary memory.
//
// Thread rule: externally synchronised, as the kernel ring is.
// Lifetime: destroy it after the kernel ring; buffers may outlive it.
// Source: io_uring_register_buffers(3).
//
//   PooledBuffer buffer = buffers.Acquire(4096);
//   if (buffer.arena() >= 0) sqe->opcode = IORING_OP_READ_FIXED, sqe->buf_index = buffer.arena();

#ifndef AGENTOS_EXECUTOR_RESULT_BUFFERS_H_
#define AGENTOS_EXECUTOR_RESULT_BUFFERS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "agentos/executor/submission_ring.h"
#include "agentos/ring/result_buffer_pool.h"

namespace agentos {

class ResultBuffers {
 public:
  explicit ResultBuffers(SubmissionRing& kernel) : kernel_(kernel), pool_(ResultBufferPool::Create()) {}
  ~ResultBuffers() { pool_->Close(); }
  ResultBuffers(const ResultBuffers&) = delete;
  ResultBuffers& operator=(const ResultBuffers&) = delete;

  // Empty when the memory is not to be had.
  PooledBuffer Acquire(size_t size) {
    if ((untried_ >> ResultBufferPool::ClassOf(size) & 1u) != 0) [[unlikely]] {
      Register(ResultBufferPool::ClassOf(size));
    }
    return pool_->Acquire(size);
  }

  ResultBufferPool& pool() { return *pool_; }

  // Once per batch, before its first Acquire.
  void CollectReturned() { pool_->CollectReturned(); }

 private:
  struct ArenaPlan {
    size_t buffer_size;
    size_t count;
  };
  // A batch of pages, and a batch of first buffers of ReadFile.
  static constexpr std::array<ArenaPlan, 2> kArenas = {{{4096, 256}, {65536, 64}}};

  void Register(unsigned size_class) {
    untried_ &= ~(1u << size_class);
    for (size_t i = 0; i < kArenas.size(); ++i) {
      if (ResultBufferPool::ClassOf(kArenas[i].buffer_size) != size_class) continue;
      const auto number = static_cast<int16_t>(i);
      const absl::Span<char> memory = pool_->AddArena(kArenas[i].buffer_size, kArenas[i].count, number);
      if (!memory.empty() && kernel_.RegisterBuffer(static_cast<unsigned>(i), memory) != 0) pool_->ForgetArena(number);
    }
  }

  SubmissionRing& kernel_;
  ResultBufferPool* const pool_;
  // The classes whose arena has not been asked for yet, a bit each.
  uint32_t untried_ = (1u << ResultBufferPool::kClasses) - 1;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_RESULT_BUFFERS_H_
