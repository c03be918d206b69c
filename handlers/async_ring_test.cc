// AsyncRing: awaited, called back and held operations on real rings, and what becomes of those that nobody waits for any more.

#include "agentos/handlers/async_ring.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agentos/handlers/async_ring_fixture.h"
#include "agentos/handlers/task.h"
#include "agentos/handlers/when_all.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class AsyncRingTest : public AsyncRingFixture {};

Task<Done> Await(AsyncOperation operation) { co_return co_await operation; }

Task<std::string> CopyAndRead(AsyncRing& ring, std::string from, std::string to) {
  Done read = co_await ring.ReadFile(from);
  EXPECT_TRUE(Succeeded(read));
  EXPECT_TRUE(Succeeded(co_await ring.WriteFile(to, read.result.TakeBytes())));
  Done again = co_await ring.ReadFile(to);
  co_return again.result.TakeData();
}

TEST_P(AsyncRingTest, ACoroutineAwaitsOneOperationAfterTheOther) {
  Spill(Path("a"), "content");
  EXPECT_EQ(ring().RunUntilComplete(CopyAndRead(ring(), Path("a"), Path("b"))), "content");
  EXPECT_EQ(ring().under_way(), 0u);
}

TEST_P(AsyncRingTest, ErrorsComeInTheCompletion) {
  EXPECT_TRUE(FailedWith(ring().RunUntilComplete(Await(ring().ReadFile(Path("missing")))), ENOENT));
}

TEST_P(AsyncRingTest, WhatTheRingRefusesIsAnErrorThatSaysWhy) {
  const Done refused = ring().RunUntilComplete(Await(ring().Read(-1, 10, -7)));
  EXPECT_TRUE(FailedWith(refused, EINVAL));
  EXPECT_EQ(refused.seq, 0u);
  EXPECT_NE(refused.status.error_message().find("Read.fd is -1"), std::string::npos) << refused.status.error_message();
}

TEST_P(AsyncRingTest, ARefusedOneDoesNotTakeOthersOfItsBatchAlong) {
  std::vector<AsyncOperation> operations;
  operations.push_back(ring().Nop());
  operations.push_back(ring().Read(-1, 10, -7));
  operations.push_back(ring().Nop().WithLink());
  operations.push_back(ring().Sleep(-absl::Seconds(1)));
  operations.push_back(ring().Nop());
  const auto all = [](std::vector<AsyncOperation> batch) -> Task<std::vector<Done>> {
    co_return co_await WhenAll(std::move(batch));
  };
  const std::vector<Done> done = ring().RunUntilComplete(all(std::move(operations)));
  EXPECT_TRUE(Succeeded(done[0]));
  EXPECT_TRUE(FailedWith(done[1], EINVAL));
  EXPECT_TRUE(FailedWith(done[2], EINVAL));
  EXPECT_TRUE(FailedWith(done[3], EINVAL));
  EXPECT_TRUE(Succeeded(done[4]));
}

TEST_P(AsyncRingTest, UserDataComesBack) {
  EXPECT_EQ(ring().RunUntilComplete(Await(ring().Run(Entry::Nop(kPid, 77)))).user_data, 77u);
}

TEST_P(AsyncRingTest, CoroutinesGoOnInTheOrderOfCompletion) {
  std::vector<Pair> pairs;
  std::vector<size_t> order;
  const auto receive = [](AsyncRing& on, int fd, size_t index, std::vector<size_t>& log) -> Task<void> {
    EXPECT_TRUE(Succeeded(co_await on.Recv(fd, 1)));
    log.push_back(index);
  };
  for (size_t i = 0; i < 5; ++i) {
    pairs.push_back(MakeSocketPair(SOCK_STREAM));
    ring().Spawn(receive(ring(), pairs.back().first.get(), i, order));
  }
  EXPECT_EQ(ring().spawned(), 5u);
  for (const size_t i : {3, 1, 4, 0, 2}) {
    ASSERT_EQ(send(pairs[i].second.get(), "x", 1, 0), 1);
    while (order.empty() || order.back() != i) ring().RunOnce();
  }
  EXPECT_EQ(ring().spawned(), 0u);
}

TEST_P(AsyncRingTest, MoreBeginThanTheRingHasPlaces) {
  RingOptions tiny;
  tiny.sq_size = 4;
  tiny.cq_size = 4;
  MakeRing(tiny);
  std::vector<AsyncOperation> operations;
  for (int i = 0; i < 1000; ++i) operations.push_back(ring().Nop());
  const auto all = [](std::vector<AsyncOperation> batch) -> Task<size_t> {
    size_t succeeded = 0;
    for (const Done& done : co_await WhenAll(std::move(batch))) succeeded += done.status.is_success() ? 1 : 0;
    co_return succeeded;
  };
  EXPECT_EQ(ring().RunUntilComplete(all(std::move(operations))), 1000u);
}

TEST_P(AsyncRingTest, ChainsAreNotCutByASmallRing) {
  RingOptions tiny;
  tiny.sq_size = 5;
  tiny.cq_size = 5;
  MakeRing(tiny);
  std::vector<AsyncOperation> operations;
  for (int i = 0; i < 10; ++i) {
    operations.push_back(ring().Close(ClosedFd()).WithLink());
    operations.push_back(ring().Nop().WithLink());
    operations.push_back(ring().Nop());
  }
  // Longer than the ring: refused, and nothing else suffers.
  for (int i = 0; i < 5; ++i) operations.push_back(ring().Nop().WithLink());
  operations.push_back(ring().Nop());
  operations.push_back(ring().Nop());
  const auto all = [](std::vector<AsyncOperation> batch) -> Task<std::vector<Done>> {
    co_return co_await WhenAll(std::move(batch));
  };
  const std::vector<Done> done = ring().RunUntilComplete(all(std::move(operations)));
  for (size_t i = 0; i < 30; i += 3) {
    EXPECT_TRUE(done[i].status.is_error()) << i;
  }
  for (size_t i = 30; i < 36; ++i) EXPECT_TRUE(done[i].status.is_error()) << i;
  EXPECT_TRUE(Succeeded(done[36]));
}

TEST_P(AsyncRingTest, LinkedOperationsThatBeginTogetherAreAChain) {
  const auto chain = [](AsyncRing& on, int closed) -> Task<void> {
    const auto [failed, cancelled] = co_await WhenAll(on.Close(closed).WithLink(), on.Nop());
    EXPECT_TRUE(FailedWith(failed, EBADF));
    EXPECT_TRUE(WasCancelled(cancelled));
  };
  ring().RunUntilComplete(chain(ring(), ClosedFd()));
}

TEST_P(AsyncRingTest, ATimeoutEndsAnOperation) {
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  EXPECT_TRUE(
      FailedWith(ring().RunUntilComplete(Await(ring().Recv(pair.first.get(), 1).WithTimeout(absl::Milliseconds(1)))), ETIMEDOUT));
}

TEST_P(AsyncRingTest, P10ADestroyedCoroutineLeavesItsOperationToTheRing) {
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  const auto receive = [](AsyncRing& on, int fd) -> Task<void> {
    co_await on.Recv(fd, 100);
    ADD_FAILURE() << "went on";
  };
  {
    Task<void> task = receive(ring(), pair.first.get());
    bool done = false;
    const handlers_internal::RootTask root = handlers_internal::RunAsRoot(task, done);
    // Submitted, and not ended.
    ring().RunReady();
    EXPECT_EQ(ring().under_way(), 1u);
  }
  EXPECT_TRUE(ring().RunUntilIdle().ok());
  // The next receiver gets what comes now.
  ASSERT_EQ(send(pair.second.get(), "next", 4, 0), 4);
  EXPECT_EQ(ring().RunUntilComplete(Await(ring().Recv(pair.first.get(), 100))).result.data(), "next");
}

TEST_P(AsyncRingTest, OneThatIsDestroyedBeforeItsTurnIsNeverSubmitted) {
  const uint64_t before = manager().Stats().total_submissions;
  {
    Task<Done> task = Await(ring().WriteFile(Path("never"), std::string("x")));
    bool done = false;
    const handlers_internal::RootTask root = handlers_internal::RunAsRoot(task, done);
    EXPECT_EQ(ring().under_way(), 1u);
  }
  EXPECT_TRUE(ring().RunUntilIdle().ok());
  EXPECT_EQ(manager().Stats().total_submissions, before);
  EXPECT_NE(access(Path("never").c_str(), F_OK), 0);
}

TEST_P(AsyncRingTest, P9TheDescriptorOfADestroyedOpenIsClosed) {
  Spill(Path("file"), "x");
  const size_t fds = OpenFds();
  for (int i = 0; i < 20; ++i) {
    OperationHandle open = ring().Open(Path("file"), O_RDONLY).Start();
    ring().RunReady();
  }
  EXPECT_TRUE(ring().RunUntilIdle().ok());
  EXPECT_EQ(OpenFds(), fds);
  for (int i = 0; i < 20; ++i) {
    Task<Done> task = Await(ring().Open(Path("file"), O_RDONLY));
    bool done = false;
    const handlers_internal::RootTask root = handlers_internal::RunAsRoot(task, done);
  }
  EXPECT_TRUE(ring().RunUntilIdle().ok());
  EXPECT_EQ(OpenFds(), fds);
}

TEST_P(AsyncRingTest, CallbacksAreCalledOnceWithNothingHeld) {
  int calls = 0;
  ring().Nop().Then([&](Done first) {
    EXPECT_TRUE(Succeeded(first));
    ++calls;
    // From within: begin another one, and even drive the loop.
    ring().Nop().Then([&](Done second) {
      EXPECT_TRUE(Succeeded(second));
      ++calls;
    });
    ring().RunOnce();
  });
  EXPECT_TRUE(ring().RunUntilIdle().ok());
  EXPECT_EQ(calls, 2);
}

TEST_P(AsyncRingTest, ACallbackThatThrowsCostsNobodyElseAnything) {
  int calls = 0;
  for (int i = 0; i < 10; ++i) {
    ring().Nop().Then([&calls, i](const Done&) {
      ++calls;
      if (i % 2 == 0) throw std::runtime_error("callback");
    });
  }
  EXPECT_TRUE(ring().RunUntilIdle().ok());
  EXPECT_EQ(calls, 10);
}

TEST_P(AsyncRingTest, ACallbackThatIsNeverCalledIsDestroyed) {
  const auto held = std::make_shared<int>(0);
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  ring().Recv(pair.first.get(), 1).Then([held](const Done&) { ADD_FAILURE() << "called"; });
  ring().Recv(pair.first.get(), 1).Then([held](const Done&) { ADD_FAILURE() << "called"; });
  ring().RunReady();
  EXPECT_GT(held.use_count(), 1);
  EndRing();
  EXPECT_EQ(held.use_count(), 1);
}

TEST_P(AsyncRingTest, AHandleIsAFutureOfTheCompletion) {
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  OperationHandle read = ring().Recv(pair.first.get(), 10).Start();
  EXPECT_FALSE(read.ready());
  EXPECT_TRUE(Refused(read.Wait(absl::ZeroDuration()).status(), absl::StatusCode::kDeadlineExceeded));
  ASSERT_EQ(send(pair.second.get(), "hello", 5, 0), 5);
  absl::StatusOr<Done> done = read.Wait();
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->result.data(), "hello");
  EXPECT_TRUE(Refused(read.Wait().status(), absl::StatusCode::kFailedPrecondition));
}

TEST_P(AsyncRingTest, AHandleCanBeCancelledAndOutliveTheRing) {
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  OperationHandle cancelled = ring().Recv(pair.first.get(), 10).Start();
  ring().RunReady();
  cancelled.Cancel();
  EXPECT_TRUE(WasCancelled(*cancelled.Wait()));
  OperationHandle left = ring().Recv(pair.first.get(), 10).Start();
  ring().RunReady();
  EndRing();
  EXPECT_FALSE(left.ready());
  EXPECT_TRUE(Refused(left.Wait().status(), absl::StatusCode::kFailedPrecondition));
  left.Cancel();
}

TEST_P(AsyncRingTest, AStopTokenEndsAnOperation) {
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  std::stop_source stop;
  OperationHandle receive = ring().Recv(pair.first.get(), 10).StopOn(stop.get_token()).Start();
  ring().RunReady();
  EXPECT_FALSE(receive.ready());
  stop.request_stop();
  EXPECT_TRUE(WasCancelled(*receive.Wait()));
}

TEST_P(AsyncRingTest, AStopTokenThatIsTriggeredLetsNothingBegin) {
  std::stop_source stop;
  stop.request_stop();
  const uint64_t before = manager().Stats().total_submissions;
  EXPECT_TRUE(
      WasCancelled(ring().RunUntilComplete(Await(ring().WriteFile(Path("never"), std::string("x")).StopOn(stop.get_token())))));
  EXPECT_NE(access(Path("never").c_str(), F_OK), 0);
  EXPECT_LE(manager().Stats().total_submissions, before + 1);  // the Nop that wakes a loop
}

TEST_P(AsyncRingTest, AStopTokenThatIsTriggeredAfterTheEndOrTheRingDoesNothing) {
  std::stop_source stop;
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  EXPECT_TRUE(Succeeded(ring().RunUntilComplete(Await(ring().Nop().StopOn(stop.get_token())))));
  OperationHandle left = ring().Recv(pair.first.get(), 10).StopOn(stop.get_token()).Start();
  ring().RunReady();
  EndRing();
  stop.request_stop();
}

TEST_P(AsyncRingTest, OtherThreadsPostCallsAndStop) {
  if (GetParam() == Threading::kOneThread) GTEST_SKIP() << "one thread makes all calls";
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  constexpr int kCalls = 1000;
  int calls = 0;
  std::stop_source stop;
  OperationHandle receive = ring().Recv(pair.first.get(), 10).StopOn(stop.get_token()).Start();
  std::thread other([&] {
    for (int i = 0; i < kCalls; ++i) ring().Post([&calls] { ++calls; });
    stop.request_stop();
  });
  EXPECT_TRUE(WasCancelled(*receive.Wait()));
  while (calls < kCalls) ring().RunOnce();
  other.join();
}

TEST_P(AsyncRingTest, ASpawnedTaskThatThrowsIsLoggedAndGone) {
  ring().Spawn([](AsyncRing& on) -> Task<void> {
    co_await on.Nop();
    throw std::runtime_error("spawned");
  }(ring()));
  EXPECT_EQ(ring().spawned(), 1u);
  EXPECT_TRUE(ring().RunUntilIdle().ok());
  EXPECT_EQ(ring().spawned(), 0u);
}

TEST_P(AsyncRingTest, TheRingDestroysWhatItSpawned) {
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  const auto held = std::make_shared<int>(0);
  for (int i = 0; i < 10; ++i) {
    ring().Spawn([](AsyncRing& on, int fd, std::shared_ptr<int> h) -> Task<void> {
      co_await on.Recv(fd, 1);
      *h += 1;
    }(ring(), pair.first.get(), held));
  }
  ring().RunReady();
  EndRing();
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(*held, 0);
}

TEST_P(AsyncRingTest, P3ADestroyedRingEndsEverythingAsCancelled) {
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  std::vector<Done> ended;
  for (int i = 0; i < 3; ++i) ring().Recv(pair.first.get(), 1).Then([&](Done done) { ended.push_back(std::move(done)); });
  ring().RunReady();
  ASSERT_TRUE(manager().DestroyRing(kPid).ok());
  EXPECT_TRUE(ring().RunUntilIdle().ok());
  ASSERT_EQ(ended.size(), 3u);
  for (const Done& done : ended) EXPECT_TRUE(WasCancelled(done));
  const Done late = ring().RunUntilComplete(Await(ring().Nop()));
  EXPECT_TRUE(FailedWith(late, ECANCELED));
}

TEST_P(AsyncRingTest, APidHasOneRing) {
  EXPECT_TRUE(Refused(AsyncRing::Create(manager(), kPid).status(), absl::StatusCode::kAlreadyExists, {"pid 7"}));
  RingOptions options;
  options.cq_size = 1;
  EXPECT_TRUE(Refused(AsyncRing::Create(manager(), kPid + 1, options).status(), absl::StatusCode::kInvalidArgument, {"cq_size"}));
}

TEST_P(AsyncRingTest, HundredThousandAreUnderWayOnOneThread) {
  constexpr size_t kMany = 100'000;
  const Pair pipe = MakePipe();
  size_t ended = 0;
  const auto read = [](AsyncRing& on, int fd, size_t& count) -> Task<void> {
    EXPECT_TRUE(Succeeded(co_await on.Poll(fd, POLLIN)));
    ++count;
  };
  for (size_t i = 0; i < kMany; ++i) ring().Spawn(read(ring(), pipe.first.get(), ended));
  ring().RunReady();
  EXPECT_EQ(ended, 0u);
  EXPECT_EQ(manager().Stats().pending, kMany);
  ASSERT_EQ(write(pipe.second.get(), "x", 1), 1);
  EXPECT_TRUE(ring().RunUntilIdle().ok());
  EXPECT_EQ(ended, kMany);
}

TEST_P(AsyncRingTest, AnEventLoopOfTheProgramDrivesIt) {
  const absl::StatusOr<int> fd = ring().event_fd();
  ASSERT_TRUE(fd.ok()) << fd.status();
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  std::string received;
  ring().Spawn([](AsyncRing& on, int from, std::string& to) -> Task<void> {
    for (;;) {
      Done done = co_await on.Recv(from, 100);
      if (done.result.value() <= 0) co_return;
      to += done.result.TakeData();
    }
  }(ring(), pair.first.get(), received));
  ring().RunReady();
  for (const char* word : {"one ", "two ", "three"}) {
    ASSERT_EQ(send(pair.second.get(), word, strlen(word), 0), static_cast<ssize_t>(strlen(word)));
    const size_t before = received.size();
    while (received.size() == before) {
      pollfd watched = {.fd = *fd, .events = POLLIN, .revents = 0};
      ASSERT_EQ(poll(&watched, 1, -1), 1);
      ring().RunReady();
    }
  }
  EXPECT_EQ(received, "one two three");
}

INSTANTIATE_TEST_SUITE_P(Threading, AsyncRingTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
