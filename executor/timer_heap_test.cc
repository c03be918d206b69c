#include "agentos/executor/timer_heap.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace agentos {
namespace {

TEST(TimerHeap, GivesTheEarliestFirstAndNoneBeforeItsTime) {
  TimerHeap timers;
  std::vector<std::unique_ptr<Slot>> slots;
  for (int64_t deadline : {50, 10, 40, 10, 30, 20}) {
    slots.push_back(std::make_unique<Slot>());
    timers.Add(*slots.back(), deadline);
  }
  EXPECT_EQ(timers.PopIfOver(9), nullptr);
  std::vector<int64_t> order;
  while (Slot* slot = timers.PopIfOver(49)) {
    EXPECT_FALSE(slot->progress.has_timer);
    order.push_back(slot->deadline_ns);
  }
  EXPECT_EQ(order, (std::vector<int64_t>{10, 10, 20, 30, 40}));
  EXPECT_EQ(timers.earliest_ns(), 50);
}

TEST(TimerHeap, AnyMemberCanBeTakenOutAtAnyTime) {
  std::mt19937 random(7);
  TimerHeap timers;
  std::vector<std::unique_ptr<Slot>> slots(200);
  std::vector<Slot*> in;
  for (auto& slot : slots) slot = std::make_unique<Slot>();
  std::vector<Slot*> out;
  for (auto& slot : slots) out.push_back(slot.get());
  for (int step = 0; step < 20'000; ++step) {
    std::vector<Slot*>& from = random() % 2 == 0 ? in : out;
    if (from.empty()) continue;
    const size_t index = random() % from.size();
    Slot* slot = from[index];
    from.erase(from.begin() + static_cast<ptrdiff_t>(index));
    if (&from == &in) {
      timers.Remove(*slot);
      out.push_back(slot);
    } else {
      timers.Add(*slot, random() % 100);
      in.push_back(slot);
    }
    ASSERT_EQ(timers.empty(), in.empty());
    if (in.empty()) continue;
    const auto earliest =
        std::min_element(in.begin(), in.end(), [](const Slot* a, const Slot* b) { return a->deadline_ns < b->deadline_ns; });
    ASSERT_EQ(timers.earliest_ns(), (*earliest)->deadline_ns);
  }
}

}  // namespace
}  // namespace agentos
