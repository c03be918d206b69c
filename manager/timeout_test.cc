// P8: a timeout completes the entry as an error with ETIMEDOUT; what was transferred is never turned into a timeout.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <latch>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr absl::Duration kShort = absl::Milliseconds(5);
constexpr absl::Duration kLong = absl::Hours(1);

class TimeoutTest : public ManagerTest {};

TEST_P(TimeoutTest, P8EveryKindOfPendingEntryIsStoppedByItsTimeoutAlone) {
  for (size_t one = 0; one < PendingEntries().names().size(); ++one) {
    const PendingEntries pending;
    SCOPED_TRACE(pending.names()[one]);
    std::vector<Entry> entries = pending.Make(kPid);
    entries[one] = std::move(entries[one]).WithTimeout(kShort);
    const absl::StatusOr<std::vector<Seq>> seqs = manager().SubmitBatch(kPid, std::move(entries));
    ASSERT_TRUE(seqs.ok()) << seqs.status();
    const Done late = Wait((*seqs)[one]);
    EXPECT_TRUE(FailedWith(late, ETIMEDOUT));
    EXPECT_TRUE(absl::IsDeadlineExceeded(late.status.ToStatus()));
    EXPECT_EQ(late.user_data, one);
    EXPECT_EQ(Reapable(), 0u) << "the others go on";
    ASSERT_TRUE(manager().DestroyRing(kPid).ok());
  }
}

TEST_P(TimeoutTest, P8WhatEndsInTimeKeepsItsResult) {
  Spill(Path("file"), "content");
  std::vector<Entry> entries;
  for (int i = 0; i < 100; ++i) {
    entries.push_back(Entry::ReadFile(kPid, Path("file"), 0).WithTimeout(i % 2 == 0 ? kLong : absl::InfiniteDuration()));
    entries.push_back(Entry::Nop(kPid, 0).WithTimeout(kLong - absl::Seconds(i)));
  }
  for (const Done& done : RunBatch(std::move(entries))) EXPECT_TRUE(Succeeded(done));
  EXPECT_EQ(manager().Stats().errors, 0u);
}

TEST_P(TimeoutTest, P8ASendThatTimesOutHalfWaySucceedsWithTheExactCount) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const std::string content = Content(3'000'000);
  const Done done = Run(Entry::Send(kPid, sockets.first.get(), Bytes(content), 0, 0).WithTimeout(kShort));
  EXPECT_TRUE(Succeeded(done));
  EXPECT_GT(done.result.value(), 0);
  EXPECT_LT(done.result.value(), 3'000'000);
  ASSERT_EQ(shutdown(sockets.first.get(), SHUT_WR), 0);
  const std::string received = ReadAll(sockets.second.get(), content.size());
  EXPECT_EQ(static_cast<int64_t>(received.size()), done.result.value());
  EXPECT_TRUE(received == content.substr(0, received.size()));
}

TEST_P(TimeoutTest, P8ZeroNegativeAndLessThanANanosecondAreRefusedByName) {
  for (absl::Duration timeout :
       {absl::ZeroDuration(), absl::Nanoseconds(-1), -absl::InfiniteDuration(), absl::Nanoseconds(0.25)}) {
    SCOPED_TRACE(timeout);
    EXPECT_TRUE(Refused(manager().Submit(kPid, Entry::Nop(kPid, 0).WithTimeout(timeout)).status(),
                        absl::StatusCode::kInvalidArgument, {"Nop", "WithTimeout"}));
  }
  EXPECT_TRUE(Succeeded(Run(Entry::Nop(kPid, 0).WithTimeout(absl::Nanoseconds(1)))) || manager().Stats().errors == 1u);
}

TEST_P(TimeoutTest, P8TimeThatIsSpentWaitingForItsTurnCounts) {
  RingOptions options;
  options.max_in_flight = 1;
  ASSERT_TRUE(manager().CreateRing(kPid, options).ok());
  const Pair pipe = MakePipe();
  const Seq running = Submit(Entry::Read(kPid, pipe.first.get(), 10, kCurrentPosition, 0));
  const Seq waiting = Submit(Entry::WriteFile(kPid, Path("never"), Bytes("x"), 0).WithTimeout(kShort));
  EXPECT_TRUE(FailedWith(Wait(waiting), ETIMEDOUT));
  ASSERT_EQ(write(pipe.second.get(), "go", 2), 2);
  EXPECT_TRUE(Succeeded(Wait(running), 2));
  EXPECT_EQ(access(Path("never").c_str(), F_OK), -1);
}

TEST_P(TimeoutTest, P8WithoutAWaiterItIsNoticedByTheNextReap) {
  const Pair pipe = MakePipe();
  const absl::Time begin = absl::Now();
  Submit(Entry::Read(kPid, pipe.first.get(), 10, kCurrentPosition, 0).WithTimeout(kShort));
  std::vector<Done> done;
  while (done.empty() && absl::Now() < begin + absl::Seconds(20)) {
    auto reaped = manager().ReapCompletions(kPid);
    ASSERT_TRUE(reaped.ok());
    done = *std::move(reaped);
  }
  ASSERT_EQ(done.size(), 1u);
  EXPECT_TRUE(FailedWith(done[0], ETIMEDOUT));
  EXPECT_GE(absl::Now() - begin, kShort);
}

TEST_P(TimeoutTest, P8CancelledBeforeItsTimeIsCancelled) {
  const Pair pipe = MakePipe();
  const Seq seq = Submit(Entry::Read(kPid, pipe.first.get(), 10, kCurrentPosition, 0).WithTimeout(kLong));
  ASSERT_TRUE(manager().Cancel(kPid, seq).ok());
  EXPECT_TRUE(WasCancelled(Wait(seq)));
}

class ThreadTimeoutTest : public TimeoutTest {};

TEST_P(ThreadTimeoutTest, P8ALeaderThatSleepsHearsOfAnEarlierDeadline) {
  const Pair first = MakePipe();
  const Pair second = MakePipe();
  const Seq slow = Submit(Entry::Read(kPid, first.first.get(), 10, kCurrentPosition, 0).WithTimeout(kLong));
  std::latch started(1);
  pid_t leader = 0;
  std::thread waiter([&] {
    leader = ThisThread();
    started.count_down();
    EXPECT_TRUE(Succeeded(Wait(slow), 2));
  });
  started.wait();
  AwaitAsleep(leader);
  const Seq quick = Submit(Entry::Read(kPid, second.first.get(), 10, kCurrentPosition, 0).WithTimeout(kShort));
  EXPECT_TRUE(FailedWith(Wait(quick), ETIMEDOUT));
  ASSERT_EQ(write(first.second.get(), "go", 2), 2);
  waiter.join();
}

INSTANTIATE_TEST_SUITE_P(Threading, TimeoutTest, BothThreadings(), ThreadingName);
INSTANTIATE_TEST_SUITE_P(Threading, ThreadTimeoutTest, testing::Values(Threading::kAnyThread), ThreadingName);

}  // namespace
}  // namespace agentos
