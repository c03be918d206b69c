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
}

}  // namespace
}  // namespace agentos
