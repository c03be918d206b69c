// The event buffers of one recorder: one for each thread that was heard.
//
// A thread finds its own without a lock. It is made at the thread's first event, and goes when it is empty and the thread has ended.
//
// Thread rule: Mine and Lose by any thread; Drain and TakeLost by one thread at a time.
// Lifetime: a thread may outlive it, and the other way round.
//
//   TraceBuffers buffers(4 << 20);
//   if (EventBuffer* mine = buffers.Mine()) ...  // null: there is no memory
//   buffers.Drain([](const char* event, size_t size) { ... });

#ifndef AGENTOS_MANAGER_TRACE_BUFFERS_H_
#define AGENTOS_MANAGER_TRACE_BUFFERS_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "agentos/manager/event_buffer.h"
#include "agentos/manager/trace_counts.h"

namespace agentos {

class TraceBuffers {
 public:
  explicit TraceBuffers(size_t bytes_each);
  TraceBuffers(const TraceBuffers&) = delete;
  TraceBuffers& operator=(const TraceBuffers&) = delete;

  EventBuffer* Mine() {
    const Last& last = last_;
    return last.owner == id_ ? last.buffer : FindOrMakeMine();
  }

  // What found no room in `mine`, or no buffer at all.
  void Lose(EventBuffer* mine, const TraceCounts& lost);

  // Visits the events of all threads. Answers the most that any one of them had, in bytes.
  template <typename Visit>
  size_t Drain(Visit visit) {
    size_t most = 0;
    bool some_ended = false;
    for (const std::shared_ptr<ThreadBuffer>& buffer : Current()) {
      // Looked at first: what was put in before the thread ended is then seen.
      const bool ended = buffer->ended.load(std::memory_order_acquire);
      most = std::max(most, buffer->events.Drain(visit));
      some_ended = some_ended || ended;
      buffer->drained_after_end = ended;
    }
    if (some_ended) ForgetEnded();
    return most;
  }

  TraceCounts TakeLost();

  // How many threads have one.
  size_t size() const;

 private:
  struct ThreadBuffer {
    explicit ThreadBuffer(size_t bytes) : events(bytes) {}

    EventBuffer events;
    // The thread will put nothing in any more.
    std::atomic<bool> ended{false};
    bool drained_after_end = false;
  };
  class OfThread;

  // The buffer that the thread used last, and whose it is: beside OfThread, because this one needs no constructor and so no check
  // whether it ran.
  struct Last {
    uint64_t owner = 0;
    EventBuffer* buffer = nullptr;
  };
  static constinit thread_local Last last_;

  EventBuffer* FindOrMakeMine();
  const std::vector<std::shared_ptr<ThreadBuffer>>& Current();
  void ForgetEnded();

  // Never used again, so that what a thread remembers of an older recorder is not taken for this one's.
  const uint64_t id_;
  const size_t bytes_each_;

  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<ThreadBuffer>> all_;
  // Of buffers that have gone, and of threads that could have none.
  TraceCounts lost_elsewhere_;

  // The reader's copy of all_.
  std::vector<std::shared_ptr<ThreadBuffer>> current_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TRACE_BUFFERS_H_
