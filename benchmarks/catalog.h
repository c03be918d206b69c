// The list of what a benchmark program measures: works, and for each work the contenders that do the same thing.
//
// A benchmark's name is "<work>/<role>:<variant>", e.g. "nop_32/floor:defer_taskrun"; compare.py reads the names apart again.
// A program implements RegisterBenchmarks; benchmark_main.cc has the main function.
//
// Thread rule: one thread.
//
//   void agentos::bench::RegisterBenchmarks(Catalog& catalog) {
//     catalog.Add("nop_32", Role::kFloor, "default_flags", [](benchmark::State& state) { ... });
//   }

#ifndef AGENTOS_BENCHMARKS_CATALOG_H_
#define AGENTOS_BENCHMARKS_CATALOG_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"

namespace agentos::bench {

enum class Role {
  // liburing by hand; the best variant is what ours is measured against.
  kFloor,
  kOurs,
  // What a user would pick instead.
  kPeer,
};

class Catalog {
 public:
  using Function = std::function<void(benchmark::State&)>;

  struct Options {
    int threads = 1;
    // The function calls state.SetIterationTime: preparation between the iterations is not counted.
    bool manual_time = false;
    // 0: as many as Google Benchmark finds to be enough.
    int iterations = 0;
  };

  struct Item {
    std::string name;
    Function function;
    Options options;
  };

  void Add(const std::string& work, Role role, const std::string& variant, Function function, const Options& options);
  void Add(const std::string& work, Role role, const std::string& variant, Function function) {
    Add(work, role, variant, std::move(function), Options());
  }

  const std::vector<Item>& items() const { return items_; }

 private:
  std::vector<Item> items_;
};

// Implemented by each program.
void RegisterBenchmarks(Catalog& catalog);

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_CATALOG_H_
