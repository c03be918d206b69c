// A pair of queues in front of whatever executes system calls: the seam that executors are made at.
//
// Entries and results have io_uring's form (plain structs of <linux/io_uring.h>), because it is a good one: an entry is 64 bytes
// that say everything, a result is a number and a user_data. KernelRing puts the kernel behind the queues, ThreadRing threads and
// epoll. What stands above is written once against this header and so behaves the same on both (P15).
//
// Thread rule: NextSqe, SpaceLeft, Publish and CopyCqes are externally synchronised. Enter may be called by several threads at
// once, without that lock, unless the ring was made for one thread.
// Lifetime: memory named in an entry must stay valid until its completion. Destroying a ring does not wait.
// Errors: Enter answers -errno as io_uring_enter(2) does.
// Source: io_uring(7), io_uring_enter(2).
//
//   io_uring_sqe* sqe = ring->NextSqe();  // zeroed; null when the submission queue is full
//   sqe->opcode = IORING_OP_NOP;
//   ring->Publish();
//   int submitted = ring->Enter({.submit = 1});
//   size_t n = ring->CopyCqes(results);

#ifndef AGENTOS_EXECUTOR_SUBMISSION_RING_H_
#define AGENTOS_EXECUTOR_SUBMISSION_RING_H_

#include <linux/io_uring.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"

namespace agentos {

class SubmissionRing {
 public:
  struct Result {
    uint64_t user_data;
    int32_t value;
    uint32_t flags;
  };

  struct EnterArguments {
    unsigned submit = 0;
    // Wait until so many completions are there; 0 does not wait.
    unsigned min_complete = 0;
    // Run what was put off for the next entry, also without waiting.
    bool get_events = false;
    // When waiting: how long, in nanoseconds; negative means for ever.
    int64_t timeout_ns = -1;
  };

  virtual ~SubmissionRing() = default;
  SubmissionRing(const SubmissionRing&) = delete;
  SubmissionRing& operator=(const SubmissionRing&) = delete;

  // A zeroed entry that Publish will hand over; null when SpaceLeft is 0.
  io_uring_sqe* NextSqe() {
    if (SpaceLeft() == 0) return nullptr;
    io_uring_sqe* sqe = &queues_.sqes[tail_++ & queues_.sq_mask];
    std::memset(sqe, 0, sizeof(*sqe));
    return sqe;
  }
  unsigned SpaceLeft() const { return queues_.sq_entries - Unsubmitted(); }

  // Makes the entries taken so far visible to whoever executes them.
  void Publish() { __atomic_store_n(queues_.sq_tail, tail_, __ATOMIC_RELEASE); }
  // Entries that were published but not taken yet, and those not published.
  unsigned Unsubmitted() const { return tail_ - __atomic_load_n(queues_.sq_head, __ATOMIC_ACQUIRE); }

  // io_uring_enter(2): the number of entries taken, or -errno. -ETIME at the timeout.
  virtual int Enter(const EnterArguments& arguments) = 0;

  // Copies results out and gives their places back.
  size_t CopyCqes(absl::Span<Result> results) {
    const unsigned head = *queues_.cq_head;
    const size_t n = std::min<size_t>(__atomic_load_n(queues_.cq_tail, __ATOMIC_ACQUIRE) - head, results.size());
    for (size_t i = 0; i < n; ++i) {
      const io_uring_cqe& cqe = queues_.cqes[(head + i) & queues_.cq_mask];
      results[i] = {cqe.user_data, cqe.res, cqe.flags};
    }
    if (n > 0) __atomic_store_n(queues_.cq_head, static_cast<unsigned>(head + n), __ATOMIC_RELEASE);
    return n;
  }

  // Whether results are held back until somebody enters with get_events (overflow, deferred work).
  bool NeedsGetEvents() const {
    return (__atomic_load_n(queues_.sq_flags, __ATOMIC_RELAXED) & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)) != 0;
  }
  bool HasCqes() const { return __atomic_load_n(queues_.cq_tail, __ATOMIC_ACQUIRE) != *queues_.cq_head; }

  virtual bool Supports(unsigned opcode) const = 0;

  // Registers memory as number `index` of the fixed buffers, up to kFixedBuffers; empty memory takes a registration back. 0 or
  // -errno,
  // -EOPNOTSUPP where there is no such table; nobody needs it to succeed. The first kOwnBuffers are the lane's.
  static constexpr unsigned kFixedBuffers = 1024;
  static constexpr unsigned kOwnBuffers = 4;
  virtual int RegisterBuffer(unsigned index, absl::Span<char> memory) = 0;

  // The same for memory of others: a number of its own, or -errno; -ENOSPC when all are taken. Same synchronisation as NextSqe.
  int AddBuffer(absl::Span<char> memory) {
    size_t place = 0;
    while (place < added_.size() && !added_[place].empty()) ++place;
    if (place >= kFixedBuffers - kOwnBuffers) return -ENOSPC;
    const int result = RegisterBuffer(static_cast<unsigned>(place) + kOwnBuffers, memory);
    if (result < 0) return result;
    if (place == added_.size()) added_.emplace_back();
    added_[place] = memory;
    return static_cast<int>(place + kOwnBuffers);
  }
  void RemoveBuffer(int index) {
    RegisterBuffer(static_cast<unsigned>(index), {});
    added_[static_cast<size_t>(index) - kOwnBuffers] = {};
  }
  // Whether this is memory that was added under this number, and not some other ring's of the same number.
  bool HasRegistered(int index, const char* data) const {
    const size_t place = static_cast<size_t>(index) - kOwnBuffers;
    return place < added_.size() && data - added_[place].data() >= 0 &&
           static_cast<size_t>(data - added_[place].data()) < added_[place].size();
  }

  // Whether ACCEPT and RECV can be multishot: one entry, a result for each that comes, IORING_CQE_F_MORE on all but the last.
  bool has_multishot() const { return multishot_; }

  // Memory that the ring chooses from for receives with IOSQE_BUFFER_SELECT, as group kBufferGroup: makes the group, with room
  // for so many buffers, a power of two. False where there is no such thing. Same synchronisation as NextSqe.
  static constexpr uint16_t kBufferGroup = 0;
  virtual bool MakeBufferGroup(unsigned /*most*/) { return false; }
  // Adds a buffer to the group; a result names it in the upper half of its flags. Its memory must stay valid until then, or until
  // the ring is gone.
  virtual void ProvideBuffer(uint16_t /*id*/, absl::Span<char> /*memory*/) {}

  // Registers the file of a descriptor as number `place` of the fixed files; -1 takes a registration back. As RegisterBuffer.
  virtual int RegisterFile(unsigned /*place*/, int /*fd*/) { return -EOPNOTSUPP; }

  // The same at a place of its own: 0, or -errno; -ENOSPC when all are taken. Same synchronisation as NextSqe.
  int AddFile(int fd) {
    if (free_fixed_files_.empty()) return has_fixed_files_ ? -ENOSPC : -EOPNOTSUPP;
    const uint16_t place = free_fixed_files_.back();
    if (const int result = RegisterFile(place, fd); result < 0) return result;
    free_fixed_files_.pop_back();
    if (static_cast<size_t>(fd) >= fixed_files_.size()) fixed_files_.resize(static_cast<size_t>(fd) + 1, kNoFixedFile);
    fixed_files_[static_cast<size_t>(fd)] = place;
    fixed_fds_ = static_cast<unsigned>(fixed_files_.size());
    return 0;
  }
  void RemoveFile(int fd) {
    const uint16_t place = std::exchange(fixed_files_[static_cast<size_t>(fd)], kNoFixedFile);
    RegisterFile(place, -1);
    free_fixed_files_.push_back(place);
    // So that the look-up costs nothing again once none is left.
    while (!fixed_files_.empty() && fixed_files_.back() == kNoFixedFile) fixed_files_.pop_back();
    fixed_fds_ = static_cast<unsigned>(fixed_files_.size());
  }
  // Whether FixedFileOf may know this descriptor: false for all when no file is registered.
  bool MayBeFixedFile(int fd) const { return static_cast<unsigned>(fd) < fixed_fds_; }
  // The number that the descriptor's file has as a fixed file, -1 when it has none. Precondition: MayBeFixedFile.
  int FixedFileOf(int fd) const {
    const uint16_t place = fixed_files_[static_cast<size_t>(fd)];
    return place == kNoFixedFile ? -1 : place;
  }

  // The descriptors that are the ring's own: entries must not touch them.
  virtual std::vector<int> OwnFds() const = 0;

  // What of it is in use, for people: "SINGLE_ISSUER, DEFER_TASKRUN".
  virtual std::string Features() const = 0;

  // Whether Wake works. Where it does not, a waiting Enter is woken by the result of a read, of an eventfd for instance.
  virtual bool CanWake() const { return false; }
  // Posts a result with this user_data. Any thread, no lock.
  virtual void Wake(uint64_t /*user_data*/) {}

  // From now on this eventfd is written to when results are there, by whomever. False: there is nobody who could.
  virtual bool Announce(int /*event_fd*/) { return false; }

  // Whether writes can be told not to raise SIGPIPE (RWF_NOSIGNAL).
  bool has_nosignal_writes() const { return nosignal_writes_; }
  void set_nosignal_writes(bool has) { nosignal_writes_ = has; }

  // A free place in the table of direct descriptors, -1 when there is none. Same synchronisation as NextSqe.
  int TakeDirectFile() {
    if (free_direct_files_.empty()) return -1;
    const int place = free_direct_files_.back();
    free_direct_files_.pop_back();
    return place;
  }
  void GiveDirectFile(int place) { free_direct_files_.push_back(place); }
  // Whether there is such a table at all.
  bool has_direct_files() const { return has_direct_files_; }

 protected:
  // Where the queues lie, with the meaning that io_uring_setup(2) gives them. Sizes are powers of two.
  struct Queues {
    io_uring_sqe* sqes = nullptr;
    unsigned sq_mask = 0;
    unsigned sq_entries = 0;
    const unsigned* sq_head = nullptr;
    unsigned* sq_tail = nullptr;
    const unsigned* sq_flags = nullptr;
    io_uring_cqe* cqes = nullptr;
    unsigned cq_mask = 0;
    unsigned* cq_head = nullptr;
    const unsigned* cq_tail = nullptr;
  };

  SubmissionRing() = default;

  // Set by the maker before anything else is called.
  Queues queues_;
  void set_multishot(bool has) { multishot_ = has; }
  // Fills the table of direct descriptors, which is empty otherwise: so many places for those that entries open, and after them
  // so many for registered files.
  void SetDirectFiles(unsigned places, unsigned for_registered) {
    for (unsigned i = places; i-- > 0;) free_direct_files_.push_back(static_cast<int>(i));
    for (unsigned i = places + for_registered; i-- > places;) free_fixed_files_.push_back(static_cast<uint16_t>(i));
    has_direct_files_ = places > 0;
    has_fixed_files_ = for_registered > 0;
  }

 private:
  bool nosignal_writes_ = false;
  bool multishot_ = false;
  bool has_direct_files_ = false;
  bool has_fixed_files_ = false;
  std::vector<absl::Span<char>> added_;
  std::vector<int> free_direct_files_;
  // By descriptor.
  static constexpr uint16_t kNoFixedFile = 0xffff;
  std::vector<uint16_t> fixed_files_;
  unsigned fixed_fds_ = 0;
  std::vector<uint16_t> free_fixed_files_;
  // Runs ahead of *sq_tail until Publish.
  unsigned tail_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_SUBMISSION_RING_H_
