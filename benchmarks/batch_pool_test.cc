#include "agentos/benchmarks/batch_pool.h"

#include <atomic>
#include <cstddef>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agentos::bench {
namespace {

using ::testing::Each;

TEST(BatchPoolTest, CallsEveryIndexOnceWhateverTheGrain) {
  BatchPool pool(3);
  for (size_t grain : {1, 7, 100, 1000}) {
    std::vector<std::atomic<int>> calls(100);
    pool.Run(calls.size(), grain, [&](size_t i) { ++calls[i]; });
    std::vector<int> counts(calls.begin(), calls.end());
    EXPECT_THAT(counts, Each(1)) << grain;
  }
}

TEST(BatchPoolTest, RunReturnsOnlyWhenTheBatchIsDone) {
  BatchPool pool(4);
  size_t sum = 0;
  for (size_t round = 0; round < 1000; ++round) {
    std::atomic<size_t> batch = 0;
    pool.Run(8, 1, [&](size_t i) { batch += i; });
    sum += batch;
  }
  EXPECT_EQ(sum, 28000u);
}

TEST(BatchPoolTest, AnEmptyBatchReturnsAtOnce) {
  BatchPool pool(2);
  pool.Run(0, 1, [](size_t) { FAIL(); });
}

}  // namespace
}  // namespace agentos::bench
