// 4 KiB reads with O_DIRECT at random offsets of a 64 MiB file on disk, 32 and 128 at a time.

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
    for (bool registered : {false, true}) {
      const FloorReadOptions options = {.flags = flags, .registered_file = registered, .registered_buffers = registered};
      catalog.Add(work, Role::kFloor, RingFlagsName(flags) + (registered ? "_file_and_buffers" : ""),
                  [depth, file, options](benchmark::State& state) { ReadByFloor(state, file->Get(), depth, options); });
    }
  }
}

void AddOurs(Catalog& catalog, const std::string& work, size_t depth, const File& file) {
  for (Threading threading : kAllThreadings) {
    catalog.Add(work, Role::kOurs, ThreadingName(threading), [depth, file, threading](benchmark::State& state) {
      const CachedFile& direct = file->Get();
      std::unique_ptr<IoUringManager> manager = MakeManagerWithRing(state, threading);
      if (manager != nullptr) ReadByBatch(state, direct, depth, *manager, kPid);
    });
  }
}

void AddPeers(Catalog& catalog, const std::string& work, size_t depth, const File& file) {
  catalog.Add(work, Role::kPeer, "pread",
              [depth, file](benchmark::State& state) { ReadByPlainCalls(state, file->Get(), depth); });
  catalog.Add(work, Role::kPeer, "pool4", [depth, file](benchmark::State& state) {
    BatchPool pool(kPoolThreads);
    ReadByPool(state, file->Get(), depth, pool, 1);
  });
}

}  // namespace

void RegisterBenchmarks(Catalog& catalog) {
  const auto file = std::make_shared<LazyCachedFile>(Caching::kDirect);
  for (size_t depth : {size_t{32}, size_t{128}}) {
    const std::string work = "o_direct_read_" + std::to_string(depth);
    if (FloorAvailable()) AddFloors(catalog, work, depth, file);
    AddOurs(catalog, work, depth, file);
    AddPeers(catalog, work, depth, file);
  }
}

}  // namespace agentos::bench
