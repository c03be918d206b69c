#include "agentos/tools/lanes.h"

#include <cstdint>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace agentos {
namespace {

TEST(LanesTest, OneAfterTheOtherTakesOneLane) {
  Lanes lanes;
  EXPECT_TRUE(lanes.IsFull(0));
  EXPECT_EQ(lanes.Take(0, 10), 0U);
  EXPECT_TRUE(lanes.IsFull(9));
  EXPECT_FALSE(lanes.IsFull(10));
  EXPECT_EQ(lanes.Take(10, 20), 0U);
  EXPECT_EQ(lanes.Take(20, 20), 0U);
  EXPECT_EQ(lanes.size(), 1U);
}

TEST(LanesTest, WhatOverlapsStandsSideBySide) {
  Lanes lanes;
  EXPECT_EQ(lanes.Take(0, 10), 0U);
  EXPECT_EQ(lanes.Take(5, 12), 1U);
  EXPECT_EQ(lanes.Take(9, 15), 2U);
  EXPECT_EQ(lanes.Take(12, 20), 1U) << "free for the shortest time";
  EXPECT_EQ(lanes.Take(12, 21), 0U);
  EXPECT_EQ(lanes.size(), 3U);
}

TEST(LanesTest, NoTwoInALaneOverlapWhateverTheOrder) {
  std::mt19937 random(3);
  Lanes lanes;
  std::map<size_t, std::vector<std::pair<int64_t, int64_t>>> taken;
  for (int i = 0; i < 2000; ++i) {
    const int64_t start = i * 3 + static_cast<int64_t>(random() % 50);
    const int64_t end = start + static_cast<int64_t>(random() % 60);
    auto& lane = taken[lanes.Take(start, end)];
    for (const auto& [other_start, other_end] : lane) ASSERT_TRUE(end <= other_start || other_end <= start);
    lane.emplace_back(start, end);
  }
  EXPECT_EQ(taken.size(), lanes.size());
}

}  // namespace
}  // namespace agentos
