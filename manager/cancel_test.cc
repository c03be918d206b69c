// Cancel and CancelAll: P9, on every kind of entry that can be under way.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <latch>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class CancelTest : public ManagerTest {
 protected:
  std::vector<Seq> SubmitAll(std::vector<Entry> entries) {
    const absl::StatusOr<std::vector<Seq>> seqs = manager().SubmitBatch(kPid, std::move(entries));
    EXPECT_TRUE(seqs.ok()) << seqs.status();
    return seqs.value_or(std::vector<Seq>());
  }
};

TEST_P(CancelTest, P9EveryKindOfPendingEntryCanBeCancelledByItself) {
  for (size_t one = 0; one < PendingEntries().names().size(); ++one) {
    const PendingEntries pending;
    SCOPED_TRACE(pending.names()[one]);
    const std::vector<Seq> seqs = SubmitAll(pending.Make(kPid));
    EXPECT_EQ(Reapable(), 0u);
    EXPECT_TRUE(manager().Cancel(kPid, seqs[one]).ok());
    const Done cancelled = Wait(seqs[one]);
    EXPECT_TRUE(WasCancelled(cancelled));
    EXPECT_EQ(cancelled.user_data, one);
    EXPECT_EQ(Reapable(), 0u) << "the others go on";
    EXPECT_EQ(manager().Stats().pending, seqs.size() - 1);
    EXPECT_EQ(manager().CancelAll(kPid).value_or(0), seqs.size() - 1);
    for (size_t i = 0; i < seqs.size(); ++i) {
      if (i == one) continue;
      EXPECT_TRUE(WasCancelled(Wait(seqs[i]))) << pending.names()[i];
    }
  }
  EXPECT_EQ(manager().Stats().cancelled, manager().Stats().total_submissions);
}

TEST_P(CancelTest, P9TheOthersGetTheirRealResults) {
  for (size_t one = 0; one < PendingEntries().names().size(); ++one) {
    const PendingEntries pending;
    SCOPED_TRACE(pending.names()[one]);
    const std::vector<Seq> seqs = SubmitAll(pending.Make(kPid));
    EXPECT_TRUE(manager().Cancel(kPid, seqs[one]).ok());
    EXPECT_TRUE(WasCancelled(Wait(seqs[one])));
    pending.Satisfy();
    const Seq send = Submit(Entry::IpcSend(kPid, kPid, Bytes("data"), 0));
    const Fd client = NewSocket(AF_INET, SOCK_STREAM);
    const Seq connect = Submit(Entry::Connect(kPid, client.get(), pending.address(), 0));
    EXPECT_TRUE(Succeeded(Wait(send), 4));
    EXPECT_TRUE(Succeeded(Wait(connect), 0));
    for (size_t i = 0; i < seqs.size(); ++i) {
      // The second read of the pipe gets what the first one, had it lived, would have taken.
      if (i == one || (one == 2 && i == 3)) continue;
      const Done done = Wait(seqs[i]);
      EXPECT_TRUE(pending.IsResult(i, done)) << pending.names()[i];
      if (pending.MakesFd(i) && done.status.is_success()) close(static_cast<int>(done.result.value()));
    }
    if (one == 2) {
      EXPECT_EQ(Wait(seqs[3]).result.data(), "data");
    }
    ASSERT_TRUE(manager().DestroyRing(kPid).ok());
  }
}

TEST_P(CancelTest, P9WhatIsUnknownOrHasCompletedIsNotFound) {
  constexpr auto kNotFound = absl::StatusCode::kNotFound;
  EXPECT_TRUE(Refused(manager().Cancel(kPid, 1), kNotFound, {"7"}));
  EXPECT_TRUE(Refused(manager().CancelAll(kPid).status(), kNotFound, {"7"}));
  const Seq done = Submit(Entry::Nop(kPid, 0));
  const Seq reaped = Submit(Entry::Nop(kPid, 0));
  EXPECT_TRUE(Succeeded(Wait(reaped)));
  for (Seq seq : {Seq{0}, done, reaped, reaped + 1, ~Seq{0}}) {
    EXPECT_TRUE(Refused(manager().Cancel(kPid, seq), kNotFound, {absl::StrCat(seq)}));
  }
  EXPECT_EQ(manager().CancelAll(kPid).value_or(99), 0u);
  EXPECT_TRUE(Succeeded(Wait(done))) << "what has completed keeps its result";
}

TEST_P(CancelTest, P9EntriesThatHaveNotStartedNeverDo) {
  RingOptions options;
  options.max_in_flight = 1;
  ASSERT_TRUE(manager().CreateRing(kPid, options).ok());
  const Pair pipe = MakePipe();
  const Seq running = Submit(Entry::Read(kPid, pipe.first.get(), 10, kCurrentPosition, 0));
  const Seq write_file = Submit(Entry::WriteFile(kPid, Path("never"), Bytes("x"), 0));
  const Seq open = Submit(Entry::Open(kPid, Path("never"), O_RDWR | O_CREAT, 0644, 0));
  const Seq nop = Submit(Entry::Nop(kPid, 0));
  for (Seq seq : {open, write_file}) {
    EXPECT_TRUE(manager().Cancel(kPid, seq).ok());
    EXPECT_TRUE(WasCancelled(Wait(seq)));
  }
  ASSERT_EQ(write(pipe.second.get(), "go", 2), 2);
  EXPECT_TRUE(Succeeded(Wait(running), 2));
  EXPECT_TRUE(Succeeded(Wait(nop)));
  EXPECT_FALSE(std::filesystem::exists(Path("never")));
}

TEST_P(CancelTest, P9CancelAllReachesWhatHasNotStarted) {
  RingOptions options;
  options.max_in_flight = 2;
  // Smaller than what is cancelled at once, so that completions are dropped meanwhile.
  options.cq_size = 2;
  ASSERT_TRUE(manager().CreateRing(kPid, options).ok());
  const Pair pipe = MakePipe();
  for (int i = 0; i < 20; ++i) Submit(Entry::Read(kPid, pipe.first.get(), 10, kCurrentPosition, 0));
  EXPECT_EQ(manager().CancelAll(kPid).value_or(0), 20u);
  const absl::StatusOr<std::vector<Done>> left = manager().WaitCompletions(kPid, 2, 2, absl::Seconds(30));
  ASSERT_TRUE(left.ok()) << left.status();
  for (const Done& done : *left) EXPECT_TRUE(WasCancelled(done));
  const IoUringStats stats = manager().Stats();
  EXPECT_EQ(stats.pending, 0u);
  EXPECT_EQ(stats.cancelled, 20u);
  EXPECT_EQ(stats.dropped, 18u);
}

TEST_P(CancelTest, P9CancelFdReachesWhatWorksOnThatFdOnly) {
  RingOptions options;
  options.max_in_flight = 4;
  ASSERT_TRUE(manager().CreateRing(kPid, options).ok());
  const Pair one = MakeSocketPair(SOCK_STREAM);
  const Pair other = MakeSocketPair(SOCK_STREAM);
  std::vector<Entry> entries;
  entries.push_back(Entry::Recv(kPid, one.first.get(), 10, 0, 0));
  entries.push_back(Entry::Recv(kPid, other.first.get(), 10, 0, 1));
  entries.push_back(Entry::Read(kPid, one.first.get(), 10, kCurrentPosition, 2));
  entries.push_back(Entry::Read(kPid, one.first.get(), 10, kCurrentPosition, 3));
  entries.push_back(Entry::Recv(kPid, one.first.get(), 10, 0, 4).WithLink());
  entries.push_back(Entry::Nop(kPid, 5));
  const std::vector<Seq> seqs = SubmitAll(std::move(entries));
  EXPECT_EQ(manager().CancelFd(kPid, one.first.get()).value_or(0), 4u);
  for (size_t i : {0, 2, 3, 4, 5}) EXPECT_TRUE(WasCancelled(Wait(seqs[i]))) << i;
  EXPECT_EQ(manager().CancelFd(kPid, ClosedFd()).value_or(9), 0u);
  EXPECT_TRUE(Refused(manager().CancelFd(kPid, -1).status(), absl::StatusCode::kInvalidArgument, {"fd", "-1"}));
  ASSERT_EQ(write(other.second.get(), "data", 4), 4);
  EXPECT_TRUE(Succeeded(Wait(seqs[1]), 4));
}

TEST_P(CancelTest, P9WhatCannotBeStoppedEndsWithItsRealResult) {
  Spill(Path("gated"), "old");
  IoUringManagerOptions options = Options();
  options.file_workers = 1;
  MakeManager(options);
  WriteGate gate(Path("gated"));
  if (!gate.holds()) GTEST_SKIP() << "this file system has no leases, which keep an open waiting";
  const Seq running = Submit(Entry::WriteFile(kPid, Path("gated"), Bytes("new"), 0));
  const Seq behind = Submit(Entry::WriteFile(kPid, Path("never"), Bytes("x"), 0));
  gate.AwaitWriter();
  EXPECT_TRUE(manager().Cancel(kPid, running).ok());
  EXPECT_TRUE(manager().Cancel(kPid, running).ok()) << "twice is fine";
  EXPECT_TRUE(manager().Cancel(kPid, behind).ok());
  EXPECT_TRUE(WasCancelled(Wait(behind))) << "no worker has taken it";
  EXPECT_EQ(Reapable(), 0u);
  gate.Release();
  EXPECT_TRUE(Succeeded(Wait(running), 3));
  EXPECT_EQ(Slurp(Path("gated")), "new");
  EXPECT_FALSE(std::filesystem::exists(Path("never")));
}

TEST_P(CancelTest, P9ACancelledAcceptThatSucceededAllTheSameLeaksNoFd) {
  std::string address;
  const Fd listener = Listen(AF_INET, 64, 0, address);
  const size_t fds = OpenFds();
  int won = 0;
  for (int round = 0; round < 100; ++round) {
    const Seq accept = Submit(Entry::Accept(kPid, listener.get(), 0));
    const Fd client = NewSocket(AF_INET, SOCK_STREAM);
    const Seq connect = Submit(Entry::Connect(kPid, client.get(), address, 0));
    const absl::Status cancelled = manager().Cancel(kPid, accept);
    EXPECT_TRUE(cancelled.ok() || absl::IsNotFound(cancelled)) << cancelled;
    EXPECT_TRUE(Succeeded(Wait(connect)));
    const Done done = Wait(accept);
    if (done.status.is_cancelled()) {
      const Fd server(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    } else if (Succeeded(done)) {
      ++won;
      const Fd server(static_cast<int>(done.result.value()));
    }
  }
  EXPECT_EQ(OpenFds(), fds) << won << " won";
}

TEST_P(CancelTest, P9CancelledOpensThatNobodyReapsLeakNoFd) {
  Spill(Path("file"), "");
  const size_t fds = OpenFds();
  for (int round = 0; round < 50; ++round) {
    std::vector<Entry> entries;
    for (int i = 0; i < 20; ++i) entries.push_back(Entry::Open(kPid, Path("file"), O_RDWR | O_CREAT | O_TRUNC, 0644, 0));
    SubmitAll(std::move(entries));
    EXPECT_TRUE(manager().CancelAll(kPid).ok());
    EXPECT_TRUE(manager().DestroyRing(kPid).ok());
    EXPECT_EQ(OpenFds(), fds);
  }
}

TEST_P(CancelTest, P9ASendThatIsCancelledHalfWayIsCancelledOrSaysHowFarItCame) {
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    const Pair sockets = MakeSocketPair(SOCK_STREAM | flags);
    const Seq seq = Submit(Entry::Send(kPid, sockets.first.get(), Bytes(Content(3'000'000)), 0, 0));
    EXPECT_EQ(Reapable(), 0u);
    EXPECT_TRUE(manager().Cancel(kPid, seq).ok());
    const Done done = Wait(seq);
    EXPECT_FALSE(done.status.is_error()) << done.status.error_message();
    EXPECT_LT(done.result.value(), 3'000'000);
    ASSERT_EQ(shutdown(sockets.first.get(), SHUT_WR), 0);
    ASSERT_EQ(fcntl(sockets.second.get(), F_SETFL, 0), 0);
    const std::string received = ReadAll(sockets.second.get(), 3'000'000);
    EXPECT_TRUE(received == Content(3'000'000).substr(0, received.size()));
    EXPECT_TRUE(done.status.is_cancelled() || received.size() == static_cast<size_t>(done.result.value()));
  }
}

// A file that says size 0 and may wait for an event, as the kernel's log does: the chain's second read starts when its first one
// is cancelled.
TEST_P(CancelTest, P12AWholeFileThatCouldWaitForEverEnds) {
  const Fd log(open("/proc/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  char drained[8192];
  while (log.get() >= 0 && read(log.get(), drained, sizeof(drained)) > 0) {
  }
  if (log.get() < 0 || errno != EAGAIN) GTEST_SKIP() << "the kernel's log may not be read here";
  const Done done = Run(Entry::ReadFile(kPid, "/proc/kmsg", 0));
  EXPECT_TRUE(done.status.is_success() || done.status.error_number() == EAGAIN) << done.status.error_message();
}

class ThreadCancelTest : public CancelTest {};

TEST_P(ThreadCancelTest, P9AWaiterHearsThatItsEntryWasCancelledByAnotherThread) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  for (int round = 0; round < 100; ++round) {
    const Seq one = Submit(Entry::Recv(kPid, sockets.first.get(), 10, 0, 0));
    const Seq two = Submit(Entry::Recv(kPid, sockets.second.get(), 10, 0, 0));
    std::latch started(2);
    pid_t sleepers[2];
    const auto wait_for = [&](int index, Seq seq) {
      sleepers[index] = ThisThread();
      started.count_down();
      EXPECT_TRUE(WasCancelled(Wait(seq)));
    };
    std::thread first(wait_for, 0, one);
    std::thread second(wait_for, 1, two);
    started.wait();
    // In every other round it is left to chance how far they have come.
    for (int i = 0; i < 2 && round % 2 == 0; ++i) AwaitAsleep(sleepers[i]);
    EXPECT_TRUE(manager().Cancel(kPid, two).ok());
    EXPECT_TRUE(manager().Cancel(kPid, one).ok());
    first.join();
    second.join();
  }
}

TEST_P(ThreadCancelTest, P9EntriesOfAThreadThatHasEndedCanBeCancelled) {
  const PendingEntries pending;
  std::vector<Seq> seqs;
  std::thread([&] { seqs = SubmitAll(pending.Make(kPid)); }).join();
  EXPECT_EQ(manager().CancelAll(kPid).value_or(0), seqs.size());
  for (size_t i = 0; i < seqs.size(); ++i) EXPECT_TRUE(WasCancelled(Wait(seqs[i]))) << pending.names()[i];
}

INSTANTIATE_TEST_SUITE_P(Threading, CancelTest, BothThreadings(), ThreadingName);
INSTANTIATE_TEST_SUITE_P(Threading, ThreadCancelTest, testing::Values(Threading::kAnyThread), ThreadingName);

}  // namespace
}  // namespace agentos
