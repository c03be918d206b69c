// A slot: the record of one accepted entry from acceptance until its completion is reaped.
//
// The slot owns every byte that the kernel may touch on behalf of its entry: the operands that came with the entry, the buffer a
// read fills, and the structures of the socket calls. The kernel never sees an address in user_data, only a SlotToken: index and
// generation, so that a late completion of a recycled slot is recognised and ignored.
//
//     kFree --accepted--> kQueued --started--> kInKernel --ended--> kDone --reaped or dropped--> kFree
//                           |                       |
//                           +--cancelled--> kDone   +--cancelled--> kDone
//                                                   |
//                                                   +--deadline of DestroyRing--> kAbandoned --ended--> kFree
//
// Thread rule: guarded by the lock of the kernel ring it belongs to, except that a worker reads `entry` while the slot is
// kInKernel.

#ifndef AGENTOS_RING_SLOT_H_
#define AGENTOS_RING_SLOT_H_

#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "agentos/ring/bytes.h"
#include "agentos/ring/check.h"
#include "agentos/ring/result_buffer_pool.h"
#include "agentos/ring/submission_entry.h"
#include "agentos/ring/types.h"

namespace agentos {

class SyscallCompletionRing;

enum class SlotState : uint8_t { kFree, kQueued, kInKernel, kDone, kAbandoned };

// Who is executing an entry that is kInKernel; or what one that is kQueued waits for, beside its turn: the end of the entry it is
// linked to, or that of a drain; or that a multishot entry has paused, or a completion waits for room in the queue.
enum class SlotPlace : uint8_t { kNowhere, kKernel, kWorker, kMailbox, kParked, kLinked, kBehindDrain, kPaused, kBacklog };

struct SlotToken {
  uint32_t index = 0;
  uint32_t generation = 0;
};

// Fields are in the order in which the way of an entry through the ring touches them: what most entries never use stands last.
struct alignas(64) Slot {
  // Membership in exactly one SlotList at a time.
  Slot* next = nullptr;
  Slot* prev = nullptr;

  SyscallCompletionRing* ring = nullptr;
  Seq seq = 0;
  int64_t accepted_ns = 0;
  int64_t value = 0;
  uint32_t index = 0;
  uint32_t generation = 0;

  // How far the entry is: what a new life resets. One word, so that it shares the cache line of what stands before it.
  struct Progress {
    SlotState state = SlotState::kFree;
    SlotPlace place = SlotPlace::kNowhere;
    // Where the operation's own sequence of kernel steps stands; 0 at the start.
    uint8_t phase = 0;
    // Results that the executor still has to hear of before the slot may end.
    uint8_t outstanding = 0;
    // Times that a step was begun again for a reason of the kernel's.
    uint8_t retries = 0;
    bool cancel_requested : 1 = false;
    bool cancelled : 1 = false;
    bool holds_position : 1 = false;
    bool has_timer : 1 = false;
    bool timed_out : 1 = false;
    // Of a completion that is not its entry's last.
    bool more : 1 = false;
    // Of a multishot entry that is to stop until its ring's completion queue has room.
    bool pausing : 1 = false;
    // Of a Send: the kernel still reads its data, and will say when it does not any more.
    bool lent : 1 = false;
    // An errno.
    int16_t error = 0;
  };
  static_assert(sizeof(Progress) == 8);
  Progress progress;

  // What the kernel fills. Must stay valid until completion.
  PooledBuffer buffer;
  // What the entry gives.
  Bytes data;
  std::unique_ptr<std::string> peer_address;
  SyscallSubmissionEntry entry;

  // Structures the kernel reads or writes. Must stay valid until completion.
  msghdr message;
  iovec vector;
  union {
    sockaddr_storage address;
    // Of an Open that is confined.
    open_how how;
  };
  socklen_t address_length;
  // Seconds and nanoseconds: of a pause between two tries, or the time at which a Sleep is over.
  std::array<int64_t, 2> pause;
  // Results of the members of a chain, until its last one is there.
  std::array<int32_t, 4> chain_results;
  // The place of the chain's file in the kernel ring's table.
  int32_t direct_file;
  // Which run of its lane's loop the chain was begun in.
  uint32_t begun_in;
  // What its order at the file's own position knows the file by.
  uint32_t position_file;
  // What it counts against its ring's limit of bytes in flight.
  size_t charged_bytes;
  // When its timeout is over, and its place among the timers.
  int64_t deadline_ns;
  uint32_t timer_place;
  // The chain an entry with a link, or behind one, belongs to; null at its ends.
  Slot* chain_next;
  Slot* chain_previous;
  // The job of an entry that a worker executes.
  void* job;

  // The phase of an entry whose result the kernel has lost: it may still write to the slot's memory, which is never used again.
  static constexpr uint8_t kLost = 0xff;

  SlotToken token() const { return {index, generation}; }

  // Moves to another state. Only the edges of the picture above exist.
  void Become(SlotState to) {
    AGENTOS_CHECK(IsEdge(progress.state, to));
    progress.state = to;
  }

 private:
  static constexpr bool IsEdge(SlotState from, SlotState to) {
    switch (from) {
      case SlotState::kFree:
        return to == SlotState::kQueued;
      case SlotState::kQueued:
        return to == SlotState::kInKernel || to == SlotState::kDone;
      case SlotState::kInKernel:
        return to == SlotState::kDone || to == SlotState::kAbandoned;
      case SlotState::kDone:
        return to == SlotState::kFree;
      case SlotState::kAbandoned:
        return to == SlotState::kFree;
    }
    return false;
  }
};

// A FIFO of slots that can also give up one from the middle. Allocates nothing.
class SlotList {
 public:
  bool empty() const { return head_ == nullptr; }
  size_t size() const { return size_; }
  Slot* front() const { return head_; }

  void PushBack(Slot* slot) {
    slot->next = nullptr;
    slot->prev = tail_;
    (tail_ == nullptr ? head_ : tail_->next) = slot;
    tail_ = slot;
    ++size_;
  }

  void Remove(Slot* slot) {
    (slot->prev == nullptr ? head_ : slot->prev->next) = slot->next;
    (slot->next == nullptr ? tail_ : slot->next->prev) = slot->prev;
    --size_;
  }

  // In front of the first that has a higher number; most often that is near the front.
  void InsertBySeq(Slot* slot) {
    Slot* after = head_;
    while (after != nullptr && after->seq < slot->seq) after = after->next;
    if (after == nullptr) return PushBack(slot);
    slot->next = after;
    slot->prev = after->prev;
    (after->prev == nullptr ? head_ : after->prev->next) = slot;
    after->prev = slot;
    ++size_;
  }

  Slot* PopFront() {
    Slot* slot = head_;
    if (slot == nullptr) return nullptr;
    head_ = slot->next;
    (head_ == nullptr ? tail_ : head_->prev) = nullptr;
    --size_;
    return slot;
  }

  Slot* Find(Seq seq) const {
    for (Slot* slot = head_; slot != nullptr; slot = slot->next) {
      if (slot->seq == seq) return slot;
    }
    return nullptr;
  }

 private:
  Slot* head_ = nullptr;
  Slot* tail_ = nullptr;
  size_t size_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_RING_SLOT_H_
