#include "agentos/manager/trace_buffers.h"

#include <utility>

namespace agentos {

namespace {

uint64_t NextId() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

// A thread may still be heard while what belongs to it is being destroyed.
constinit thread_local bool thread_is_ending = false;

}  // namespace

constinit thread_local TraceBuffers::Last TraceBuffers::last_;

// A thread's buffers, one for each recorder that it was heard by.
class TraceBuffers::OfThread {
 public:
  ~OfThread() {
    for (const One& one : all_) one.buffer->ended.store(true, std::memory_order_release);
    last_ = {};
    thread_is_ending = true;
  }

  EventBuffer* Find(uint64_t owner) const {
    for (const One& one : all_) {
      if (one.owner == owner) return &one.buffer->events;
    }
    return nullptr;
  }
  void Add(uint64_t owner, std::shared_ptr<ThreadBuffer> buffer) {
    // Nobody else holds those of recorders that are gone.
    std::erase_if(all_, [](const One& one) { return one.buffer.use_count() == 1; });
    all_.push_back({owner, std::move(buffer)});
  }

 private:
  struct One {
    uint64_t owner;
    std::shared_ptr<ThreadBuffer> buffer;
  };
  std::vector<One> all_;
};

TraceBuffers::TraceBuffers(size_t bytes_each) : id_(NextId()), bytes_each_(bytes_each) {}

EventBuffer* TraceBuffers::FindOrMakeMine() {
  if (thread_is_ending) return nullptr;
  thread_local OfThread of_thread;
  EventBuffer* mine = of_thread.Find(id_);
  if (mine == nullptr) {
    auto buffer = std::make_shared<ThreadBuffer>(bytes_each_);
    if (!buffer->events.is_valid()) return nullptr;
    mine = &buffer->events;
    of_thread.Add(id_, buffer);
    std::lock_guard<std::mutex> lock(mutex_);
    all_.push_back(std::move(buffer));
  }
  last_ = {id_, mine};
  return mine;
}

void TraceBuffers::Lose(EventBuffer* mine, const TraceCounts& lost) {
  if (mine != nullptr) return mine->CountLost(lost);
  std::lock_guard<std::mutex> lock(mutex_);
  lost_elsewhere_ += lost;
}

const std::vector<std::shared_ptr<TraceBuffers::ThreadBuffer>>& TraceBuffers::Current() {
  std::lock_guard<std::mutex> lock(mutex_);
  current_ = all_;
  return current_;
}

void TraceBuffers::ForgetEnded() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const std::shared_ptr<ThreadBuffer>& buffer : current_) {
    if (buffer->drained_after_end) lost_elsewhere_ += buffer->events.TakeLost();
  }
  std::erase_if(all_, [](const std::shared_ptr<ThreadBuffer>& buffer) { return buffer->drained_after_end; });
  current_.clear();
}

TraceCounts TraceBuffers::TakeLost() {
  std::lock_guard<std::mutex> lock(mutex_);
  TraceCounts lost = std::exchange(lost_elsewhere_, {});
  for (const std::shared_ptr<ThreadBuffer>& buffer : all_) lost += buffer->events.TakeLost();
  return lost;
}

size_t TraceBuffers::size() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return all_.size();
}

}  // namespace agentos
