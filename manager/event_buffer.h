// A ring of bytes between one thread that writes events and another one that reads them: no lock, no system call, nothing that
// waits. When it is full the writer is told so and goes on without.
//
// An event is whatever bytes the writer puts together, contiguous and aligned to 8, beginning with a uint32_t that the buffer uses.
//
// Thread rule: Reserve, Commit and CountLost by one thread, Drain and TakeLost by another one.
// Lifetime: outlives both.
// Errors: is_valid() is false when there was no memory; Reserve then answers null.
//
//   EventBuffer buffer(1 << 20);
//   if (char* to = buffer.Reserve(sizeof(Event))) {
//     new (to) Event{...};
//     buffer.Commit(sizeof(Event));
//   } else {
//     buffer.CountLost({.others = 1});
//   }
//   // the other thread
//   buffer.Drain([](const char* event, size_t size) { ... });

#ifndef AGENTOS_MANAGER_EVENT_BUFFER_H_
#define AGENTOS_MANAGER_EVENT_BUFFER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "agentos/manager/trace_counts.h"

namespace agentos {

class EventBuffer {
 public:
  // `bytes` is rounded up to a power of two; no event may be longer than half of it.
  explicit EventBuffer(size_t bytes);
  EventBuffer(const EventBuffer&) = delete;
  EventBuffer& operator=(const EventBuffer&) = delete;
  ~EventBuffer();

  bool is_valid() const { return memory_ != nullptr; }
  size_t capacity() const { return mask_ + 1; }

  // Memory for an event of at most `most` bytes; null when there is no room. Valid until Commit or the next Reserve.
  char* Reserve(size_t most) {
    most = RoundUp(most);
    const size_t to_end = capacity() - (written_ & mask_);
    const size_t needed = most <= to_end ? most : to_end + most;
    if (written_ + needed - known_read_ > capacity()) [[unlikely]] {
      if (!HasRoom(needed)) return nullptr;
    }
    if (most > to_end) [[unlikely]] {
      SkipToStart(to_end);
    }
    return memory_ + (written_ & mask_);
  }

  // The first `size` bytes of what was reserved are an event.
  void Commit(size_t size) {
    const auto length = static_cast<uint32_t>(size);
    std::memcpy(memory_ + (written_ & mask_), &length, sizeof(length));
    written_ += RoundUp(size);
    published_.store(written_, std::memory_order_release);
    // The reader has these lines in its cache; fetching them takes longer than what is written to one.
    __builtin_prefetch(memory_ + ((written_ + kFetchAhead) & mask_), 1);
  }

  // What found no room.
  void CountLost(const TraceCounts& lost) {
    Raise(lost_submissions_, lost.submissions);
    Raise(lost_completions_, lost.completions);
    Raise(lost_others_, lost.others);
  }

  // Calls `visit` with every event that is there, oldest first, and gives their room back. Answers how many bytes that was.
  template <typename Visit>
  size_t Drain(Visit visit) {
    const uint64_t end = published_.load(std::memory_order_acquire);
    const uint64_t begin = read_.load(std::memory_order_relaxed);
    for (uint64_t at = begin; at != end;) {
      const char* event = memory_ + (at & mask_);
      uint32_t size = 0;
      std::memcpy(&size, event, sizeof(size));
      if (size == kSkip) {
        at += capacity() - (at & mask_);
        continue;
      }
      visit(event, size_t{size});
      at += RoundUp(size);
      // Not only at the end: the writer may be in need of it.
      if (((at - begin) & kGiveBackMask) < RoundUp(size)) read_.store(at, std::memory_order_release);
    }
    read_.store(end, std::memory_order_release);
    return end - begin;
  }

  // What was counted as lost since the last call.
  TraceCounts TakeLost();

 private:
  static constexpr uint32_t kSkip = 0xffffffff;
  static constexpr uint64_t kGiveBackMask = 0x7fff;
  static constexpr size_t kFetchAhead = 512;

  static constexpr size_t RoundUp(size_t size) { return (size + 7) & ~size_t{7}; }
  // Only the writer changes it.
  static void Raise(std::atomic<uint64_t>& number, uint64_t by) {
    number.store(number.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  bool HasRoom(size_t needed);
  void SkipToStart(size_t to_end);

  char* memory_ = nullptr;
  size_t mask_ = 0;

  // The writer's. Positions only rise; the place in the memory is what is left of them by `mask_`.
  alignas(64) uint64_t written_ = 0;
  uint64_t known_read_ = 0;
  std::atomic<uint64_t> published_{0};
  std::atomic<uint64_t> lost_submissions_{0};
  std::atomic<uint64_t> lost_completions_{0};
  std::atomic<uint64_t> lost_others_{0};

  // The reader's.
  alignas(64) std::atomic<uint64_t> read_{0};
  TraceCounts taken_lost_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_EVENT_BUFFER_H_
