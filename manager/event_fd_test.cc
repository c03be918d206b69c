// event_fd: a ring in an event loop that the program runs already, which waits for descriptors and for nothing else.

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/ring/unique_fd.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr int kForEver = -1;

class EventFdTest : public ManagerTest {
 protected:
  int EventFd(Pid pid = kPid) {
    const absl::StatusOr<int> fd = manager().event_fd(pid);
    EXPECT_TRUE(fd.ok()) << fd.status();
    return fd.value_or(-1);
  }

  static bool IsReadable(int fd, int timeout_ms = 0) {
    pollfd watched = {.fd = fd, .events = POLLIN, .revents = 0};
    return poll(&watched, 1, timeout_ms) == 1 && watched.revents == POLLIN;
  }

  std::vector<Done> Reap(Pid pid = kPid) {
    absl::StatusOr<std::vector<Done>> done = manager().ReapCompletions(pid);
    EXPECT_TRUE(done.ok()) << done.status();
    return done.ok() ? *std::move(done) : std::vector<Done>();
  }

  // Waits as an event loop does: in nothing but poll.
  std::vector<Done> AwaitInLoop(size_t count, Pid pid = kPid) {
    std::vector<Done> all;
    while (all.size() < count) {
      EXPECT_TRUE(IsReadable(EventFd(pid), kForEver));
      for (Done& done : Reap(pid)) all.push_back(std::move(done));
    }
    return all;
  }

  void ExpectQuiet(int fd, Pid pid = kPid) {
    EXPECT_TRUE(Reap(pid).empty());
    EXPECT_FALSE(IsReadable(fd));
  }
};

TEST_P(EventFdTest, IsReadableWhenACompletionIsThereAndNotAfterItWasReaped) {
  const int fd = EventFd();
  EXPECT_FALSE(IsReadable(fd));
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  Submit(Entry::Recv(kPid, pair.first.get(), 10, 0, 5));
  ExpectQuiet(fd);
  ASSERT_EQ(send(pair.second.get(), "hello", 5, 0), 5);
  const std::vector<Done> done = AwaitInLoop(1);
  EXPECT_EQ(done[0].result.data(), "hello");
  EXPECT_EQ(done[0].user_data, 5u);
  ExpectQuiet(fd);
}

TEST_P(EventFdTest, IsReadableForWhatWasCompletedBeforeItWasAskedFor) {
  Submit(Entry::Nop(kPid, 1));
  const int fd = EventFd();
  EXPECT_TRUE(IsReadable(fd));
  EXPECT_EQ(Reap().size(), 1u);
  ExpectQuiet(fd);
}

TEST_P(EventFdTest, StaysReadableAsLongAsCompletionsAreLeft) {
  const int fd = EventFd();
  for (int i = 0; i < 3; ++i) Submit(Entry::Nop(kPid, 0));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(IsReadable(fd));
    ASSERT_EQ(manager().ReapCompletions(kPid, 1)->size(), 1u);
  }
  ExpectQuiet(fd);
}

TEST_P(EventFdTest, OperationsOfSeveralStepsGoOnByReapingAlone) {
  const std::string content(3 << 20, 'x');
  Spill(Path("large"), content);
  EventFd();
  Submit(Entry::ReadFile(kPid, Path("large"), 0));
  Submit(Entry::WriteFile(kPid, Path("copy"), content, 0));
  for (const Done& done : AwaitInLoop(2)) EXPECT_TRUE(Succeeded(done));
  EXPECT_EQ(Slurp(Path("copy")), content);
}

TEST_P(EventFdTest, ManyWholeFilesComeThroughTheWorkers) {
  EventFd();
  std::vector<Entry> entries;
  for (int i = 0; i < 64; ++i) entries.push_back(Entry::WriteFile(kPid, Path(std::to_string(i)), std::string("content"), 0));
  ASSERT_TRUE(manager().SubmitBatch(kPid, std::move(entries)).ok());
  EXPECT_EQ(AwaitInLoop(64).size(), 64u);
}

TEST_P(EventFdTest, ATimeoutIsNoticedInTheLoop) {
  const int fd = EventFd();
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  Submit(Entry::Recv(kPid, pair.first.get(), 10, 0, 0).WithTimeout(absl::Milliseconds(5)));
  EXPECT_TRUE(FailedWith(AwaitInLoop(1)[0], ETIMEDOUT));
  Submit(Entry::Sleep(kPid, absl::Milliseconds(5), 0));
  EXPECT_TRUE(Succeeded(AwaitInLoop(1)[0]));
  ExpectQuiet(fd);
}

TEST_P(EventFdTest, AMessageOfAnotherProcessIsSeen) {
  const int fd = EventFd();
  Submit(Entry::IpcRecv(kPid, 100, 0));
  ExpectQuiet(fd);
  EXPECT_TRUE(Succeeded(Run(Entry::IpcSend(kPid + 1, kPid, std::string("message"), 0), kPid + 1)));
  EXPECT_EQ(AwaitInLoop(1)[0].result.data(), "message");
}

TEST_P(EventFdTest, AWaitTakesItAsAReapDoes) {
  const int fd = EventFd();
  EXPECT_TRUE(Succeeded(Run(Entry::Nop(kPid, 0))));
  ExpectQuiet(fd);
}

TEST_P(EventFdTest, EveryProcessHasItsOwnAndGetsItsOwn) {
  constexpr Pid kProcesses = 20;
  std::vector<Pair> pairs;
  for (Pid pid = 1; pid <= kProcesses; ++pid) {
    pairs.push_back(MakeSocketPair(SOCK_STREAM));
    EventFd(pid);
    Submit(Entry::Recv(pid, pairs.back().first.get(), 10, 0, pid), pid);
  }
  for (Pid pid = kProcesses; pid >= 1; --pid) {
    ASSERT_EQ(send(pairs[pid - 1].second.get(), "x", 1, 0), 1);
    EXPECT_EQ(AwaitInLoop(1, pid)[0].user_data, pid);
  }
  for (Pid pid = 1; pid <= kProcesses; ++pid) ExpectQuiet(EventFd(pid), pid);
}

TEST_P(EventFdTest, WorksInAnEpollOfTheProgram) {
  const UniqueFd loop(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN, .data = {.u64 = 42}};
  ASSERT_EQ(epoll_ctl(loop.get(), EPOLL_CTL_ADD, EventFd(), &event), 0);
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  Submit(Entry::Recv(kPid, pair.first.get(), 10, 0, 0));
  ASSERT_EQ(send(pair.second.get(), "x", 1, 0), 1);
  size_t reaped = 0;
  while (reaped == 0) {
    epoll_event ready{};
    ASSERT_EQ(epoll_wait(loop.get(), &ready, 1, kForEver), 1);
    EXPECT_EQ(ready.data.u64, 42u);
    reaped = Reap().size();
  }
}

TEST_P(EventFdTest, ItIsTheSameUntilTheRingIsDestroyedAndEntriesCannotTouchIt) {
  const int fd = EventFd();
  EXPECT_EQ(EventFd(), fd);
  EXPECT_TRUE(FailedWith(Run(Entry::Close(kPid, fd, 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::Read(kPid, fd, 8, kCurrentPosition, 0)), EBADF));
  ASSERT_TRUE(manager().DestroyRing(kPid).ok());
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
  // Its number is anybody's now.
  ASSERT_EQ(dup2(STDERR_FILENO, fd), fd);
  EXPECT_TRUE(Succeeded(Run(Entry::Close(kPid, fd, 0))));
  EXPECT_GE(EventFd(), 0);
}

TEST_P(EventFdTest, ACompletionPlacedByAnotherThreadWakesTheLoop) {
  if (GetParam() == Threading::kOneThread) GTEST_SKIP() << "one thread makes all calls";
  EventFd();
  const Pair pair = MakeSocketPair(SOCK_STREAM);
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) {
      Submit(Entry::Nop(kPid, 0));
      Submit(Entry::IpcSend(kPid + 1, kPid, std::string("m"), 0), kPid + 1);
    }
  });
  EXPECT_EQ(AwaitInLoop(100).size(), 100u);
  other.join();
}

TEST_P(EventFdTest, WithoutDescriptorsItSaysSoAndTheRingGoesOn) {
  Submit(Entry::Nop(kPid, 0));
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low = {.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const absl::Status status = manager().event_fd(kPid).status();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(Refused(status, absl::StatusCode::kResourceExhausted, {"eventfd"}));
  EXPECT_EQ(AwaitInLoop(1).size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Threading, EventFdTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
