#include "agentos/testing/allocation_count.h"

#include <memory>
#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace agentos {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kCounted = 0;
#else
constexpr size_t kCounted = 1;
#endif

TEST(AllocationCountTest, CountsEachAllocationOfThisThread) {
  const size_t before = AllocationCount();
  const auto one = std::make_unique<std::string>();
  EXPECT_EQ(AllocationCount() - before, kCounted);
  size_t of_other = 0;
  std::thread other([&of_other] {
    const auto another = std::make_unique<int>(1);
    of_other = AllocationCount();
  });
  other.join();
  EXPECT_GE(of_other, kCounted);
  // What it takes to make a thread is this one's; what the thread allocates is not.
  const size_t after = AllocationCount();
  EXPECT_EQ(AllocationCount(), after);
}

}  // namespace
}  // namespace agentos
