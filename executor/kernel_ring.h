// The seam to the kernel: one io_uring, and the only place that links liburing.
//
// Everything above fills submission entries (plain structs of <linux/io_uring.h>) and reads results; tests of what stands above
// can be written against this header alone.
//
// Thread rule: NextSqe, SpaceLeft, Publish and CopyCqes are externally synchronised. Enter may be called by several threads at
// once, without that lock, unless the ring is single_issuer: then everything belongs to the thread that made it.
// Lifetime: memory named in a submission entry must stay valid until its completion. Destroying the ring does not wait.
// Errors: Create answers a Status naming call and errno; Enter answers -errno as the kernel does.
// Source: io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
//
//   io_uring_sqe* sqe = ring->NextSqe();  // zeroed; null when the submission queue is full
//   sqe->opcode = IORING_OP_NOP;
//   ring->Publish();
//   int submitted = ring->Enter({.submit = 1});
//   size_t n = ring->CopyCqes(results);

#ifndef AGENTOS_EXECUTOR_KERNEL_RING_H_
#define AGENTOS_EXECUTOR_KERNEL_RING_H_

#include <linux/io_uring.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace agentos {

class KernelRing {
 public:
  struct Options {
    unsigned entries = 256;
    unsigned completion_entries = 4096;
    // One thread makes the ring and makes every call; buys IORING_SETUP_DEFER_TASKRUN and a registered ring fd.
    bool single_issuer = false;
    // Places in the table of direct descriptors; 0 when they are not wanted.
    unsigned direct_files = 256;
  };

  struct Result {
    uint64_t user_data;
    int32_t value;
    uint32_t flags;
  };

  struct EnterArguments {
    unsigned submit = 0;
    // Wait until so many completions are there; 0 does not wait.
    unsigned min_complete = 0;
    // Run what the kernel has put off for the next entry, also without waiting.
    bool get_events = false;
    // When waiting: how long, in nanoseconds; negative means for ever.
    int64_t timeout_ns = -1;
  };

  static absl::StatusOr<std::unique_ptr<KernelRing>> Create(const Options& options);
  ~KernelRing();
  KernelRing(const KernelRing&) = delete;
  KernelRing& operator=(const KernelRing&) = delete;

  // A zeroed entry that Publish will hand to the kernel; null when SpaceLeft is 0.
  io_uring_sqe* NextSqe() {
    if (SpaceLeft() == 0) return nullptr;
    io_uring_sqe* sqe = &sqes_[tail_++ & sq_mask_];
    std::memset(sqe, 0, sizeof(*sqe));
    return sqe;
  }
  unsigned SpaceLeft() const { return sq_entries_ - Unsubmitted(); }

  // Makes the entries taken so far visible to the kernel.
  void Publish() { __atomic_store_n(kernel_tail_, tail_, __ATOMIC_RELEASE); }
  // Entries that were published but not taken by the kernel yet, and those not published.
  unsigned Unsubmitted() const { return tail_ - __atomic_load_n(kernel_head_, __ATOMIC_ACQUIRE); }

  // io_uring_enter(2): the number of entries taken, or -errno. -ETIME at the timeout.
  int Enter(const EnterArguments& arguments);

  // Copies results out and gives their places back to the kernel.
  size_t CopyCqes(absl::Span<Result> results) {
    const unsigned head = *cq_head_;
    const size_t n = std::min<size_t>(__atomic_load_n(cq_tail_, __ATOMIC_ACQUIRE) - head, results.size());
    for (size_t i = 0; i < n; ++i) {
      const io_uring_cqe& cqe = cqes_[(head + i) & cq_mask_];
      results[i] = {cqe.user_data, cqe.res, cqe.flags};
    }
    if (n > 0) __atomic_store_n(cq_head_, static_cast<unsigned>(head + n), __ATOMIC_RELEASE);
    return n;
  }

  // Whether the kernel holds results back until somebody enters with get_events (overflow, deferred task work).
  bool NeedsGetEvents() const {
    return (__atomic_load_n(sq_flags_, __ATOMIC_RELAXED) & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)) != 0;
  }
  bool HasCqes() const { return __atomic_load_n(cq_tail_, __ATOMIC_ACQUIRE) != *cq_head_; }

  bool Supports(unsigned opcode) const { return opcode < supported_.size() && supported_[opcode]; }
  // Whether writes can be told not to raise SIGPIPE (RWF_NOSIGNAL).
  bool has_nosignal_writes() const { return nosignal_writes_; }
  void set_nosignal_writes(bool has) { nosignal_writes_ = has; }

  // Registers memory as number `index` of the fixed buffers, up to kFixedBuffers. False when the kernel does not want to pin it
  // (RLIMIT_MEMLOCK) or knows no such table.
  static constexpr unsigned kFixedBuffers = 4;
  bool RegisterBuffer(unsigned index, absl::Span<char> memory);

  // A free place in the table of direct descriptors, -1 when there is none. Same synchronisation as NextSqe.
  int TakeDirectFile();
  void GiveDirectFile(int place) { free_direct_files_.push_back(place); }

  int fd() const;

  // "SINGLE_ISSUER, DEFER_TASKRUN": the set-up flags in use.
  const std::string& flags() const { return flags_; }

 private:
  struct Uring;
  // The first use of the ring: 0, or -errno of whoever forbids it.
  int ExecuteNop();
  KernelRing(std::unique_ptr<Uring> uring, bool single_issuer);

  std::unique_ptr<Uring> uring_;
  const bool single_issuer_;
  bool registered_fd_ = false;
  bool fixed_buffers_ = false;
  bool nosignal_writes_ = false;

  // The two queues, shared with the kernel. tail_ runs ahead of *kernel_tail_ until Publish.
  io_uring_sqe* sqes_ = nullptr;
  unsigned sq_mask_ = 0;
  unsigned sq_entries_ = 0;
  unsigned tail_ = 0;
  const unsigned* kernel_head_ = nullptr;
  unsigned* kernel_tail_ = nullptr;
  const unsigned* sq_flags_ = nullptr;
  io_uring_cqe* cqes_ = nullptr;
  unsigned cq_mask_ = 0;
  unsigned* cq_head_ = nullptr;
  const unsigned* cq_tail_ = nullptr;

  std::vector<bool> supported_;
  std::vector<int> free_direct_files_;
  std::string flags_;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_KERNEL_RING_H_
