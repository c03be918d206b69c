#include "agentos/ring/latency_histogram.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

LatencyHistogram Of(const std::vector<int64_t>& values) {
  LatencyHistogram histogram;
  for (const int64_t value : values) histogram.Add(value);
  return histogram;
}

TEST(LatencyHistogramTest, AnswersNothingButZeroWhenEmpty) {
  const LatencyHistogram empty;
  EXPECT_EQ(empty.count(), 0u);
  EXPECT_EQ(empty.max(), 0u);
  for (const double fraction : {0.0, 0.5, 1.0}) EXPECT_EQ(empty.Percentile(fraction), 0u);
}

TEST(LatencyHistogramTest, CountsARankFromTheSmallestValue) {
  const LatencyHistogram histogram = Of({10, 3, 5, 1, 9, 4, 7, 2, 8, 6});
  struct Case {
    double fraction;
    uint64_t expected;
  };
  for (const Case& c : {Case{0, 1}, Case{0.3, 3}, Case{0.5, 5}, Case{0.9, 9}, Case{0.99, 10}, Case{1, 10}}) {
    EXPECT_EQ(histogram.Percentile(c.fraction), c.expected) << c.fraction;
  }
  EXPECT_EQ(histogram.count(), 10u);
}

TEST(LatencyHistogramTest, TakesAClockThatWentBackForNoTime) {
  for (const std::vector<int64_t>& values : std::vector<std::vector<int64_t>>{{-1}, {std::numeric_limits<int64_t>::min()}, {0}}) {
    const LatencyHistogram histogram = Of(values);
    EXPECT_EQ(histogram.count(), 1u);
    EXPECT_EQ(histogram.max(), 0u);
    EXPECT_EQ(histogram.Percentile(1), 0u);
  }
}

// Of each power of two its neighbours, where a bucket ends or widths change.
TEST(LatencyHistogramTest, KnowsEveryValueWithinAnEighth) {
  std::vector<uint64_t> values;
  for (uint64_t value = 0; value <= 40; ++value) values.push_back(value);
  for (int bit = 6; bit < 63; ++bit) {
    const uint64_t power = uint64_t{1} << bit;
    for (const uint64_t value : {power - 1, power, power + 1, power + power / 8 - 1, power + power / 8}) values.push_back(value);
  }
  for (const uint64_t value : values) {
    // The larger one keeps the histogram from cutting the answer off at its maximum.
    const uint64_t answer = Of({static_cast<int64_t>(value), kMost}).Percentile(0);
    EXPECT_GE(answer, value);
    EXPECT_LE(answer, value + value / 8) << value;
    EXPECT_TRUE(value >= 16 || answer == value) << value;
  }
}

TEST(LatencyHistogramTest, NeverAnswersMoreThanTheLargestValue) {
  for (const int64_t value : {int64_t{17}, int64_t{1000}, int64_t{1} << 40, kMost}) {
    const LatencyHistogram histogram = Of({value});
    EXPECT_EQ(histogram.Percentile(0), static_cast<uint64_t>(value));
    EXPECT_EQ(histogram.Percentile(1), static_cast<uint64_t>(value));
    EXPECT_EQ(histogram.max(), static_cast<uint64_t>(value));
  }
}

TEST(LatencyHistogramTest, CountsAValueThatComesAgainAndOneThatComesBack) {
  const LatencyHistogram histogram = Of({0, 0, 5, 5, 5, 1000, 5, 0});
  EXPECT_EQ(histogram.count(), 8u);
  EXPECT_EQ(histogram.Percentile(2.0 / 7), 0u);
  EXPECT_EQ(histogram.Percentile(3.0 / 7 + 1e-9), 5u);
  EXPECT_EQ(histogram.Percentile(6.0 / 7 + 1e-9), 5u);
  EXPECT_EQ(histogram.Percentile(1), 1000u);
}

TEST(LatencyHistogramTest, MergesIntoWhatOneHistogramOfAllWouldBe) {
  struct Case {
    std::vector<int64_t> left;
    std::vector<int64_t> right;
  };
  for (const Case& c : {Case{{}, {}}, Case{{1, 2, 300}, {}}, Case{{}, {7, 90000}}, Case{{5, 5, 80}, {5, 4, 1 << 20}}}) {
    std::vector<int64_t> all = c.left;
    all.insert(all.end(), c.right.begin(), c.right.end());
    LatencyHistogram merged = Of(c.left);
    merged.Merge(Of(c.right));
    // What is added later is counted as before.
    for (const int64_t later : {int64_t{80}, int64_t{9}}) {
      merged.Add(later);
      all.push_back(later);
    }
    const LatencyHistogram expected = Of(all);
    EXPECT_EQ(merged.count(), expected.count());
    EXPECT_EQ(merged.max(), expected.max());
    for (int percent = 0; percent <= 100; ++percent)
      EXPECT_EQ(merged.Percentile(percent / 100.0), expected.Percentile(percent / 100.0));
  }
}

TEST(LatencyHistogramTest, StaysWithinAnEighthOfWhatSortingGives) {
  constexpr size_t kValues = 20'000;
  std::mt19937_64 random(1);
  LatencyHistogram histogram;
  std::vector<uint64_t> sorted;
  for (size_t i = 0; i < kValues; ++i) {
    const uint64_t value = random() >> (1 + random() % 50);
    histogram.Add(static_cast<int64_t>(value));
    sorted.push_back(value);
  }
  std::sort(sorted.begin(), sorted.end());
  for (int mille = 0; mille <= 1000; ++mille) {
    const double fraction = mille / 1000.0;
    const uint64_t exact = sorted[static_cast<size_t>(fraction * (kValues - 1))];
    const uint64_t answer = histogram.Percentile(fraction);
    EXPECT_GE(answer, exact) << fraction;
    EXPECT_LE(answer, exact + exact / 8) << fraction;
  }
}

}  // namespace
}  // namespace agentos
