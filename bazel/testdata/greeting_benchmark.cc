#include "agentos/bazel/testdata/greeting.h"
#include "benchmark/benchmark.h"

namespace agentos {
namespace {

void BM_Greeting(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(Greeting("ring"));
  }
}
BENCHMARK(BM_Greeting);

}  // namespace
}  // namespace agentos
