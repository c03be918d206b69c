#include "agentos/executor/zero_copy_policy.h"

#include <cstddef>
#include <vector>

#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr size_t kFrom = 1000;

// How many sends are left out before the next try.
int LeftOut(ZeroCopyPolicy& policy) {
  int count = 0;
  while (!policy.ShouldTry(kFrom)) ++count;
  return count;
}

TEST(ZeroCopyPolicy, TriesFromItsSizeUpward) {
  ZeroCopyPolicy policy(kFrom);
  EXPECT_FALSE(policy.ShouldTry(0));
  EXPECT_FALSE(policy.ShouldTry(kFrom - 1));
  EXPECT_TRUE(policy.ShouldTry(kFrom));
  ZeroCopyPolicy never(ZeroCopyPolicy::kNever);
  EXPECT_FALSE(never.ShouldTry(size_t{1} << 40));
}

TEST(ZeroCopyPolicy, LeavesOutMoreAfterEachThatWasCopied) {
  ZeroCopyPolicy policy(kFrom);
  std::vector<int> left_out;
  for (int i = 0; i < 10; ++i) {
    left_out.push_back(LeftOut(policy));
    policy.Report(/*copied=*/true);
  }
  EXPECT_EQ(left_out, (std::vector<int>{0, 64, 128, 256, 512, 1024, 2048, 4096, 4096, 4096}));
}

TEST(ZeroCopyPolicy, SmallOnesDoNotShortenTheWait) {
  ZeroCopyPolicy policy(kFrom);
  EXPECT_TRUE(policy.ShouldTry(kFrom));
  policy.Report(/*copied=*/true);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(policy.ShouldTry(kFrom - 1));
  EXPECT_EQ(LeftOut(policy), 64);
}

TEST(ZeroCopyPolicy, WaitsForTheAnswerAsLongAsItKnowsNothing) {
  ZeroCopyPolicy policy(kFrom);
  EXPECT_TRUE(policy.ShouldTry(kFrom));
  for (int i = 0; i < 10'000; ++i) EXPECT_FALSE(policy.ShouldTry(kFrom));
  policy.Forget();
  EXPECT_TRUE(policy.ShouldTry(kFrom));
}

TEST(ZeroCopyPolicy, GoesOnWhileNothingIsCopiedAndStartsAnew) {
  ZeroCopyPolicy policy(kFrom);
  for (int i = 0; i < 5; ++i) {
    LeftOut(policy);
    policy.Report(/*copied=*/true);
  }
  LeftOut(policy);
  policy.Report(/*copied=*/false);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(policy.ShouldTry(kFrom));
  policy.Report(/*copied=*/true);
  for (int i = 1; i < 10; ++i) policy.Report(/*copied=*/false);
  EXPECT_TRUE(policy.ShouldTry(kFrom));
  policy.Report(/*copied=*/true);
  EXPECT_EQ(LeftOut(policy), 64);
}

}  // namespace
}  // namespace agentos
