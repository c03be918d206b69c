// Page-aligned, warm memory for the contenders that bring their own buffers.
//
// Thread rule: a value of one thread.

#ifndef AGENTOS_BENCHMARKS_BLOCK_BUFFERS_H_
#define AGENTOS_BENCHMARKS_BLOCK_BUFFERS_H_

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace agentos::bench {

class BlockBuffers {
 public:
  BlockBuffers(size_t count, size_t block_size)
      : block_size_(block_size), size_(count * block_size), memory_(static_cast<char*>(std::aligned_alloc(4096, size_))) {
    // In a virtual machine the first touch of a page costs more than reading it.
    std::memset(memory_, 1, size_);
  }
  BlockBuffers(const BlockBuffers&) = delete;
  BlockBuffers& operator=(const BlockBuffers&) = delete;
  ~BlockBuffers() { std::free(memory_); }

  char* operator[](size_t i) { return memory_ + i * block_size_; }
  char* data() { return memory_; }
  size_t size() const { return size_; }

 private:
  const size_t block_size_;
  const size_t size_;
  char* const memory_;
};

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_BLOCK_BUFFERS_H_
