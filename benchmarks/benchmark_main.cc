// The main function of every benchmark program. Beside Google Benchmark's flags it takes
//   --quick     tiny sizes: shows that it runs, measures nothing
//   --reverse   the last registered benchmark first; compare.py alternates, so that no contender always profits from its place
// It fails when a benchmark failed, which Google Benchmark's own main function does not.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "agentos/benchmarks/bench_environment.h"
#include "agentos/benchmarks/catalog.h"
#include "benchmark/benchmark.h"

namespace agentos::bench {
namespace {

class FailureWatchingReporter : public benchmark::ConsoleReporter {
 public:
  FailureWatchingReporter() : ConsoleReporter(OO_Tabular) {}
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) failed_ |= run.error_occurred;
    ConsoleReporter::ReportRuns(runs);
  }
  bool failed() const { return failed_; }

 private:
  bool failed_ = false;
};

// Takes `flag` out of the arguments.
bool TakeFlag(int& argc, char** argv, const char* flag) {
  char** end = std::remove_if(argv + 1, argv + argc, [flag](const char* argument) { return std::strcmp(argument, flag) == 0; });
  const bool taken = end != argv + argc;
  argc = static_cast<int>(end - argv);
  return taken;
}

void RegisterAll(const std::vector<Catalog::Item>& items) {
  for (const Catalog::Item& item : items) {
    benchmark::internal::Benchmark* registered = benchmark::RegisterBenchmark(item.name.c_str(), item.function);
    item.options.manual_time ? registered->UseManualTime() : registered->UseRealTime();
    if (item.options.threads > 1) registered->Threads(item.options.threads);
    if (item.options.iterations > 0) registered->Iterations(item.options.iterations);
  }
}

int Main(int argc, char** argv) {
  if (TakeFlag(argc, argv, "--quick")) SetQuickMode();
  const bool reverse = TakeFlag(argc, argv, "--reverse");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
#if defined(__clang__)
  benchmark::AddCustomContext("compiler", "clang " __clang_version__);
#else
  benchmark::AddCustomContext("compiler", "gcc " __VERSION__);
#endif
#if defined(__OPTIMIZE__)
  benchmark::AddCustomContext("optimized", "yes");
#else
  benchmark::AddCustomContext("optimized", "no");
#endif

  FailureWatchingReporter reporter;
  size_t ran = 0;
  {
    Catalog catalog;
    RegisterBenchmarks(catalog);
    std::vector<Catalog::Item> items = catalog.items();
    if (reverse) std::reverse(items.begin(), items.end());
    RegisterAll(items);
    ran = benchmark::RunSpecifiedBenchmarks(&reporter);
  }
  // The registered functions own the temporary files, which must be gone before static objects are.
  benchmark::ClearRegisteredBenchmarks();
  if (ran == 0) std::fprintf(stderr, "no benchmark matches --benchmark_filter\n");
  return ran == 0 || reporter.failed() ? 1 : 0;
}

}  // namespace
}  // namespace agentos::bench

int main(int argc, char** argv) { return agentos::bench::Main(argc, argv); }
