// AsyncRingGroup: coroutines of many processes on one thread.

#include "agentos/handlers/async_ring_group.h"

#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/task.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/ring/ring_options.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class AsyncRingGroupTest : public ManagerTest {
 protected:
  void SetUp() override {
    ManagerTest::SetUp();
    absl::StatusOr<std::unique_ptr<AsyncRingGroup>> group = AsyncRingGroup::Create(manager());
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = *std::move(group);
  }
  void TearDown() override {
    rings_.clear();
    group_.reset();
    ManagerTest::TearDown();
  }

  AsyncRing& MakeRing(Pid pid, const RingOptions& options = AsyncRing::DefaultOptions()) {
    absl::StatusOr<std::unique_ptr<AsyncRing>> ring = group_->MakeRing(pid, options);
    EXPECT_TRUE(ring.ok()) << ring.status();
    rings_.push_back(*std::move(ring));
    return *rings_.back();
  }

  std::unique_ptr<AsyncRingGroup> group_;
  std::vector<std::unique_ptr<AsyncRing>> rings_;
};

Task<Done> Await(AsyncOperation operation) { co_return co_await operation; }

Task<void> Echo(AsyncRing& ring, int fd, size_t rounds) {
  for (size_t i = 0; i < rounds; ++i) {
    Done received = co_await ring.Recv(fd, 100);
    EXPECT_TRUE(Succeeded(received));
    EXPECT_EQ(received.pid, ring.pid());
    EXPECT_TRUE(Succeeded(co_await ring.Send(fd, received.result.TakeBytes())));
  }
}

TEST_P(AsyncRingGroupTest, CoroutinesOfManyProcessesRunOnOneThread) {
  constexpr Pid kProcesses = 100;
  constexpr size_t kRounds = 20;
  std::vector<Pair> pairs;
  for (Pid pid = 1; pid <= kProcesses; ++pid) {
    pairs.push_back(MakeSocketPair(SOCK_STREAM));
    AsyncRing& ring = MakeRing(pid);
    ring.Spawn(Echo(ring, pairs.back().first.get(), kRounds));
    ring.Spawn([](AsyncRing& on, int fd) -> Task<void> {
      for (size_t i = 0; i < kRounds; ++i) {
        EXPECT_TRUE(Succeeded(co_await on.Send(fd, std::string("hello"))));
        EXPECT_EQ((co_await on.Recv(fd, 100)).result.data(), "hello");
      }
    }(ring, pairs.back().second.get()));
  }
  EXPECT_TRUE(group_->RunUntilIdle().ok());
  for (const std::unique_ptr<AsyncRing>& ring : rings_) EXPECT_EQ(ring->spawned(), 0u);
  EXPECT_EQ(manager().Stats().errors, 0u);
}

TEST_P(AsyncRingGroupTest, DrivingOneDrivesAll) {
  AsyncRing& first = MakeRing(1);
  AsyncRing& second = MakeRing(2);
  bool called = false;
  first.Nop().Then([&](const Done&) { called = true; });
  EXPECT_TRUE(Succeeded(second.RunUntilComplete(Await(second.Sleep(absl::Milliseconds(1))))));
  EXPECT_TRUE(called);
  EXPECT_EQ(group_->under_way(), 0u);
}

TEST_P(AsyncRingGroupTest, EachRingKeepsToItsOwnSizes) {
  RingOptions tiny;
  tiny.sq_size = 3;
  tiny.cq_size = 3;
  AsyncRing& small = MakeRing(1, tiny);
  AsyncRing& large = MakeRing(2);
  size_t ended = 0;
  for (int i = 0; i < 200; ++i) {
    small.Nop().Then([&](const Done& done) { ended += done.status.is_success() ? 1 : 0; });
    large.Nop().Then([&](const Done& done) { ended += done.status.is_success() ? 1 : 0; });
  }
  EXPECT_TRUE(group_->RunUntilIdle().ok());
  EXPECT_EQ(ended, 400u);
}

TEST_P(AsyncRingGroupTest, ARefusedOneAndADestroyedOneHarmNobody) {
  AsyncRing& first = MakeRing(1);
  AsyncRing& second = MakeRing(2);
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  OperationHandle refused = first.Read(-1, 1, 0).Start();
  OperationHandle good = second.Nop().Start();
  { OperationHandle dropped = second.Recv(pair.first.get(), 1).Start(); }
  EXPECT_TRUE(FailedWith(*refused.Wait(), EINVAL));
  EXPECT_TRUE(Succeeded(*good.Wait()));
  OperationHandle abandoned = first.Recv(pair.first.get(), 1).Start();
  group_->RunReady();
  rings_.erase(rings_.begin());
  EXPECT_TRUE(Refused(abandoned.Wait().status(), absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(Succeeded(second.RunUntilComplete(Await(second.Nop()))));
}

TEST_P(AsyncRingGroupTest, ACallbackMayDriveTheGroup) {
  AsyncRing& first = MakeRing(1);
  AsyncRing& second = MakeRing(2);
  int calls = 0;
  first.Nop().Then([&](const Done&) {
    ++calls;
    second.Nop().Then([&](const Done&) { ++calls; });
    group_->RunOnce();
  });
  EXPECT_TRUE(group_->RunUntilIdle().ok());
  EXPECT_EQ(calls, 2);
}

TEST_P(AsyncRingGroupTest, OtherThreadsPostAndStop) {
  if (GetParam() == Threading::kOneThread) GTEST_SKIP() << "one thread makes all calls";
  AsyncRing& first = MakeRing(1);
  AsyncRing& second = MakeRing(2);
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  std::stop_source stop;
  OperationHandle receive = first.Recv(pair.first.get(), 1).StopOn(stop.get_token()).Start();
  int calls = 0;
  std::thread other([&] {
    for (int i = 0; i < 500; ++i) second.Post([&] { ++calls; });
    stop.request_stop();
  });
  EXPECT_TRUE(WasCancelled(*receive.Wait()));
  while (calls < 500) group_->RunOnce();
  other.join();
}

TEST_P(AsyncRingGroupTest, ACallThatWasPostedEndsAWaitByItself) {
  AsyncRing& ring = MakeRing(1);
  bool called = false;
  ring.Post([&] { called = true; });
  while (!called) group_->RunOnce();
  EXPECT_EQ(group_->under_way(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Threading, AsyncRingGroupTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
