#include "agentos/tools/trace_item.h"

#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();

TEST(TraceItemTest, AnOperationsTimesFollowEachOther) {
  TracedOperation operation;
  operation.queued_ns = 100;
  EXPECT_EQ(StartOf(operation), 100);
  EXPECT_EQ(EndOf(operation), 100);

  operation.waited_ns = 5;
  operation.took_ns = 20;
  EXPECT_EQ(StartOf(operation), 105);
  EXPECT_EQ(EndOf(operation), 125);
}

TEST(TraceItemTest, WhatAFileSaysCannotOverflow) {
  EXPECT_EQ(After(kMax, 1), kMax);
  EXPECT_EQ(After(kMax - 1, 1), kMax);
  EXPECT_EQ(After(1, kMax), kMax);
  EXPECT_EQ(After(kMin, kMax), -1);
  EXPECT_EQ(After(kMin, kMin), kMin);
  EXPECT_EQ(After(7, -1), 7);

  EXPECT_EQ(Shifted(7, -9), -2);
  EXPECT_EQ(Shifted(kMax, 1), kMax);
  EXPECT_EQ(Shifted(kMin, -1), kMin);
  EXPECT_EQ(Shifted(kMin, kMax), -1);

  EXPECT_EQ(Since(9, 7), -2);
  EXPECT_EQ(Since(kMin, kMax), kMax);
  EXPECT_EQ(Since(kMax, kMin), kMin);
  EXPECT_EQ(Since(kMin, kMin), 0);
}

}  // namespace
}  // namespace agentos
