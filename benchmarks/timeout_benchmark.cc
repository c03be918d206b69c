// 32 cached 4 KiB reads at a time, with a timeout on each and without: ours, and a link timeout of the kernel's for each.

#include <cstddef>
#include <memory>
#include <string>

#include "agentos/benchmarks/cached_read.h"
#include "agentos/benchmarks/catalog.h"
#include "agentos/benchmarks/our_side.h"

namespace agentos::bench {
namespace {

constexpr size_t kDepth = 32;

std::string WorkName(bool timeouts) { return timeouts ? "read_with_timeout_32" : "read_without_timeout_32"; }

}  // namespace

void RegisterBenchmarks(Catalog& catalog) {
  const auto file = std::make_shared<LazyCachedFile>();
  for (bool timeouts : {false, true}) {
    if (FloorAvailable()) {
      for (RingFlags flags : kAllRingFlags) {
        const FloorReadOptions options = {.flags = flags, .timeouts = timeouts};
        catalog.Add(WorkName(timeouts), Role::kFloor, RingFlagsName(flags),
                    [file, options](benchmark::State& state) { ReadByFloor(state, file->Get(), kDepth, options); });
      }
    }
    for (Threading threading : kAllThreadings) {
      catalog.Add(WorkName(timeouts), Role::kOurs, ThreadingName(threading),
                  [file, threading, timeouts](benchmark::State& state) {
                    const CachedFile& cached = file->Get();
                    std::unique_ptr<IoUringManager> manager = MakeManagerWithRing(state, threading);
                    if (manager == nullptr) return;
                    if (timeouts) {
                      ReadByBatchWithTimeouts(state, cached, kDepth, *manager, kPid);
                    } else {
                      ReadByBatch(state, cached, kDepth, *manager, kPid);
                    }
                  });
    }
  }
}

}  // namespace agentos::bench
