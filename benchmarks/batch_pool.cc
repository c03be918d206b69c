#include "agentos/benchmarks/batch_pool.h"

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <thread>

namespace agentos::bench {

BatchPool::BatchPool(size_t threads) {
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

BatchPool::~BatchPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_arrived_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void BatchPool::Run(size_t count, size_t grain, const Job& job) {
  std::unique_lock lock(mutex_);
  job_ = &job;
  count_ = count;
  grain_ = grain;
  next_ = 0;
  done_ = 0;
  work_arrived_.notify_all();
  all_done_.wait(lock, [this] { return done_ == count_; });
  count_ = 0;
  next_ = 0;
}

void BatchPool::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_arrived_.wait(lock, [this] { return stopping_ || next_ < count_; });
    if (stopping_) return;
    while (next_ < count_) {
      const size_t begin = next_;
      const size_t end = std::min(count_, begin + grain_);
      next_ = end;
      const Job* job = job_;
      lock.unlock();
      for (size_t i = begin; i < end; ++i) (*job)(i);
      lock.lock();
      done_ += end - begin;
      if (done_ == count_) all_done_.notify_one();
    }
  }
}

}  // namespace agentos::bench
