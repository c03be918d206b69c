// What two processes would write by hand to pass 64 bytes on: a ring with one producer and one consumer, and a hand-over by
// futex. No trust, no buffers, no end: the floors of ipc_benchmark.
//
// Thread rule: one process on each end.
// Lifetime: in memory that both map and that begins as zeros.

#ifndef AGENTOS_BENCHMARKS_IPC_FLOORS_H_
#define AGENTOS_BENCHMARKS_IPC_FLOORS_H_

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>
#include <cstring>

namespace agentos::bench {

inline constexpr size_t kMessageBytes = 64;

// Each side keeps a copy of the other's index, as the fastest of its kind do.
class BareRing {
 public:
  void Push(const char* message) {
    while (produced_ - consumed_seen_ == kSlots) consumed_seen_ = consumed_.load(std::memory_order_acquire);
    std::memcpy(slots_[produced_ % kSlots], message, kMessageBytes);
    published_.store(++produced_, std::memory_order_release);
  }
  void Pop(char* message) {
    while (taken_ == published_seen_) published_seen_ = published_.load(std::memory_order_acquire);
    std::memcpy(message, slots_[taken_ % kSlots], kMessageBytes);
    consumed_.store(++taken_, std::memory_order_release);
  }

 private:
  static constexpr size_t kSlots = 1024;

  alignas(128) std::atomic<uint64_t> published_{0};
  alignas(128) std::atomic<uint64_t> consumed_{0};
  alignas(128) uint64_t produced_ = 0;
  uint64_t consumed_seen_ = 0;
  alignas(128) uint64_t taken_ = 0;
  uint64_t published_seen_ = 0;
  alignas(128) char slots_[kSlots][kMessageBytes];
};

// One message at a time, whose receiver sleeps.
class FutexBox {
 public:
  void Put(const char* message) {
    std::memcpy(message_, message, kMessageBytes);
    full_.store(1);
    syscall(SYS_futex, &full_, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }
  void Take(char* message) {
    while (full_.load() == 0) syscall(SYS_futex, &full_, FUTEX_WAIT, 0, nullptr, nullptr, 0);
    std::memcpy(message, message_, kMessageBytes);
    full_.store(0);
  }

 private:
  alignas(128) std::atomic<uint32_t> full_{0};
  alignas(128) char message_[kMessageBytes];
};

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_IPC_FLOORS_H_
