#include "agentos/bazel/testdata/greeting.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

static_assert(__cplusplus >= 202002L, "the macros must set C++20");

TEST(GreetingTest, UsesTheLibraryAndItsDependency) {
  EXPECT_THAT(Greeting("ring"), testing::StrEq("hello, ring"));
  EXPECT_EQ(GreetingSize("ring"), 11U);
}

}  // namespace
}  // namespace agentos
