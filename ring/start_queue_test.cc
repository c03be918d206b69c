#include "agentos/ring/start_queue.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "agentos/ring/priority_turns.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class StartQueueTest : public testing::Test {
 protected:
  Slot* Make(Priority priority, Seq seq) {
    slots_.push_back(std::make_unique<Slot>());
    Slot* slot = slots_.back().get();
    slot->entry = SyscallSubmissionEntry::Nop(1, 0).WithPriority(priority);
    slot->seq = seq;
    return slot;
  }
  std::vector<Seq> Rest() {
    std::vector<Seq> order;
    while (Slot* slot = queue_.PopNext()) order.push_back(slot->seq);
    return order;
  }

  StartQueue queue_;
  std::vector<std::unique_ptr<Slot>> slots_;
};

TEST_F(StartQueueTest, P6ByPriorityThenInOrderOfSubmission) {
  for (auto [priority, seq] : std::vector<std::pair<Priority, Seq>>{{Priority::kBackground, 1},
                                                                    {Priority::kNormal, 2},
                                                                    {Priority::kUrgent, 3},
                                                                    {Priority::kNormal, 4},
                                                                    {Priority::kUrgent, 5}}) {
    queue_.PushBack(Make(priority, seq));
  }
  EXPECT_EQ(queue_.size(), 5u);
  EXPECT_EQ(Rest(), (std::vector<Seq>{3, 5, 2, 4, 1}));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(StartQueueTest, P6EachLevelHasItsTurnAfterBeingPassedOverSoOften) {
  queue_.PushBack(Make(Priority::kBackground, 1000));
  queue_.PushBack(Make(Priority::kNormal, 2000));
  uint64_t ticks = 0;
  uint64_t background = 0;
  uint64_t normal = 0;
  for (; background == 0 || normal == 0; ++ticks) {
    queue_.PushBack(Make(Priority::kUrgent, ticks + 1));
    const Seq seq = queue_.PopNext()->seq;
    if (seq == 1000) background = ticks;
    if (seq == 2000) normal = ticks;
    ASSERT_LT(ticks, 100u);
  }
  EXPECT_EQ(background, PriorityTurns::kPatience);
  EXPECT_EQ(normal, PriorityTurns::kPatience + 1) << "one turn after the other";
}

TEST_F(StartQueueTest, WhatWaitedForAnotherEntryGoesWhereItsNumberBelongs) {
  for (Seq seq : {2, 4, 6}) queue_.PushBack(Make(Priority::kNormal, seq));
  for (Seq seq : {5, 1, 7}) queue_.Insert(Make(Priority::kNormal, seq));
  EXPECT_EQ(Rest(), (std::vector<Seq>{1, 2, 4, 5, 6, 7}));
}

TEST_F(StartQueueTest, AnyEntryIsFoundAndCanBeTakenOut) {
  for (Seq seq : {1, 2, 3}) queue_.PushBack(Make(static_cast<Priority>(seq - 1), seq));
  Slot* slot = queue_.Find(2);
  ASSERT_NE(slot, nullptr);
  queue_.Remove(slot);
  EXPECT_EQ(queue_.Find(2), nullptr);
  size_t seen = 0;
  queue_.ForEach([&](const Slot*) { ++seen; });
  EXPECT_EQ(seen, 2u);
  EXPECT_EQ(Rest(), (std::vector<Seq>{3, 1}));
  EXPECT_EQ(queue_.PopNext(), nullptr);
}

}  // namespace
}  // namespace agentos
