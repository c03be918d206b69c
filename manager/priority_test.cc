// P6: starting is in order of priority, then of submission, with aging.

#include <unistd.h>

#include <functional>
#include <latch>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/manager/test_manager.h"
#include "agentos/ring/observer.h"
#include "agentos/ring/priority_turns.h"
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
  EXPECT_EQ(order[PriorityTurns::kPatience], 1000u);
  EXPECT_EQ(order[0], 0u);
  EXPECT_EQ(order[100], 99u);
}

TEST_P(PriorityTest, P16APriorityThatIsNoneIsRefused) {
  EXPECT_TRUE(Refused(manager().Submit(kPid, Entry::Nop(kPid, 0).WithPriority(static_cast<Priority>(7))).status(),
                      absl::StatusCode::kInvalidArgument, {"Nop", "WithPriority"}));
}

// Counts what other pids start between the moment that one thread waits to submit and the start of its entry.
class StartCounter : public RingObserver {
 public:
  static constexpr Pid kBusy = 1;
  static constexpr Pid kUrgent = 2;

  // Called when the busy ring's so-manieth entry is dispatched, in the middle of its batch.
  std::function<void()> in_the_middle;

  void OnDispatched(Pid pid, Seq seq, OperationKind, int64_t /*queued_ns*/) override {
    if (pid == kUrgent) {
      started_before_urgent = since_middle_;
    } else if (seq == 100) {
      in_the_middle();
    } else if (seq > 100) {
      ++since_middle_;
    }
  }
  size_t started_before_urgent = ~size_t{0};

 private:
  size_t since_middle_ = 0;
};

TEST(FairnessByThreads, P6AnUrgentEntryWaitsForFewOfTenThousandOfAnotherRing) {
  constexpr size_t kMany = 10'000;
  constexpr size_t kFew = 64;
  StartCounter counter;
  TestManager manager(IoUringManagerOptions{.observer = &counter, .kernel_rings = 1});
  RingOptions options;
  options.sq_size = kMany;
  options.cq_size = kMany;
  ASSERT_TRUE(manager->CreateRing(StartCounter::kBusy, options).ok());
  ASSERT_TRUE(manager->CreateRing(StartCounter::kUrgent).ok());
  std::thread urgent;
  counter.in_the_middle = [&] {
    std::latch started(1);
    pid_t thread = 0;
    urgent = std::thread([&] {
      thread = ThisThread();
      started.count_down();
      const auto seq =
          manager->Submit(StartCounter::kUrgent, Entry::Nop(StartCounter::kUrgent, 0).WithPriority(Priority::kUrgent));
      ASSERT_TRUE(seq.ok()) << seq.status();
      EXPECT_TRUE(manager->WaitCompletion(StartCounter::kUrgent, *seq).ok());
    });
    started.wait();
    // It sleeps because this thread has the lane.
    AwaitAsleep(thread);
  };
  std::vector<Entry> entries;
  while (entries.size() < kMany) entries.push_back(Entry::Nop(StartCounter::kBusy, 0));
  ASSERT_TRUE(manager->SubmitBatch(StartCounter::kBusy, std::move(entries)).ok());
  const absl::StatusOr<std::vector<Done>> done =
      manager->WaitCompletions(StartCounter::kBusy, kMany, kMany, absl::InfiniteDuration());
  urgent.join();
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->size(), kMany);
  EXPECT_LE(counter.started_before_urgent, kFew);
}

// Each read of an empty pipe stays under way.
TEST_P(PriorityTest, P6WhatIsUnderWayIsBoundedInBytesToo) {
  ASSERT_TRUE(manager().CreateRing(9, {.max_bytes_in_flight = 250}).ok());
  const Pair one = MakePipe();
  const Pair two = MakePipe();
  const Pair ready = MakePipe();
  ASSERT_EQ(write(ready.second.get(), "ready", 5), 5);
  const Seq first = Submit(Entry::Read(9, one.first.get(), 100, kCurrentPosition, 0), 9);
  const Seq second = Submit(Entry::Read(9, two.first.get(), 150, kCurrentPosition, 0), 9);
  const Seq waits = Submit(Entry::Read(9, ready.first.get(), 1, kCurrentPosition, 0), 9);
  const Seq cancelled = Submit(Entry::Read(9, ready.first.get(), 1, kCurrentPosition, 0), 9);
  const Seq large = Submit(Entry::Read(9, ready.first.get(), 1000, kCurrentPosition, 0), 9);
  const Seq behind = Submit(Entry::Nop(9, 0), 9);
  EXPECT_EQ(Reapable(9), 0u) << "there is data for the third, but it has not started";
  EXPECT_TRUE(manager().Cancel(9, cancelled).ok());
  EXPECT_TRUE(WasCancelled(Wait(cancelled, 9)));
  ASSERT_EQ(write(one.second.get(), "1", 1), 1);
  EXPECT_TRUE(Succeeded(Wait(first, 9), 1));
  EXPECT_EQ(Wait(waits, 9).result.data(), "r");
  EXPECT_EQ(Reapable(9), 0u) << "more than the limit by itself, it goes alone, and nobody overtakes it";
  ASSERT_EQ(write(two.second.get(), "2", 1), 1);
  EXPECT_TRUE(Succeeded(Wait(second, 9), 1));
  EXPECT_EQ(Wait(large, 9).result.data(), "eady");
  EXPECT_TRUE(Succeeded(Wait(behind, 9)));
}

INSTANTIATE_TEST_SUITE_P(Threading, PriorityTest, BothThreadings(), ThreadingName);

// One worker, which is held up until all its jobs are queued: completions are then in the order in which it took them.
class WholeFilePriorityTest : public ManagerTest {
 protected:
  // Writes files, one for each priority, in one batch; the places in the batch, in the order in which they were written.
  std::vector<uint64_t> OrderOfWrites(const std::vector<Priority>& priorities) {
    Spill(Path("gated"), "old");
    IoUringManagerOptions options = Options();
    options.file_workers = 1;
    MakeManager(options);
    WriteGate gate(Path("gated"));
    if (!gate.holds()) return {};
    const Seq running = Submit(Entry::WriteFile(kPid, Path("gated"), Bytes("new"), 0));
    gate.AwaitWriter();
    std::vector<Entry> entries;
    for (const Priority priority : priorities) {
      const uint64_t i = entries.size();
      entries.push_back(Entry::WriteFile(kPid, Path(absl::StrCat(i)), Bytes("x"), i).WithPriority(priority));
    }
    EXPECT_TRUE(manager().SubmitBatch(kPid, std::move(entries)).ok());
    gate.Release();
    EXPECT_TRUE(Succeeded(Wait(running), 3));
    const size_t count = priorities.size();
    const absl::StatusOr<std::vector<Done>> done = manager().WaitCompletions(kPid, count, count, absl::Seconds(30));
    EXPECT_TRUE(done.ok()) << done.status();
    std::vector<uint64_t> order;
    if (!done.ok()) return {count};
    for (const Done& one : *done) {
      EXPECT_TRUE(Succeeded(one, 1));
      order.push_back(one.user_data);
    }
    return order;
  }
};

TEST_P(WholeFilePriorityTest, P6UrgentFilesGoFirstAmongThoseThatWaitForAWorker) {
  const std::vector<uint64_t> order = OrderOfWrites(
      {Priority::kBackground, Priority::kNormal, Priority::kUrgent, Priority::kBackground, Priority::kNormal, Priority::kUrgent});
  if (order.empty()) GTEST_SKIP() << "this file system has no leases, which keep an open waiting";
  EXPECT_EQ(order, (std::vector<uint64_t>{2, 5, 1, 4, 0, 3}));
}

TEST_P(WholeFilePriorityTest, P6FilesInTheBackgroundAreNotStarvedByUrgentOnes) {
  std::vector<Priority> priorities(PriorityTurns::kPatience + 10, Priority::kUrgent);
  priorities[0] = Priority::kBackground;
  const std::vector<uint64_t> order = OrderOfWrites(priorities);
  if (order.empty()) GTEST_SKIP() << "this file system has no leases, which keep an open waiting";
  ASSERT_EQ(order.size(), priorities.size());
  EXPECT_EQ(order[PriorityTurns::kPatience], 0u);
}

INSTANTIATE_TEST_SUITE_P(Threading, WholeFilePriorityTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
