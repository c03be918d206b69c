// 4 KiB reads at random offsets of a cached 64 MiB file, 32 at a time and one at a time.

#include <cstddef>
#include <memory>
#include <string>

#include "agentos/benchmarks/cached_read.h"
#include "agentos/benchmarks/catalog.h"
#include "agentos/benchmarks/our_side.h"

namespace agentos::bench {
namespace {

using File = std::shared_ptr<LazyCachedFile>;

constexpr size_t kPoolThreads = 4;

void AddFloors(Catalog& catalog, const std::string& work, size_t depth, const File& file) {
  for (RingFlags flags : kAllRingFlags) {
    for (int variant = 0; variant < 4; ++variant) {
      const FloorReadOptions options = {flags, (variant & 1) != 0, (variant & 2) != 0};
      const char* registered[] = {"", "_file", "_buffers", "_file_and_buffers"};
      catalog.Add(work, Role::kFloor, RingFlagsName(flags) + registered[variant],
                  [depth, file, options](benchmark::State& state) { ReadByFloor(state, file->Get(), depth, options); });
    }
  }
}

void AddOurs(Catalog& catalog, const std::string& work, size_t depth, const File& file) {
  for (Threading threading : kAllThreadings) {
    catalog.Add(work, Role::kOurs, ThreadingName(threading), [depth, file, threading](benchmark::State& state) {
      const CachedFile& cached = file->Get();
      std::unique_ptr<IoUringManager> manager = MakeManagerWithRing(state, threading);
      if (manager == nullptr) return;
      if (depth == 1) {
        ReadOne(state, cached, *manager, kPid);
      } else {
        ReadByBatch(state, cached, depth, *manager, kPid);
      }
    });
    catalog.Add(work, Role::kOurs, ThreadingName(threading) + "_submit_and_wait",
                [depth, file, threading](benchmark::State& state) {
                  const CachedFile& cached = file->Get();
                  std::unique_ptr<IoUringManager> manager = MakeManagerWithRing(state, threading);
                  if (manager != nullptr) ReadBySubmitAndWait(state, cached, depth, *manager, kPid);
                });
    catalog.Add(work, Role::kOurs, ThreadingName(threading) + "_registered", [depth, file, threading](benchmark::State& state) {
      const CachedFile& cached = file->Get();
      std::unique_ptr<IoUringManager> manager = MakeManagerWithRing(state, threading);
      if (manager != nullptr) ReadByBatchRegistered(state, cached, depth, *manager, kPid);
    });
  }
  catalog.Add(work, Role::kOurs, "threads_executor", [depth, file](benchmark::State& state) {
    const CachedFile& cached = file->Get();
    std::unique_ptr<IoUringManager> manager = MakeManagerOnThreads(state);
    if (manager == nullptr) return;
    if (depth == 1) {
      ReadOne(state, cached, *manager, kPid);
    } else {
      ReadByBatch(state, cached, depth, *manager, kPid);
    }
  });
}

void AddPeers(Catalog& catalog, const std::string& work, size_t depth, const File& file) {
  catalog.Add(work, Role::kPeer, "pread",
              [depth, file](benchmark::State& state) { ReadByPlainCalls(state, file->Get(), depth); });
  catalog.Add(work, Role::kPeer, "libuv", [depth, file](benchmark::State& state) { ReadByLibuv(state, file->Get(), depth); },
              {.manual_time = true});
  for (size_t grain : {size_t{1}, depth / kPoolThreads}) {
    if (grain == 0) continue;
    catalog.Add(work, Role::kPeer, grain == 1 ? "pool4" : "pool4_in_chunks", [depth, file, grain](benchmark::State& state) {
      BatchPool pool(kPoolThreads);
      ReadByPool(state, file->Get(), depth, pool, grain);
    });
  }
}

}  // namespace

void RegisterBenchmarks(Catalog& catalog) {
  const auto file = std::make_shared<LazyCachedFile>();
  for (size_t depth : {size_t{32}, size_t{1}}) {
    const std::string work = "cached_read_" + std::to_string(depth);
    if (FloorAvailable()) AddFloors(catalog, work, depth, file);
    AddOurs(catalog, work, depth, file);
    AddPeers(catalog, work, depth, file);
  }
}

}  // namespace agentos::bench
