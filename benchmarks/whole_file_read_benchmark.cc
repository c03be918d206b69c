// Reading 10,000 whole files of 1 to 16 KiB from the page cache, on disk and on tmpfs.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agentos/benchmarks/batch_pool.h"
#include "agentos/benchmarks/bench_environment.h"
#include "agentos/benchmarks/catalog.h"
#include "agentos/benchmarks/file_chains.h"
#include "agentos/benchmarks/our_side.h"
#include "agentos/benchmarks/small_files.h"
#include "agentos/benchmarks/whole_file_libuv.h"
#include "agentos/benchmarks/whole_file_ours.h"
#include "agentos/benchmarks/whole_file_peers.h"

namespace agentos::bench {
namespace {

using Files = std::shared_ptr<LazySmallFiles>;

// `read_all` answers the bytes it read, -1 on an error. The pass before the clock starts warms every buffer.
template <typename ReadAll>
void Measure(benchmark::State& state, const SmallFiles& files, ReadAll read_all) {
  const int64_t expected = static_cast<int64_t>(files.total_bytes());
  bool complete = read_all() == expected;
  for (auto _ : state) complete &= read_all() == expected;
  if (!complete) state.SkipWithError("a file is missing or not whole");
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * files.count()));
}

void Floor(benchmark::State& state, const SmallFiles& files, Shape shape, size_t depth, RingFlags flags) {
  std::unique_ptr<FloorRing> ring = FloorRing::Create(state, 1024, flags);
  if (ring == nullptr) return;
  FileChains chains(*ring, depth);
  if (chains.status() < 0) return state.SkipWithError(std::strerror(-chains.status()));
  const FileWork work = {.paths = &files.paths(), .sizes = nullptr};
  Measure(state, files, [&] { return chains.Run(shape, work); });
}

void Ours(benchmark::State& state, const SmallFiles& files, std::unique_ptr<IoUringManager> manager) {
  if (manager == nullptr) return;
  WholeFileRun run(*manager);
  Measure(state, files, [&] {
    const absl::StatusOr<int64_t> bytes =
        run.Run(files.count(), [&](size_t i) { return SyscallSubmissionEntry::ReadFile(kPid, files.paths()[i], i); });
    return bytes.ok() ? *bytes : int64_t{-1};
  });
}

void Plain(benchmark::State& state, const SmallFiles& files, int64_t (*read_one)(const std::string&)) {
  Measure(state, files, [&] {
    int64_t bytes = 0;
    for (const std::string& path : files.paths()) bytes += read_one(path);
    return bytes;
  });
}

void Pool(benchmark::State& state, const SmallFiles& files, size_t grain) {
  BatchPool pool(4);
  std::atomic<int64_t> bytes = 0;
  const BatchPool::Job job = [&](size_t i) { bytes += ReadByThreeCalls(files.paths()[i]); };
  Measure(state, files, [&] {
    bytes = 0;
    pool.Run(files.count(), grain, job);
    return bytes.load();
  });
}

void AddFloors(Catalog& catalog, const std::string& work, const Files& files) {
  for (Shape shape : kAllShapes) {
    for (RingFlags flags : kAllRingFlags) {
      for (size_t depth : {size_t{32}, size_t{64}, size_t{256}}) {
        catalog.Add(work, Role::kFloor, ShapeName(shape) + "_" + std::to_string(depth) + "_" + RingFlagsName(flags),
                    [=](benchmark::State& state) { Floor(state, files->Get(), shape, depth, flags); });
      }
    }
  }
}

}  // namespace

void RegisterBenchmarks(Catalog& catalog) {
  for (Place place : {Place::kDisk, Place::kTmpfs}) {
    const std::string work = "whole_file_read_" + PlaceName(place);
    const auto files = std::make_shared<LazySmallFiles>(place, Scaled(10000, 100));
    if (FloorAvailable()) AddFloors(catalog, work, files);
    for (Threading threading : kAllThreadings) {
      catalog.Add(work, Role::kOurs, ThreadingName(threading),
                  [=](benchmark::State& state) { Ours(state, files->Get(), MakeManagerWithRing(state, threading)); });
    }
    catalog.Add(work, Role::kOurs, "threads_executor",
                [=](benchmark::State& state) { Ours(state, files->Get(), MakeManagerOnThreads(state)); });
    catalog.Add(work, Role::kPeer, "plain", [=](benchmark::State& state) { Plain(state, files->Get(), ReadByThreeCalls); });
    catalog.Add(work, Role::kPeer, "plain_fstat", [=](benchmark::State& state) { Plain(state, files->Get(), ReadByFourCalls); });
    catalog.Add(work, Role::kPeer, "pool4", [=](benchmark::State& state) { Pool(state, files->Get(), 1); });
    catalog.Add(work, Role::kPeer, "pool4_in_chunks", [=](benchmark::State& state) { Pool(state, files->Get(), 16); });
    catalog.Add(work, Role::kPeer, "libuv", [=](benchmark::State& state) { ReadFilesByLibuv(state, files->Get()); },
                {.manual_time = true});
  }
}

}  // namespace agentos::bench
