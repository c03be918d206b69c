// Cached 4 KiB reads, 32 at a time, on one thread and on two at once: what a second thread with its own process id adds.

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>

#include "agentos/benchmarks/cached_read.h"
#include "agentos/benchmarks/catalog.h"
#include "agentos/benchmarks/our_side.h"

namespace agentos::bench {
namespace {

constexpr size_t kDepth = 32;

// The manager that all threads of one measurement use. Google Benchmark starts and ends their loops together, so the first to
// come finds none and the last to go leaves none.
class SharedManager {
 public:
  IoUringManager* Enter(benchmark::State& state) {
    std::lock_guard lock(mutex_);
    if (users_++ == 0) manager_ = MakeManager(state, Threading::kAnyThread);
    return manager_.get();
  }
  void Leave() {
    std::lock_guard lock(mutex_);
    if (--users_ == 0) manager_.reset();
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<IoUringManager> manager_;
  int users_ = 0;
};

void OursTogether(benchmark::State& state, const CachedFile& file, SharedManager& shared) {
  IoUringManager* manager = shared.Enter(state);
  const Pid pid = kPid + static_cast<Pid>(state.thread_index());
  if (manager != nullptr && Check(state, manager->CreateRing(pid))) ReadByBatch(state, file, kDepth, *manager, pid);
  shared.Leave();
}

void OursApart(benchmark::State& state, const CachedFile& file) {
  std::unique_ptr<IoUringManager> manager = MakeManagerWithRing(state, Threading::kOneThread);
  if (manager != nullptr) ReadByBatch(state, file, kDepth, *manager, kPid);
}

}  // namespace

void RegisterBenchmarks(Catalog& catalog) {
  const auto file = std::make_shared<LazyCachedFile>();
  const auto shared = std::make_shared<SharedManager>();
  for (int threads : {1, 2}) {
    const std::string work = "cached_read_32_threads_" + std::to_string(threads);
    const auto add = [&](Role role, const std::string& variant, auto function) {
      catalog.Add(work, role, variant, function, {.threads = threads});
    };
    if (FloorAvailable()) {
      add(Role::kFloor, "a_ring_each",
          [=](benchmark::State& state) { ReadByFloor(state, file->Get(), kDepth, {.flags = RingFlags::kDeferTaskrun}); });
    }
    add(Role::kOurs, "any_thread", [=](benchmark::State& state) { OursTogether(state, file->Get(), *shared); });
    add(Role::kOurs, "a_one_thread_manager_each", [=](benchmark::State& state) { OursApart(state, file->Get()); });
    add(Role::kPeer, "pread", [=](benchmark::State& state) { ReadByPlainCalls(state, file->Get(), kDepth); });
  }
}

}  // namespace agentos::bench
