#include "agentos/ipc/pool_layout.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

TEST(PoolLayoutTest, BuffersLieSideBySideAndInTheirClass) {
  absl::StatusOr<PoolLayout> layout = PoolLayout::Create({{4096, 3}, {10000, 2}, {1 << 20, 1}});
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->buffers(), 6u);
  EXPECT_EQ(layout->max_size(), size_t{1} << 20);
  size_t end = 0;
  const size_t kSizes[] = {4096, 4096, 4096, 12288, 12288, 1 << 20};
  for (uint32_t i = 0; i < layout->buffers(); ++i) {
    const PoolLayout::Place place = layout->At(i);
    EXPECT_EQ(place.offset, end) << i;
    EXPECT_EQ(place.size, kSizes[i]) << i;
    end = place.offset + place.size;
  }
  EXPECT_EQ(end, layout->bytes());
}

TEST(PoolLayoutTest, ASizeGoesToTheSmallestClassThatHoldsIt) {
  absl::StatusOr<PoolLayout> layout = PoolLayout::Create({{4096, 3}, {65536, 2}});
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->ClassFor(0), 0u);
  EXPECT_EQ(layout->ClassFor(4096), 0u);
  EXPECT_EQ(layout->ClassFor(4097), 1u);
  EXPECT_EQ(layout->ClassFor(65536), 1u);
  EXPECT_EQ(layout->ClassFor(65537), std::nullopt);
}

TEST(PoolLayoutTest, WhatCannotBeIsRefusedByName) {
  const std::vector<std::vector<SizeClass>> kWrong = {
      {},
      std::vector<SizeClass>(PoolLayout::kMaxClasses + 1, SizeClass{4096, 1}),
      {{0, 1}},
      {{4096, 0}},
      {{4096, PoolLayout::kMaxBuffers + 1}},
      {{4096, PoolLayout::kMaxBuffers}, {8192, 1}},
      {{8192, 1}, {4096, 1}},
      {{4000, 1}, {4096, 1}},
      {{~size_t{0}, 1}},
      {{PoolLayout::kMaxBytes, 2}},
      {{PoolLayout::kMaxBytes, 1}, {PoolLayout::kMaxBytes + 4096, 1}},
  };
  for (const std::vector<SizeClass>& classes : kWrong) {
    EXPECT_TRUE(Refused(PoolLayout::Create(classes).status(), absl::StatusCode::kInvalidArgument, {"size class"}));
  }
}

}  // namespace
}  // namespace agentos
