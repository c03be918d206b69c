#include "agentos/executor/file_workers.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agentos/executor/library_thread.h"
#include "agentos/ring/check.h"

namespace agentos {
namespace {

// The lock is held for a few instructions at a time. Sleeping on it costs a wake-up, which is as long as several jobs, so a
// thread tries this often before it does.
constexpr int kLockTries = 100;

void Acquire(std::unique_lock<std::mutex>& lock) {
  for (int i = 0; i < kLockTries; ++i) {
    if (lock.try_lock()) return;
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  lock.lock();
}

}  // namespace

struct FileWorkers::State {
  State(size_t bound, const char* threads_name) : name(threads_name), max_threads(bound) {}

  const char* const name;

  // Under the mutex, with everything that RemoveQueued looks at.
  void Append(Job* first, Job* last, size_t count) {
    for (Job* job = first; job != nullptr;) {
      Job* const next = job == last ? nullptr : job->next;
      Level& level = levels[job->level];
      job->previous = level.tail;
      job->next = nullptr;
      (level.tail == nullptr ? level.head : level.tail->next) = job;
      level.tail = job;
      job->queued = true;
      job = next;
    }
    SetQueued(queued.load(std::memory_order_relaxed) + count);
  }

  void Unlink(Job* job) {
    Level& level = levels[job->level];
    (job->previous == nullptr ? level.head : job->previous->next) = job->next;
    (job->next == nullptr ? level.tail : job->next->previous) = job->previous;
    job->queued = false;
    SetQueued(queued.load(std::memory_order_relaxed) - 1);
  }

  // The next to start, taken out; null when there is none.
  Job* TakeNext() {
    if (empty()) return nullptr;
    const auto waits = [this](size_t level) { return levels[level].head != nullptr; };
    const size_t level = turns.Next(waits);
    turns.Take(level, waits);
    Job* job = levels[level].head;
    Unlink(job);
    return job;
  }
  bool empty() const { return queued.load(std::memory_order_relaxed) == 0; }

  void SetQueued(size_t count) { queued.store(count, std::memory_order_relaxed); }

  std::mutex mutex;
  struct Level {
    Job* head = nullptr;
    Job* tail = nullptr;
  };
  std::array<Level, kLevels> levels;
  PriorityTurns turns;
  // Threads that wait on `work`, and the notifications on their way to them. A thread that wakes by itself may take another's
  // notification for its own: that one then finds one job less, or none, and waits again.
  size_t waiting = 0;
  size_t notified = 0;
  size_t started = 0;
  size_t ended = 0;
  bool stopping = false;
  std::condition_variable work;
  std::condition_variable end;
  std::array<pthread_t, kMaxThreads> thread;

  // Written under the mutex, read without.
  std::atomic<size_t> queued{0};
  std::atomic<size_t> max_threads;
};

// What a new thread is handed.
struct FileWorkers::Start {
  std::shared_ptr<State> state;
  size_t index;
};

FileWorkers::FileWorkers(size_t threads, const char* name)
    : state_(std::make_shared<State>(std::clamp<size_t>(threads, 1, kMaxThreads), name)) {}

FileWorkers::~FileWorkers() {
  if (state_ != nullptr) Stop(absl::InfiniteDuration());
}

bool FileWorkers::Add(Job* first, Job* last, size_t count) {
  last->next = nullptr;
  State& state = *state_;
  std::unique_lock<std::mutex> lock(state.mutex, std::defer_lock);
  Acquire(lock);
  const size_t wake = std::min(count, state.waiting - state.notified);
  for (size_t missing = count - wake; missing > 0 && state.started < state.max_threads.load(std::memory_order_relaxed);
       --missing) {
    if (StartThread(state_)) continue;
    if (state.started == 0) {
      return false;
    }
    state.max_threads.store(state.started, std::memory_order_relaxed);
  }
  state.Append(first, last, count);
  state.notified += wake;
  lock.unlock();
  for (size_t i = 0; i < wake; ++i) state.work.notify_one();
  return true;
}

bool FileWorkers::RemoveQueued(Job* job) {
  State& state = *state_;
  std::unique_lock<std::mutex> lock(state.mutex, std::defer_lock);
  Acquire(lock);
  if (!job->queued) return false;
  state.Unlink(job);
  return true;
}

bool FileWorkers::Stop(absl::Duration deadline) {
  const std::shared_ptr<State> state = std::move(state_);
  // What the clock can add to its time.
  const auto limit = absl::ToChronoNanoseconds(std::clamp(deadline, absl::ZeroDuration(), absl::Hours(24 * 365)));
  std::unique_lock<std::mutex> lock(state->mutex);
  AGENTOS_CHECK(state->empty());
  state->stopping = true;
  state->work.notify_all();
  const auto all_ended = [&] { return state->ended == state->started; };
  bool stopped = true;
  if (deadline == absl::InfiniteDuration()) {
    state->end.wait(lock, all_ended);
  } else {
    stopped = state->end.wait_for(lock, limit, all_ended);
  }
  lock.unlock();
  for (size_t i = 0; i < state->started; ++i) {
    if (stopped) {
      pthread_join(state->thread[i], nullptr);
    } else {
      pthread_detach(state->thread[i]);
    }
  }
  return stopped;
}

size_t FileWorkers::queued() const { return state_->queued.load(std::memory_order_relaxed); }

size_t FileWorkers::threads() const { return state_->max_threads.load(std::memory_order_relaxed); }

// Under the mutex, which the new thread takes first.
bool FileWorkers::StartThread(const std::shared_ptr<State>& state) {
  std::unique_ptr<Start> start(new (std::nothrow) Start{state, state->started});
  if (start == nullptr) return false;
  if (!StartLibraryThread(&state->thread[state->started], &FileWorkers::Run, start.get())) return false;
  start.release();
  ++state->started;
  return true;
}

void* FileWorkers::Run(void* argument) {
  const std::unique_ptr<Start> start(static_cast<Start*>(argument));
  State& state = *start->state;
  NameLibraryThread(absl::StrCat(state.name, "-", start->index % kMaxThreads).c_str());

  std::unique_lock<std::mutex> lock(state.mutex);
  for (;;) {
    while (state.empty() && !state.stopping) {
      ++state.waiting;
      state.work.wait(lock);
      --state.waiting;
      if (state.notified > 0) --state.notified;
    }
    Job* job = state.TakeNext();
    if (job == nullptr) break;
    lock.unlock();
    job->run(job);
    Acquire(lock);
  }
  ++state.ended;
  state.end.notify_one();
  return nullptr;
}

}  // namespace agentos
