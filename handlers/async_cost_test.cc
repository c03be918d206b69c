// What operations of coroutines cost in allocations: nothing beyond the coroutine's frame.

#include <fcntl.h>

#include <cstdint>
#include <string>
#include <utility>

#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/async_ring_fixture.h"
#include "agentos/handlers/task.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/allocation_count.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr size_t kBlock = 4096;

class AsyncCostTest : public AsyncRingFixture {};

struct Reads {
  int fd;
  uint64_t done = 0;
};

Task<void> ReadForEver(AsyncRing& ring, Reads& reads) {
  for (;;) {
    const Done done = co_await ring.Read(reads.fd, kBlock, 0);
    if (!done.status.is_success()) co_return;
    ++reads.done;
  }
}

TEST_P(AsyncCostTest, AnAwaitedOperationAllocatesNothing) {
  Spill(Path("file"), Content(kBlock));
  const Fd file(open(Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  Reads reads = {.fd = file.get()};
  for (int i = 0; i < 32; ++i) ring().Spawn(ReadForEver(ring(), reads));
  while (reads.done < 1000) ring().RunOnce();
  const size_t before = AllocationCount();
  while (reads.done < 5000) ring().RunOnce();
  EXPECT_EQ(AllocationCount() - before, 0u);
  EXPECT_EQ(ring().spawned(), 32u);
  EndRing();
}

Task<int> Give(int value) { co_return value; }

TEST_P(AsyncCostTest, ATaskAllocatesItsFrameAndNothingElse) {
  const auto many = []() -> Task<int> {
    int sum = 0;
    for (int i = 0; i < 100; ++i) sum += co_await Give(1);
    co_return sum;
  };
  const size_t before = AllocationCount();
  EXPECT_EQ(ring().RunUntilComplete(many()), 100);
  // Its own, those of the hundred, and the one that watches for its end.
  EXPECT_LE(AllocationCount() - before, 102u);
}

INSTANTIATE_TEST_SUITE_P(Threading, AsyncCostTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
