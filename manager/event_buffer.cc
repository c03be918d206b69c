#include "agentos/manager/event_buffer.h"

#include <sys/mman.h>

#include <bit>

namespace agentos {

EventBuffer::EventBuffer(size_t bytes) {
  const size_t capacity = std::bit_ceil(bytes);
  // Pages come when they are first written to: a thread that does little costs little.
  void* memory = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mask_ = capacity - 1;
  if (memory != MAP_FAILED) {
    memory_ = static_cast<char*>(memory);
  } else {
    // Full for ever.
    written_ = capacity;
  }
}

EventBuffer::~EventBuffer() {
  if (memory_ != nullptr) munmap(memory_, capacity());
}

bool EventBuffer::HasRoom(size_t needed) {
  known_read_ = read_.load(std::memory_order_acquire);
  return written_ + needed - known_read_ <= capacity();
}

void EventBuffer::SkipToStart(size_t to_end) {
  std::memcpy(memory_ + (written_ & mask_), &kSkip, sizeof(kSkip));
  written_ += to_end;
}

TraceCounts EventBuffer::TakeLost() {
  const TraceCounts now = {.submissions = lost_submissions_.load(std::memory_order_relaxed),
                           .completions = lost_completions_.load(std::memory_order_relaxed),
                           .others = lost_others_.load(std::memory_order_relaxed)};
  TraceCounts lost = now;
  lost -= taken_lost_;
  taken_lost_ = now;
  return lost;
}

}  // namespace agentos
