#include "agentos/ring/registered_buffer_pool.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace agentos {

namespace {

size_t RoundUp(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

// PooledBuffer::arena() of ordinary memory.
constexpr int16_t kNotRegistered = -1;

}  // namespace

absl::StatusOr<std::shared_ptr<RegisteredBufferPool>> RegisteredBufferPool::Create(size_t count, size_t size) {
  if (count < 1 || count > kMaxBuffers) {
    return absl::InvalidArgumentError(absl::StrCat("count is ", count, ": it must be from 1 to ", kMaxBuffers));
  }
  if (size < 1 || size > kMaxBytes) {
    return absl::InvalidArgumentError(absl::StrCat("size is ", size, ": it must be from 1 to ", kMaxBytes));
  }
  // What direct I/O asks of lengths and addresses.
  constexpr size_t kSector = 512;
  const size_t rounded = RoundUp(size, size < ResultBufferPool::kPageAlignment ? kSector : ResultBufferPool::kPageAlignment);
  if (rounded > kMaxBytes / count) {
    return absl::InvalidArgumentError(
        absl::StrCat(count, " buffers of ", rounded, " bytes are more than ", kMaxBytes, " bytes, the most of one pool"));
  }
  auto pool = std::shared_ptr<RegisteredBufferPool>(new RegisteredBufferPool(count, rounded));
  pool->memory_ = pool->pool_->AddArena(rounded, count, kNotRegistered);
  if (pool->memory_.empty()) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for ", count, " buffers of ", rounded, " bytes"));
  }
  return pool;
}

void RegisteredBufferPool::SetRegistered(int number) {
  reason_.clear();
  pool_->NumberArena(static_cast<int16_t>(number));
}

absl::StatusOr<PooledBuffer> RegisteredBufferPool::Lease() {
  const std::lock_guard<std::mutex> lock(mutex_);
  PooledBuffer buffer = pool_->AcquireFromArena(buffer_size_);
  if (buffer) return buffer;
  return absl::ResourceExhaustedError(
      absl::StrCat("all ", count_, " buffers of the pool are lent; give one back, or register more"));
}

}  // namespace agentos
