// The queues of a SubmissionRing that has no kernel behind it, in ordinary memory.
//
// Thread rule: the submission side belongs to whoever takes entries; Post, Flush and Completed are externally synchronised. The
// user of the ring on the other side may copy results out at the same time.
//
//   for (; n > 0; --n) Execute(memory.Head()), memory.Advance(1);
//   memory.Post(user_data, value);

#ifndef AGENTOS_EXECUTOR_RING_MEMORY_H_
#define AGENTOS_EXECUTOR_RING_MEMORY_H_

#include <linux/io_uring.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <deque>
#include <vector>

namespace agentos {

class RingMemory {
 public:
  // Both are rounded up to powers of two.
  RingMemory(unsigned entries, unsigned completion_entries)
      : sqes_(std::bit_ceil(std::max(entries, 1u))), cqes_(std::bit_ceil(std::max(completion_entries, 1u))) {}

  // Sets SubmissionRing::Queues, whose type is its own.
  template <typename Queues>
  void Bind(Queues& queues) {
    queues.sqes = sqes_.data();
    queues.sq_entries = static_cast<unsigned>(sqes_.size());
    queues.sq_mask = queues.sq_entries - 1;
    queues.sq_head = &sq_head_;
    queues.sq_tail = &sq_tail_;
    queues.sq_flags = &sq_flags_;
    queues.cqes = cqes_.data();
    queues.cq_mask = static_cast<unsigned>(cqes_.size()) - 1;
    queues.cq_head = &cq_head_;
    queues.cq_tail = &cq_tail_;
  }

  // Entries that were published and not taken.
  unsigned Published() const { return __atomic_load_n(&sq_tail_, __ATOMIC_ACQUIRE) - sq_head_; }
  // The entry `i` after the oldest of them.
  const io_uring_sqe& At(unsigned i) const { return sqes_[(sq_head_ + i) & (sqes_.size() - 1)]; }
  // Gives the places of the oldest back.
  void Advance(unsigned count) { __atomic_store_n(&sq_head_, sq_head_ + count, __ATOMIC_RELEASE); }

  // A result; kept apart, with the flag that says so, when the queue is full.
  void Post(uint64_t user_data, int32_t value) {
    const io_uring_cqe cqe = {.user_data = user_data, .res = value, .flags = 0};
    if (overflow_.empty() && Completed() < cqes_.size()) return Push(cqe);
    overflow_.push_back(cqe);
    __atomic_fetch_or(&sq_flags_, IORING_SQ_CQ_OVERFLOW, __ATOMIC_RELAXED);
  }
  // Moves what was kept apart into the queue, as far as there is room.
  void Flush() {
    while (!overflow_.empty() && Completed() < cqes_.size()) {
      Push(overflow_.front());
      overflow_.pop_front();
    }
    if (overflow_.empty()) __atomic_fetch_and(&sq_flags_, ~IORING_SQ_CQ_OVERFLOW, __ATOMIC_RELAXED);
  }
  unsigned Completed() const { return cq_tail_ - __atomic_load_n(&cq_head_, __ATOMIC_ACQUIRE); }

  // The completion queue's tail once `count` more results have come than have been copied out by now, and whether it has got
  // there: what another thread takes meanwhile has come all the same, as io_uring counts.
  unsigned Target(unsigned count) const { return __atomic_load_n(&cq_head_, __ATOMIC_ACQUIRE) + count; }
  bool HasReached(unsigned target) const { return static_cast<int>(cq_tail_ - target) >= 0 || !overflow_.empty(); }

 private:
  void Push(const io_uring_cqe& cqe) {
    cqes_[cq_tail_ & (cqes_.size() - 1)] = cqe;
    __atomic_store_n(&cq_tail_, cq_tail_ + 1, __ATOMIC_RELEASE);
  }

  std::vector<io_uring_sqe> sqes_;
  std::vector<io_uring_cqe> cqes_;
  std::deque<io_uring_cqe> overflow_;
  unsigned sq_head_ = 0;
  unsigned sq_tail_ = 0;
  unsigned sq_flags_ = 0;
  unsigned cq_head_ = 0;
  unsigned cq_tail_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_RING_MEMORY_H_
