#include "agentos/tools/depth_over_time.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace agentos {
namespace {

struct Times {
  int64_t queued;
  int64_t started;
  int64_t ended;
};

double Overlap(int64_t from, int64_t to, double stretch_from, double stretch_ns) {
  return std::max(
      0.0, std::min(static_cast<double>(to), stretch_from + stretch_ns) - std::max(static_cast<double>(from), stretch_from));
}

TEST(DepthOverTimeTest, NothingHasNoDepth) { EXPECT_TRUE(DepthOverTime().Stretches().empty()); }

TEST(DepthOverTimeTest, ShortTracesAreExactToTheNanosecond) {
  DepthOverTime depth(16);
  depth.Add(100, 102, 105);
  depth.Add(101, 101, 103);
  const std::vector<DepthOverTime::Stretch> stretches = depth.Stretches();
  ASSERT_EQ(stretches.size(), 6U);
  EXPECT_EQ(depth.stretch_ns(), 1);
  const double waiting[] = {1, 1, 0, 0, 0, 0};
  const double under_way[] = {0, 1, 2, 1, 1, 0};
  for (size_t i = 0; i < stretches.size(); ++i) {
    EXPECT_EQ(stretches[i].from_ns, 100 + static_cast<int64_t>(i));
    EXPECT_EQ(stretches[i].waiting, waiting[i]) << i;
    EXPECT_EQ(stretches[i].under_way, under_way[i]) << i;
  }
}

// Against the definition, with stretches that grow many times, operations in no order and times on both sides of 0.
TEST(DepthOverTimeTest, MeansAreThoseOfTheDefinition) {
  std::mt19937_64 random(7);
  DepthOverTime depth(64);
  std::vector<Times> all;
  for (int i = 0; i < 500; ++i) {
    Times times{};
    times.queued = static_cast<int64_t>(random() % 2'000'000) - 1'000'000;
    times.started = times.queued + static_cast<int64_t>(random() % 5'000);
    times.ended = times.started + static_cast<int64_t>(random() % (i % 10 == 0 ? 500'000 : 9'000));
    all.push_back(times);
    depth.Add(times.queued, times.started, times.ended);
  }
  const std::vector<DepthOverTime::Stretch> stretches = depth.Stretches();
  EXPECT_LE(stretches.size(), 64U);
  EXPECT_GT(stretches.size(), 16U) << "coarser than it has to be";
  for (size_t i = 0; i < stretches.size(); ++i) {
    double waiting = 0;
    double under_way = 0;
    for (const Times& times : all) {
      waiting += Overlap(times.queued, times.started, static_cast<double>(stretches[i].from_ns), depth.stretch_ns());
      under_way += Overlap(times.started, times.ended, static_cast<double>(stretches[i].from_ns), depth.stretch_ns());
    }
    EXPECT_NEAR(stretches[i].waiting, waiting / depth.stretch_ns(), 1e-6) << i;
    EXPECT_NEAR(stretches[i].under_way, under_way / depth.stretch_ns(), 1e-6) << i;
    EXPECT_EQ(static_cast<double>(stretches[i].from_ns - stretches[0].from_ns), static_cast<double>(i) * depth.stretch_ns());
  }
}

TEST(DepthOverTimeTest, AllOfTimeFits) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  DepthOverTime depth(16);
  depth.Add(kMin, 0, kMax);
  depth.Add(kMax, kMin, 5);
  const std::vector<DepthOverTime::Stretch> stretches = depth.Stretches();
  ASSERT_EQ(stretches.size(), 16U);
  EXPECT_EQ(stretches.front().from_ns, kMin);
  EXPECT_EQ(stretches.front().waiting, 1);
  EXPECT_EQ(stretches.back().waiting, 0);
  EXPECT_NEAR(stretches.back().under_way, 1, 1e-6);
}

}  // namespace
}  // namespace agentos
