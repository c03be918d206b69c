// Creating 1,000 small files of 1 to 16 KiB, each time in a fresh tree. Only the creation is timed, not the directories nor the
// content.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "agentos/benchmarks/batch_pool.h"
#include "agentos/benchmarks/bench_environment.h"
#include "agentos/benchmarks/catalog.h"
#include "agentos/benchmarks/file_chains.h"
#include "agentos/benchmarks/fresh_trees.h"
#include "agentos/benchmarks/our_side.h"
#include "agentos/benchmarks/whole_file_ours.h"
#include "agentos/benchmarks/whole_file_peers.h"
#include "agentos/ring/bytes.h"

namespace agentos::bench {
namespace {

// `prepare` is not timed, `create` is. The first tree warms up.
template <typename Prepare, typename Create>
void Measure(benchmark::State& state, FreshTrees& trees, Prepare prepare, Create create) {
  bool whole = true;
  const auto once = [&] {
    trees.Next();
    prepare();
    const auto begin = std::chrono::steady_clock::now();
    create();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    whole &= trees.Whole();
    return took.count();
  };
  once();
  for (auto _ : state) state.SetIterationTime(once());
  if (!whole) state.SkipWithError("a file is missing or not whole");
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * trees.sizes().size()));
}

void Floor(benchmark::State& state, FreshTrees& trees, Shape shape, size_t depth, RingFlags flags) {
  std::unique_ptr<FloorRing> ring = FloorRing::Create(state, 1024, flags);
  if (ring == nullptr) return;
  FileChains chains(*ring, depth);
  if (chains.status() < 0) return state.SkipWithError(std::strerror(-chains.status()));
  const FileWork work = {.paths = &trees.paths(), .sizes = &trees.sizes()};
  Measure(
      state, trees, [] {}, [&] { chains.Run(shape, work); });
}

void Ours(benchmark::State& state, FreshTrees& trees, Threading threading) {
  std::unique_ptr<IoUringManager> manager = MakeManagerWithRing(state, threading);
  if (manager == nullptr) return;
  WholeFileRun run(*manager);
  std::vector<Bytes> contents(trees.sizes().size());
  // The content is the program's own and is handed over; making it is no part of writing it.
  const auto prepare = [&] {
    for (size_t i = 0; i < contents.size(); ++i) contents[i] = std::string(trees.content(), trees.sizes()[i]);
  };
  const auto make_entry = [&](size_t i) {
    return SyscallSubmissionEntry::WriteFile(kPid, trees.paths()[i], std::move(contents[i]), i);
  };
  Measure(state, trees, prepare, [&] { run.Run(contents.size(), make_entry).status().IgnoreError(); });
}

void Plain(benchmark::State& state, FreshTrees& trees) {
  Measure(
      state, trees, [] {},
      [&] {
        for (size_t i = 0; i < trees.sizes().size(); ++i) CreateByThreeCalls(trees.paths()[i], trees.content(), trees.sizes()[i]);
      });
}

void Pool(benchmark::State& state, FreshTrees& trees, size_t threads) {
  BatchPool pool(threads);
  // A thread takes a directory's worth at a time, as a program would split the work that knows it well.
  Measure(
      state, trees, [] {},
      [&] {
        pool.Run(trees.sizes().size(), 100,
                 [&](size_t i) { CreateByThreeCalls(trees.paths()[i], trees.content(), trees.sizes()[i]); });
      });
}

}  // namespace

void RegisterBenchmarks(Catalog& catalog) {
  // Trees stay until the program ends: temp_dir.h says what deleted files do to those created next.
  const auto kept = std::make_shared<std::vector<std::unique_ptr<FreshTrees>>>();
  for (Place place : {Place::kDisk, Place::kTmpfs}) {
    const std::string work = "file_create_" + PlaceName(place);
    const size_t count = Scaled(1000, 20);
    const auto add = [&](Role role, const std::string& variant, auto function) {
      const auto run = [=](benchmark::State& state) {
        kept->push_back(std::make_unique<FreshTrees>(place, count));
        function(state, *kept->back());
      };
      // Few, because each leaves a tree behind.
      catalog.Add(work, role, variant, run, {.manual_time = true, .iterations = 3});
    };
    for (RingFlags flags : kAllRingFlags) {
      if (!FloorAvailable()) break;
      for (const auto& [shape, depth] : {std::pair(Shape::kChains, size_t{32}), std::pair(Shape::kChains, size_t{256}),
                                         std::pair(Shape::kPipelined, size_t{256})}) {
        add(Role::kFloor, ShapeName(shape) + "_" + std::to_string(depth) + "_" + RingFlagsName(flags),
            [=, s = shape, d = depth](benchmark::State& state, FreshTrees& trees) { Floor(state, trees, s, d, flags); });
      }
    }
    for (Threading threading : kAllThreadings) {
      add(Role::kOurs, ThreadingName(threading),
          [=](benchmark::State& state, FreshTrees& trees) { Ours(state, trees, threading); });
    }
    add(Role::kPeer, "plain", Plain);
    add(Role::kPeer, "two_plain_threads", [](benchmark::State& state, FreshTrees& trees) { Pool(state, trees, 2); });
    add(Role::kPeer, "pool4", [](benchmark::State& state, FreshTrees& trees) { Pool(state, trees, 4); });
  }
}

}  // namespace agentos::bench
