// A plain thread pool, mutex and condition variable: the peer that most programs have today.
//
// Whoever calls Run sleeps until the whole batch is done, as the callers of the other contenders do.
//
// Thread rule: Run from one thread at a time.
//
//   BatchPool pool(4);
//   pool.Run(32, /*grain=*/1, [&](size_t i) { pread(fd, buffer[i], 4096, offset[i]); });

#ifndef AGENTOS_BENCHMARKS_BATCH_POOL_H_
#define AGENTOS_BENCHMARKS_BATCH_POOL_H_

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace agentos::bench {

class BatchPool {
 public:
  using Job = std::function<void(size_t)>;

  explicit BatchPool(size_t threads);
  BatchPool(const BatchPool&) = delete;
  BatchPool& operator=(const BatchPool&) = delete;
  ~BatchPool();

  // Calls job(i) for every i below `count`; a thread takes `grain` of them at a time. 1 is what a pool does that knows nothing of
  // its jobs.
  void Run(size_t count, size_t grain, const Job& job);

 private:
  void Work();

  std::mutex mutex_;
  std::condition_variable work_arrived_;
  std::condition_variable all_done_;
  const Job* job_ = nullptr;
  size_t count_ = 0;
  size_t grain_ = 1;
  size_t next_ = 0;
  size_t done_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_BATCH_POOL_H_
