// A queue of small slots in shared memory, from one process to another: a single producer, a single consumer.
//
// Layout of its memory, which QueueShape::Bytes() is the size of and which begins as zeros:
//
//   line 0 (128 bytes)  written by the consumer: how it sleeps, whether it has closed
//   line 1              written by the consumer: how many slots it has consumed
//   line 2              written by the producer: how it sleeps while it waits for room, whether it has closed
//   slots               each of slot_size bytes: slot_size - 8 bytes of content, and a word
//
// A slot's word is published last. It stands last as well: the consumer keeps looking at it, and the less of the content lies in
// the same cache line, the less the two are in each other's way. Its lower half is the number of the message, counted from 1 over
// all laps, so that one look at the slot tells a new message from the one a lap ago, and a message with its content costs one or
// two cache lines and no look at the producer's index. The upper half is `meta`, which means what the users say. The producer
// keeps its own index to itself and a copy of the consumer's, and reads that one anew only when the copy says that the queue is
// full.
//
// Trust: everything is read once into a local and checked. A consumer's index that lies outside what was produced, and a slot
// number that is neither this lap's nor the last one's, are answered as lies. No lie leads outside the memory.
//
// Thread rule: one thread at a time on each end; the ends are independent. A wake-up from elsewhere comes through sleeper().
// Lifetime: the ends do not own the memory.
// Cost: a push and a pop are one locked instruction each; a system call is made only to wake a side that sleeps.
//
//   QueueProducer producer(memory, shape);                QueueConsumer consumer(memory, shape);
//   if (char* slot = producer.Reserve()) {                if (const char* slot = consumer.Peek(meta)) {
//     std::memcpy(slot, "hello", 5);                        ...
//     if (producer.Publish(5)) MakeFdReadable();            consumer.Advance();
//   }                                                     }

#ifndef AGENTOS_IPC_MESSAGE_QUEUE_H_
#define AGENTOS_IPC_MESSAGE_QUEUE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "agentos/ipc/sleeper.h"

namespace agentos {

struct QueueControl {
  // Two lines, as processors fetch them in pairs.
  static constexpr size_t kLine = 128;

  alignas(kLine) std::atomic<uint32_t> consumer_sleep;
  std::atomic<uint32_t> consumer_closed;
  alignas(kLine) std::atomic<uint64_t> consumed;
  alignas(kLine) std::atomic<uint32_t> producer_sleep;
  std::atomic<uint32_t> producer_closed;
};
static_assert(sizeof(QueueControl) == 3 * QueueControl::kLine);

struct QueueShape {
  static constexpr uint32_t kMaxCapacity = uint32_t{1} << 20;

  // Slots; a power of two.
  uint32_t capacity = 0;
  // A power of two, 8 (no content) to 4096.
  uint32_t slot_size = 0;

  size_t Bytes() const { return sizeof(QueueControl) + size_t{capacity} * slot_size; }
  bool IsValid() const {
    const auto power_of_two = [](uint32_t n) { return n != 0 && (n & (n - 1)) == 0; };
    return power_of_two(capacity) && capacity <= kMaxCapacity && power_of_two(slot_size) && slot_size >= 8 && slot_size <= 4096;
  }
};

// What both ends are made of.
class QueueEnd {
 public:
  // True once the other side has written what it never writes when it is sound.
  bool peer_lied() const { return peer_lied_; }

 protected:
  QueueEnd(char* memory, QueueShape shape)
      : control_(reinterpret_cast<QueueControl*>(memory)),
        slots_(memory + sizeof(QueueControl)),
        capacity_(shape.capacity),
        slot_size_(shape.slot_size) {}

  char* SlotAt(uint64_t position) const { return slots_ + (position & (capacity_ - 1)) * slot_size_; }
  std::atomic<uint64_t>& WordOf(char* slot) const {
    return *reinterpret_cast<std::atomic<uint64_t>*>(slot + slot_size_ - sizeof(uint64_t));
  }

  QueueControl* const control_;
  char* const slots_;
  const uint64_t capacity_;
  const size_t slot_size_;
  bool peer_lied_ = false;
};

class QueueProducer : public QueueEnd {
 public:
  // `memory` is aligned to 128 and as large as shape.Bytes(); the shape is valid.
  QueueProducer(char* memory, QueueShape shape) : QueueEnd(memory, shape), sleeper_(&control_->producer_sleep) {}

  // The content of the next slot, slot_size - 8 bytes; null when the queue is full or the peer lied. Nothing happens until
  // Publish.
  char* Reserve() {
    if (produced_ - consumed_ >= capacity_ && !LookForRoom()) [[unlikely]] {
      return nullptr;
    }
    return SlotAt(produced_);
  }

  // Makes the reserved slot a message and wakes the consumer if it sleeps; true when it sleeps on a descriptor.
  bool Publish(uint32_t meta) {
    Place(meta);
    return WakeConsumer();
  }
  // The two halves of it.
  void Place(uint32_t meta) {
    std::atomic<uint64_t>& word = WordOf(SlotAt(produced_));
    ++produced_;
    const uint64_t bits = uint64_t{meta} << 32 | static_cast<uint32_t>(produced_);
    // It must be over before the consumer's word is looked at. A plain store and a fence, as an exchange would let the consumer,
    // which keeps looking, take the line away between the content and the word.
#if defined(__SANITIZE_THREAD__)
    word.exchange(bits);
#else
    word.store(bits, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
  }
  bool WakeConsumer() { return WakeIfAsleep(control_->consumer_sleep); }

  // Whether the consumer takes no more; what was sent before may not have been taken.
  bool PeerClosed() const { return control_->consumer_closed.load(std::memory_order_relaxed) != 0; }
  // Tells the consumer that nothing comes after what was published; true as Publish.
  bool Close() {
    control_->producer_closed.store(1);
    return WakeConsumer();
  }

  // Room, a lie or the end.
  bool HasNews() {
    return produced_ - consumed_ < capacity_ || LookForRoom() || peer_lied_ || control_->consumer_closed.load() != 0;
  }
  Sleeper& sleeper() { return sleeper_; }

 private:
  bool LookForRoom() {
    const uint64_t consumed = control_->consumed.load();
    if (consumed < consumed_ || consumed > produced_) {
      peer_lied_ = true;
      return false;
    }
    consumed_ = consumed;
    return produced_ - consumed_ < capacity_;
  }

  Sleeper sleeper_;
  uint64_t produced_ = 0;
  // What the consumer had consumed when it was last asked.
  uint64_t consumed_ = 0;
};

class QueueConsumer : public QueueEnd {
 public:
  QueueConsumer(char* memory, QueueShape shape) : QueueEnd(memory, shape), sleeper_(&control_->consumer_sleep) {}

  // The content of the next message; null when there is none or the peer lied. The content may change while it is read.
  const char* Peek(uint32_t& meta) {
    char* const slot = SlotAt(consumed_);
    const uint64_t word = WordOf(slot).load();
    if (static_cast<uint32_t>(word) != static_cast<uint32_t>(consumed_ + 1)) {
      if (static_cast<uint32_t>(word) != NumberOfLastLap()) peer_lied_ = true;
      return nullptr;
    }
    meta = static_cast<uint32_t>(word >> 32);
    return slot;
  }

  // Gives the slot that was peeked at back to the producer, and wakes it if it waits for room.
  void Advance() {
    ++consumed_;
    control_->consumed.exchange(consumed_);
    WakeIfAsleep(control_->producer_sleep);
  }

  bool PeerClosed() const { return control_->producer_closed.load() != 0; }
  void Close() {
    control_->consumer_closed.store(1);
    WakeIfAsleep(control_->producer_sleep);
  }

  // Whether Peek would have something to tell, for whoever looks again and again.
  bool SlotHasChanged() const {
    return static_cast<uint32_t>(WordOf(SlotAt(consumed_)).load(std::memory_order_relaxed)) != NumberOfLastLap();
  }
  // A message, a lie or the end.
  bool HasNews() {
    uint32_t meta = 0;
    return Peek(meta) != nullptr || peer_lied_ || PeerClosed();
  }
  Sleeper& sleeper() { return sleeper_; }

 private:
  uint32_t NumberOfLastLap() const { return consumed_ < capacity_ ? 0 : static_cast<uint32_t>(consumed_ + 1 - capacity_); }

  Sleeper sleeper_;
  uint64_t consumed_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_IPC_MESSAGE_QUEUE_H_
