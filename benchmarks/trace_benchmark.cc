// What recording costs the thread that is recorded: 32 cached 4 KiB reads at a time, unrecorded, recorded to a file, and recorded to
// memory.

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "agentos/benchmarks/bench_environment.h"
#include "agentos/benchmarks/cached_file.h"
#include "agentos/benchmarks/cached_read.h"
#include "agentos/benchmarks/catalog.h"
#include "agentos/benchmarks/our_side.h"
#include "agentos/benchmarks/temp_dir.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/trace_options.h"

namespace agentos::bench {
namespace {

constexpr size_t kDepth = 32;

struct Mode {
  TraceMode mode;
  const char* work;
};

constexpr Mode kModes[] = {{TraceMode::kOff, "read_unrecorded_32"},
                           {TraceMode::kStream, "read_recorded_to_file_32"},
                           {TraceMode::kFlightRecorder, "read_recorded_to_memory_32"}};

void ReadRecorded(benchmark::State& state, const CachedFile& file, Threading threading, TraceMode mode) {
  const TempDir directory(Place::kDisk);
  IoUringManagerOptions options;
  options.threading = threading;
  options.trace.mode = mode;
  options.trace.path = directory.path() + "/trace";
  // What a long run writes is not what is measured.
  options.trace.max_file_bytes = uint64_t{64} << 20;
  options.trace.keep = 1;
  absl::StatusOr<std::unique_ptr<IoUringManager>> manager = IoUringManager::Create(std::move(options));
  if (!Check(state, manager.status())) return;
  if (!Check(state, (*manager)->CreateRing(kPid))) return;
  ReadByBatch(state, file, kDepth, **manager, kPid);
}

}  // namespace

void RegisterBenchmarks(Catalog& catalog) {
  const auto file = std::make_shared<LazyCachedFile>();
  for (const Threading threading : kAllThreadings) {
    for (const Mode& mode : kModes) {
      catalog.Add(mode.work, Role::kOurs, ThreadingName(threading),
                  [file, threading, mode](benchmark::State& state) { ReadRecorded(state, file->Get(), threading, mode.mode); });
    }
  }
}

}  // namespace agentos::bench
