// Memory of a process's own that is registered with the kernel, lent out buffer by buffer.
//
// The kernel reads and writes registered memory without looking up its pages each time. A Read or Recv into a lent buffer, and a
// Write or Send from one, copy nothing in user space; where the memory could not be registered the same calls work all the same,
// and reason() says why.
//
// Thread rule: any thread.
// Lifetime: a lent buffer may outlive the pool, its ring and the manager; the memory goes with the last of them. It is registered
// as long as the ring lives.
// Errors: Lease answers ResourceExhausted when all buffers are lent.
// Source: io_uring_register_buffers(3).
//
//   auto pool = manager->RegisterBuffers(kPid, /*count=*/64, /*size=*/16384);
//   absl::StatusOr<PooledBuffer> buffer = (*pool)->Lease();
//   manager->Submit(kPid, SyscallSubmissionEntry::Read(kPid, fd, *std::move(buffer), 16384, /*offset=*/0, 0));
//   ...
//   Bytes bytes = done.result.TakeBytes();  // in the buffer that was lent; it goes back when `bytes` is gone
//   manager->Submit(kPid, SyscallSubmissionEntry::Write(kPid, other, std::move(bytes), 0, 0));

#ifndef AGENTOS_RING_REGISTERED_BUFFER_POOL_H_
#define AGENTOS_RING_REGISTERED_BUFFER_POOL_H_

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "agentos/ring/result_buffer_pool.h"

namespace agentos {

class RegisteredBufferPool {
 public:
  // What the kernel registers in one piece.
  static constexpr size_t kMaxBytes = size_t{1} << 30;
  static constexpr size_t kMaxBuffers = 65536;

  // `count` buffers of `size` bytes each, rounded up to 512 and from a page upward to whole pages, not registered yet.
  // InvalidArgument names what is out of range; ResourceExhausted when the memory is not to be had.
  static absl::StatusOr<std::shared_ptr<RegisteredBufferPool>> Create(size_t count, size_t size);
  ~RegisteredBufferPool() { pool_->Close(); }
  RegisteredBufferPool(const RegisteredBufferPool&) = delete;
  RegisteredBufferPool& operator=(const RegisteredBufferPool&) = delete;

  // One buffer, with undefined content.
  absl::StatusOr<PooledBuffer> Lease();

  size_t count() const { return count_; }
  // Of each buffer: at least what was asked for.
  size_t buffer_size() const { return buffer_size_; }
  // Whether the kernel took the memory, and why not: "io_uring_register: ENOMEM, ...".
  bool registered() const { return reason_.empty(); }
  const std::string& reason() const { return reason_; }

  // For whoever registers it, before the first Lease.
  absl::Span<char> memory() const { return memory_; }
  void SetRegistered(int number);
  void SetNotRegistered(std::string reason) { reason_ = std::move(reason); }

 private:
  RegisteredBufferPool(size_t count, size_t buffer_size) : count_(count), buffer_size_(buffer_size) {}

  const size_t count_;
  const size_t buffer_size_;
  std::string reason_ = "nobody has registered it";
  absl::Span<char> memory_;
  std::mutex mutex_;
  // Frees itself once it is closed and the last buffer is back.
  ResultBufferPool* const pool_ = ResultBufferPool::Create();
};

}  // namespace agentos

#endif  // AGENTOS_RING_REGISTERED_BUFFER_POOL_H_
