// P6: starting is in order of priority, then of submission, with aging.

#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "agentos/manager/manager_fixture.h"
#include "agentos/ring/start_queue.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

// A ring that starts one entry at a time, and is held up until its queue is full: completions are then in the order of starts.
class PriorityTest : public ManagerTest {
 protected:
  void SetUp() override {
    ManagerTest::SetUp();
    RingOptions options;
    options.max_in_flight = 1;
    ASSERT_TRUE(manager().CreateRing(kPid, options).ok());
    gate_ = MakePipe();
    held_up_by_ = Submit(Entry::Read(kPid, gate_.first.get(), 10, kCurrentPosition, 0));
  }
  void TearDown() override {
    gate_ = Pair();
    ManagerTest::TearDown();
  }

  void Queue(Priority priority, uint64_t user_data) { Submit(Entry::Nop(kPid, user_data).WithPriority(priority)); }

  std::vector<uint64_t> OrderOfStarts(size_t count) {
    EXPECT_EQ(write(gate_.second.get(), "go", 2), 2);
    EXPECT_TRUE(Succeeded(Wait(held_up_by_), 2));
    std::vector<uint64_t> order;
    const absl::StatusOr<std::vector<Done>> done = manager().WaitCompletions(kPid, count, count, absl::Seconds(30));
    EXPECT_TRUE(done.ok()) << done.status();
    if (done.ok()) {
      for (const Done& one : *done) order.push_back(one.user_data);
    }
    return order;
  }

 private:
  Pair gate_;
  Seq held_up_by_ = 0;
};

TEST_P(PriorityTest, P6UrgentGoesFirstThenNormalThenBackgroundEachInOrder) {
  Queue(Priority::kBackground, 5);
  Queue(Priority::kNormal, 3);
  Queue(Priority::kUrgent, 1);
  Queue(Priority::kBackground, 6);
  Queue(Priority::kNormal, 4);
  Queue(Priority::kUrgent, 2);
  EXPECT_EQ(OrderOfStarts(6), (std::vector<uint64_t>{1, 2, 3, 4, 5, 6}));
}

TEST_P(PriorityTest, P6BackgroundIsNeverStarved) {
  Queue(Priority::kBackground, 1000);
  for (uint64_t i = 0; i < 100; ++i) Queue(Priority::kUrgent, i);
  const std::vector<uint64_t> order = OrderOfStarts(101);
  ASSERT_EQ(order.size(), 101u);
  EXPECT_EQ(order[StartQueue::kPatience], 1000u);
  EXPECT_EQ(order[0], 0u);
  EXPECT_EQ(order[100], 99u);
}

TEST_P(PriorityTest, P16APriorityThatIsNoneIsRefused) {
  EXPECT_TRUE(Refused(manager().Submit(kPid, Entry::Nop(kPid, 0).WithPriority(static_cast<Priority>(7))).status(),
                      absl::StatusCode::kInvalidArgument, {"Nop", "WithPriority"}));
}

INSTANTIATE_TEST_SUITE_P(Threading, PriorityTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
