// WaitGroup: one thread waits for the rings of many processes, and takes from each in its turn.

#include <sys/socket.h>

#include <cerrno>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/ring/ring_options.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Code = absl::StatusCode;

class RingGroupTest : public ManagerTest {
 protected:
  void SetUp() override {
    ManagerTest::SetUp();
    const absl::StatusOr<RingGroupId> group = manager().NewRingGroup();
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *group;
  }

  void MakeRing(Pid pid, RingOptions options = {}) {
    options.group = group_;
    const absl::Status made = manager().CreateRing(pid, options);
    EXPECT_TRUE(made.ok()) << made;
  }

  std::vector<Done> WaitGroup(size_t min, size_t max, absl::Duration timeout = absl::InfiniteDuration()) {
    std::vector<Done> out(max);
    const absl::StatusOr<size_t> count = manager().WaitGroup(group_, min, absl::MakeSpan(out), timeout);
    EXPECT_TRUE(count.ok()) << count.status();
    out.resize(count.value_or(0));
    return out;
  }

  RingGroupId group_ = 0;
};

TEST_P(RingGroupTest, P5GivesWhatComesOfAnyRingAndSaysWhose) {
  constexpr Pid kProcesses = 50;
  std::vector<Pair> pairs;
  for (Pid pid = 0; pid < kProcesses; ++pid) {
    MakeRing(pid);
    pairs.push_back(MakeSocketPair(SOCK_STREAM));
    Submit(Entry::Recv(pid, pairs.back().first.get(), 1, 0, pid + 100), pid);
  }
  EXPECT_TRUE(WaitGroup(0, 10).empty());
  for (Pid i = 0; i < kProcesses; ++i) {
    const Pid pid = i * 7 % kProcesses;
    ASSERT_EQ(send(pairs[pid].second.get(), "x", 1, 0), 1);
    const std::vector<Done> done = WaitGroup(1, 10);
    ASSERT_EQ(done.size(), 1u);
    EXPECT_EQ(done[0].pid, pid);
    EXPECT_EQ(done[0].user_data, pid + 100);
  }
}

TEST_P(RingGroupTest, WaitsForSoManyOfAllTogether) {
  MakeRing(1);
  MakeRing(2);
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  Submit(Entry::Nop(1, 0), 1);
  Submit(Entry::Recv(2, pair.first.get(), 1, 0, 0).WithTimeout(absl::Milliseconds(5)), 2);
  const std::vector<Done> done = WaitGroup(2, 5);
  ASSERT_EQ(done.size(), 2u);
  EXPECT_TRUE(Succeeded(done[0]));
  EXPECT_TRUE(FailedWith(done[1], ETIMEDOUT));
}

TEST_P(RingGroupTest, AtTheTimeoutItGivesWhatIsThereOrSaysSo) {
  MakeRing(1);
  std::vector<Done> out(4);
  EXPECT_TRUE(
      Refused(manager().WaitGroup(group_, 1, absl::MakeSpan(out), absl::Milliseconds(1)).status(), Code::kDeadlineExceeded));
  Submit(Entry::Nop(1, 0), 1);
  EXPECT_EQ(WaitGroup(3, 4, absl::Milliseconds(1)).size(), 1u);
}

TEST_P(RingGroupTest, ARingWithManyDoesNotKeepTheOthersWaiting) {
  MakeRing(1);
  MakeRing(2);
  for (int i = 0; i < 100; ++i) Submit(Entry::Nop(1, 0), 1);
  Submit(Entry::Nop(2, 0), 2);
  EXPECT_EQ(WaitGroup(1, 10).size(), 10u);
  EXPECT_EQ(WaitGroup(1, 10)[0].pid, 2u);
  std::map<Pid, size_t> rest;
  for (const Done& done : WaitGroup(81, 200)) ++rest[done.pid];
  EXPECT_EQ(rest[1], 81u);
}

TEST_P(RingGroupTest, WhatIsReapedElsewhereIsNotGivenAgain) {
  MakeRing(1);
  EXPECT_TRUE(Succeeded(Run(Entry::Nop(1, 0), 1)));
  Submit(Entry::Nop(1, 0), 1);
  EXPECT_EQ(manager().ReapCompletions(1)->size(), 1u);
  EXPECT_TRUE(WaitGroup(0, 10).empty());
  Submit(Entry::Nop(1, 7), 1);
  EXPECT_EQ(WaitGroup(1, 10)[0].user_data, 7u);
}

TEST_P(RingGroupTest, ARingLeavesItsGroupWhenItIsDestroyed) {
  MakeRing(1);
  MakeRing(2);
  Submit(Entry::Nop(1, 0), 1);
  ASSERT_TRUE(manager().DestroyRing(1).ok());
  Submit(Entry::Nop(2, 0), 2);
  EXPECT_EQ(WaitGroup(1, 10).size(), 1u);
  // Made anew without a group it is nobody's but its own.
  ASSERT_TRUE(manager().CreateRing(1).ok());
  Submit(Entry::Nop(1, 0), 1);
  EXPECT_TRUE(WaitGroup(0, 10).empty());
}

TEST_P(RingGroupTest, OtherRingsAreNotOfTheGroup) {
  MakeRing(1);
  EXPECT_TRUE(Succeeded(Run(Entry::IpcSend(9, 1, std::string("x"), 0), 9)));
  Submit(Entry::Nop(9, 0), 9);
  Submit(Entry::IpcRecv(1, 10, 0), 1);
  const std::vector<Done> done = WaitGroup(1, 10);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].result.data(), "x");
}

TEST_P(RingGroupTest, GroupsThatAreNoneAreNamed) {
  std::vector<Done> out(1);
  EXPECT_TRUE(
      Refused(manager().WaitGroup(0, 1, absl::MakeSpan(out), absl::ZeroDuration()).status(), Code::kNotFound, {"group 0"}));
  EXPECT_TRUE(
      Refused(manager().WaitGroup(99, 1, absl::MakeSpan(out), absl::ZeroDuration()).status(), Code::kNotFound, {"group 99"}));
  EXPECT_TRUE(
      Refused(manager().WaitGroup(group_, 2, absl::MakeSpan(out), absl::ZeroDuration()).status(), Code::kInvalidArgument));
  RingOptions options;
  options.group = 99;
  EXPECT_TRUE(Refused(manager().CreateRing(1, options), Code::kInvalidArgument, {"RingOptions.group is 99"}));
}

TEST_P(RingGroupTest, P5ManyThreadsSubmitForManyProcessesAndOneWaits) {
  if (GetParam() == Threading::kOneThread) GTEST_SKIP() << "one thread makes all calls";
  constexpr size_t kEach = 500;
  std::vector<std::thread> threads;
  for (Pid pid = 1; pid <= 4; ++pid) {
    MakeRing(pid, {.overflow = OverflowPolicy::kBackpressure});
    threads.emplace_back([this, pid] {
      for (size_t i = 0; i < kEach; ++i) {
        while (!manager().Submit(pid, Entry::Nop(pid, i)).ok()) std::this_thread::yield();
      }
    });
  }
  std::map<Pid, uint64_t> next;
  for (size_t taken = 0; taken < 4 * kEach;) {
    for (const Done& done : WaitGroup(1, 64)) {
      EXPECT_EQ(done.user_data, next[done.pid]++);
      ++taken;
    }
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Threading, RingGroupTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
