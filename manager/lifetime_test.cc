// Who may destroy what, and when: the caller what it submitted (P10), DestroyRing and the manager what is under way (P11), and a
// thread itself.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class LifetimeTest : public ManagerTest {
 protected:
  static RingOptions WithTimeout(absl::Duration timeout) {
    RingOptions options;
    options.destroy_timeout = timeout;
    return options;
  }
};

TEST_P(LifetimeTest, P10TheCallerMayDestroyEverythingAfterSubmit) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const Pair full = MakeFullPipe();
  std::string address;
  const Fd listener = Listen(AF_INET, 8, 0, address);
  const Fd client = NewSocket(AF_INET, SOCK_STREAM);
  const std::string content = Content(100'000);
  Spill(Path("in"), "in the file");
  std::vector<Seq> seqs;
  {
    auto own = std::make_unique<std::vector<Entry>>();
    auto data = std::make_unique<std::string>(content);
    auto path = std::make_unique<std::string>(Path("in"));
    own->push_back(Entry::Write(kPid, full.second.get(), Bytes(*data), kCurrentPosition, 0));
    own->push_back(Entry::Recv(kPid, sockets.first.get(), 100, 0, 0));
    own->push_back(Entry::WriteFile(kPid, Path("out"), Bytes(*data), 0));
    own->push_back(Entry::ReadFile(kPid, *path, 0));
    own->push_back(Entry::Open(kPid, *path, O_RDONLY, 0, 0));
    own->push_back(Entry::Connect(kPid, client.get(), address, 0));
    seqs.resize(own->size());
    ASSERT_TRUE(manager().SubmitBatch(kPid, absl::MakeSpan(*own), absl::MakeSpan(seqs)).ok());
    for (const Entry& entry : *own) EXPECT_FALSE(entry.has_operation());
    data->assign(data->size(), '!');
    path->assign(path->size(), '!');
  }
  std::string read;
  std::thread reader([&] { read = ReadAll(full.first.get(), 4096 + content.size()); });
  EXPECT_TRUE(Succeeded(Wait(seqs[0]), static_cast<int64_t>(content.size())));
  reader.join();
  EXPECT_TRUE(read == std::string(4096, 'f') + content);
  EXPECT_TRUE(Succeeded(Wait(seqs[2]), static_cast<int64_t>(content.size())));
  EXPECT_TRUE(Slurp(Path("out")) == content);
  EXPECT_EQ(Wait(seqs[3]).result.data(), "in the file");
  const Done opened = Wait(seqs[4]);
  EXPECT_TRUE(Succeeded(opened));
  const Fd file(static_cast<int>(opened.result.value()));
  EXPECT_EQ(ReadAll(file.get(), 100), "in the file");
  EXPECT_TRUE(Succeeded(Wait(seqs[5])));
  ASSERT_EQ(write(sockets.second.get(), "late", 4), 4);
  EXPECT_EQ(Wait(seqs[1]).result.data(), "late");
}

TEST_P(LifetimeTest, P10ResultsOutliveTheirRingAndTheManager) {
  Spill(Path("small"), "small");
  Spill(Path("large"), Content(300'000));
  const Fd fd(open(Path("large").c_str(), O_RDONLY | O_CLOEXEC));
  std::vector<Done> results;
  results.push_back(Run(Entry::ReadFile(kPid, Path("small"), 0)));
  results.push_back(Run(Entry::ReadFile(kPid, Path("large"), 0)));
  results.push_back(Run(Entry::ReadFile(kPid, Path("missing"), 0)));
  results.push_back(Run(Entry::Read(kPid, fd.get(), 5000, 0, 0)));
  const Seq receive = Submit(Entry::IpcRecv(kPid, 100, 0));
  EXPECT_TRUE(Succeeded(Run(Entry::IpcSend(kPid, kPid, Bytes("message"), 0))));
  results.push_back(Wait(receive));
  ASSERT_TRUE(manager().DestroyRing(kPid).ok());
  manager_.reset();
  EXPECT_EQ(results[0].result.data(), "small");
  EXPECT_TRUE(results[1].result.data() == Content(300'000));
  EXPECT_TRUE(FailedWith(results[2], ENOENT));
  EXPECT_TRUE(absl::StrContains(results[2].status.error_message(), Path("missing")));
  EXPECT_TRUE(results[3].result.TakeData() == Content(5000));
  EXPECT_EQ(results[4].result.data(), "message");
  EXPECT_EQ(results[4].result.peer_address(), absl::StrCat("pid:", kPid));
  std::thread([moved = std::move(results)]() mutable { moved.clear(); }).join();
}

TEST_P(LifetimeTest, P11DestroyRingEndsEveryKindOfPendingEntry) {
  const PendingEntries pending;
  const size_t count = pending.names().size();
  const size_t fds = OpenFds();
  for (size_t round = 1; round <= 3; ++round) {
    ASSERT_TRUE(manager().SubmitBatch(kPid, pending.Make(kPid)).ok());
    EXPECT_EQ(Reapable(), 0u);
    EXPECT_EQ(manager().Stats().pending, count);
    const absl::Status status = manager().DestroyRing(kPid);
    EXPECT_TRUE(status.ok()) << status;
    const IoUringStats stats = manager().Stats();
    EXPECT_EQ(stats.pending, 0u);
    EXPECT_EQ(stats.active_rings, 0u);
    EXPECT_EQ(stats.cancelled, round * count);
    EXPECT_EQ(OpenFds(), fds);
  }
}

TEST_P(LifetimeTest, P11ADestroyedRingIsUnknownAndItsPidBeginsAnew) {
  EXPECT_EQ(Submit(Entry::Nop(kPid, 0)), 1u);
  EXPECT_EQ(Submit(Entry::Nop(kPid, 0)), 2u);
  EXPECT_TRUE(manager().HasRing(kPid));
  ASSERT_TRUE(manager().DestroyRing(kPid).ok());
  EXPECT_FALSE(manager().HasRing(kPid));
  constexpr auto kNotFound = absl::StatusCode::kNotFound;
  const std::string pid = absl::StrCat("pid ", kPid);
  EXPECT_TRUE(Refused(manager().ReapCompletions(kPid).status(), kNotFound, {pid}));
  EXPECT_TRUE(Refused(manager().WaitCompletion(kPid, 1).status(), kNotFound, {pid}));
  EXPECT_TRUE(Refused(manager().WaitCompletions(kPid, 1, 1, absl::Seconds(1)).status(), kNotFound, {pid}));
  EXPECT_TRUE(Refused(manager().Cancel(kPid, 1), kNotFound, {pid}));
  EXPECT_TRUE(Refused(manager().CancelAll(kPid).status(), kNotFound, {pid}));
  EXPECT_TRUE(Refused(manager().DestroyRing(kPid), kNotFound, {pid}));

  RingOptions options;
  options.sq_size = 3;
  ASSERT_TRUE(manager().CreateRing(kPid, options).ok());
  EXPECT_EQ(Reapable(), 0u) << "completions of the former life are gone";
  EXPECT_EQ(Submit(Entry::Nop(kPid, 0)), 1u);
  EXPECT_EQ(manager().Stats().total_submissions, 3u) << "totals outlive their rings";
}

TEST_P(LifetimeTest, P11FdsThatNobodyReapedAreClosed) {
  Spill(Path("file"), "");
  std::string address;
  const Fd listener = Listen(AF_INET, 8, 0, address);
  std::vector<Fd> clients;
  const size_t fds = OpenFds();
  std::vector<Entry> entries;
  for (int i = 0; i < 5; ++i) entries.push_back(Entry::Open(kPid, Path("file"), O_RDONLY, 0, 0));
  for (int i = 0; i < 3; ++i) entries.push_back(Entry::Accept(kPid, listener.get(), 0));
  const absl::StatusOr<std::vector<Seq>> seqs = manager().SubmitBatch(kPid, std::move(entries));
  ASSERT_TRUE(seqs.ok());
  for (int i = 0; i < 3; ++i) {
    clients.push_back(NewSocket(AF_INET, SOCK_STREAM));
    EXPECT_TRUE(Succeeded(Run(Entry::Connect(kPid, clients.back().get(), address, 0))));
  }
  // The last is the caller's from here on; the others lie in the completion queue.
  const Fd accepted(static_cast<int>(Wait(seqs->back()).result.value()));
  EXPECT_EQ(FdsTo(std::filesystem::canonical(Path("file")).string()), 5u);
  ASSERT_TRUE(manager().DestroyRing(kPid).ok());
  EXPECT_EQ(FdsTo(std::filesystem::canonical(Path("file")).string()), 0u);
  EXPECT_EQ(OpenFds(), fds + clients.size() + 1);
  EXPECT_NE(fcntl(accepted.get(), F_GETFD), -1);
}

TEST_P(LifetimeTest, P11WhatCannotBeStoppedInTimeIsNamedAndItsPidIsFreeAllTheSame) {
  for (absl::Duration timeout : {absl::ZeroDuration(), absl::Milliseconds(1)}) {
    const std::string path = Path(absl::StrCat("gated", absl::ToInt64Milliseconds(timeout)));
    Spill(path, "old");
    WriteGate gate(path);
    if (!gate.holds()) GTEST_SKIP() << "this file system has no leases, which keep an open waiting";
    ASSERT_TRUE(manager().CreateRing(kPid, WithTimeout(timeout)).ok());
    Submit(Entry::WriteFile(kPid, path, Bytes("new"), 0));
    gate.AwaitWriter();
    const absl::Status status = manager().DestroyRing(kPid);
    EXPECT_TRUE(Refused(status, absl::StatusCode::kDeadlineExceeded, {absl::StrCat("pid ", kPid), "WriteFile", "ms"}));
    EXPECT_FALSE(manager().HasRing(kPid));
    EXPECT_EQ(Submit(Entry::Nop(kPid, 0)), 1u);
    EXPECT_TRUE(manager().DestroyRing(kPid).ok());
    gate.Release();
  }
  manager_.reset();
  EXPECT_EQ(Slurp(Path("gated0")), "new");
  EXPECT_EQ(Slurp(Path("gated1")), "new");
}

TEST_P(LifetimeTest, P11TheManagersDestructorEndsWhatIsPendingInEveryRing) {
  const PendingEntries first;
  const PendingEntries second;
  const size_t fds = OpenFds();
  Spill(Path("file"), Content(100'000));
  ASSERT_TRUE(manager().CreateRing(9, WithTimeout(absl::InfiniteDuration())).ok());
  for (const auto& [pid, pending] : {std::pair{kPid, &first}, std::pair{Pid{8}, &second}, std::pair{Pid{9}, &first}}) {
    ASSERT_TRUE(manager().SubmitBatch(pid, pending->Make(pid)).ok());
    for (int i = 0; i < 50; ++i) {
      Submit(Entry::ReadFile(pid, Path("file"), 0), pid);
      Submit(Entry::WriteFile(pid, Path(absl::StrCat("out", i)), Bytes(Content(10'000)), 0), pid);
      Submit(Entry::Open(pid, Path("file"), O_RDONLY, 0, 0), pid);
    }
  }
  manager_.reset();
  EXPECT_LT(OpenFds(), fds) << "the manager's own are gone, too";
  EXPECT_EQ(FdsTo(std::filesystem::canonical(Path("file")).string()), 0u);
}

TEST_P(LifetimeTest, P11SendersToAFullMailboxAreToldThatTheirTargetWent) {
  RingOptions options;
  options.mailbox_messages = 1;
  ASSERT_TRUE(manager().CreateRing(8, options).ok());
  EXPECT_TRUE(Succeeded(Run(Entry::IpcSend(kPid, 8, Bytes("fits"), 0))));
  const Seq waiting = Submit(Entry::IpcSend(kPid, 8, Bytes("waits"), 0));
  EXPECT_EQ(Reapable(), 0u);
  ASSERT_TRUE(manager().DestroyRing(8).ok());
  EXPECT_TRUE(FailedWith(Wait(waiting), EPIPE));
  EXPECT_TRUE(FailedWith(Run(Entry::IpcSend(kPid, 8, Bytes("late"), 0)), ESRCH));
}

TEST_P(LifetimeTest, P11WhatWasLeftBehindIsNotUnderWayAnyMoreOnceItHasEnded) {
  Spill(Path("gated"), "old");
  WriteGate gate(Path("gated"));
  if (!gate.holds()) GTEST_SKIP() << "this file system has no leases, which keep an open waiting";
  ASSERT_TRUE(manager().CreateRing(kPid, WithTimeout(absl::ZeroDuration())).ok());
  Submit(Entry::WriteFile(kPid, Path("gated"), Bytes("new"), 0));
  gate.AwaitWriter();
  EXPECT_TRUE(absl::IsDeadlineExceeded(manager().DestroyRing(kPid)));
  EXPECT_EQ(manager().Stats().pending, 1u);
  gate.Release();
  // Whoever uses the lane next hears of it.
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (manager().Stats().pending > 0 && absl::Now() < deadline) Run(Entry::Nop(kPid, 0));
  EXPECT_EQ(manager().Stats().pending, 0u);
}

class ThreadLifetimeTest : public LifetimeTest {};

TEST_P(ThreadLifetimeTest, P11AWaiterWhoseRingIsDestroyedIsToldAndLeavesNothingBehind) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  for (int round = 0; round < 200; ++round) {
    const Seq first = Submit(Entry::Recv(kPid, sockets.first.get(), 10, 0, 0));
    const Seq second = Submit(Entry::Recv(kPid, sockets.second.get(), 10, 0, 0));
    std::latch started(3);
    pid_t sleepers[3];
    const auto start = [&](int index) {
      sleepers[index] = ThisThread();
      started.count_down();
    };
    const auto wait_for = [&](int index, Seq seq) {
      start(index);
      const absl::StatusOr<Done> done = manager().WaitCompletion(kPid, seq);
      if (done.ok()) {
        EXPECT_TRUE(WasCancelled(*done));
      } else {
        EXPECT_TRUE(absl::IsFailedPrecondition(done.status()) || absl::IsNotFound(done.status())) << done.status();
      }
    };
    std::thread one([&] { wait_for(0, first); });
    std::thread two([&] { wait_for(1, second); });
    std::thread both([&] {
      start(2);
      const absl::StatusOr<std::vector<Done>> done = manager().WaitCompletions(kPid, 3, 3, absl::Seconds(30));
      EXPECT_TRUE(absl::IsFailedPrecondition(done.status()) || absl::IsNotFound(done.status())) << done.status();
    });
    started.wait();
    // In every other round it is left to chance how far they have come.
    for (int i = 0; i < 3 && round % 2 == 0; ++i) AwaitAsleep(sleepers[i]);
    EXPECT_TRUE(manager().DestroyRing(kPid).ok());
    one.join();
    two.join();
    both.join();
  }
  EXPECT_EQ(manager().Stats().pending, 0u);
}

// A ring that is gone with an entry that could not be stopped must not hold up the next one on the same file.
TEST_P(ThreadLifetimeTest, P11WhatWasLeftBehindHoldsUpNobody) {
  const Pair pipe = MakePipe();
  int left_behind = 0;
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(manager().CreateRing(kPid, WithTimeout(absl::ZeroDuration())).ok());
    std::latch submitted(1);
    std::latch destroyed(1);
    // Its entry ends in its own context, which takes longer than no time at all.
    std::thread submitter([&] {
      Submit(Entry::Read(kPid, pipe.first.get(), 10, kCurrentPosition, 0));
      submitted.count_down();
      destroyed.wait();
    });
    submitted.wait();
    left_behind += manager().DestroyRing(kPid).ok() ? 0 : 1;
    destroyed.count_down();
    submitter.join();
    const Seq seq = Submit(Entry::Read(kPid, pipe.first.get(), 10, kCurrentPosition, 0));
    ASSERT_EQ(write(pipe.second.get(), "data", 4), 4);
    const absl::StatusOr<Done> done = manager().WaitCompletion(kPid, seq, absl::Seconds(5));
    ASSERT_TRUE(done.ok()) << done.status() << "; left behind so far: " << left_behind;
    EXPECT_EQ(done->result.data(), "data");
    ASSERT_TRUE(manager().DestroyRing(kPid).ok());
  }
}

TEST_P(ThreadLifetimeTest, P10EntriesOutliveTheThreadThatSubmittedThem) {
  for (int round = 0; round < 10; ++round) {
    const PendingEntries pending;
    std::vector<Seq> seqs;
    std::thread([&] {
      const absl::StatusOr<std::vector<Seq>> submitted = manager().SubmitBatch(kPid, pending.Make(kPid));
      ASSERT_TRUE(submitted.ok()) << submitted.status();
      seqs = *submitted;
      EXPECT_EQ(Reapable(), 0u);
    }).join();
    EXPECT_EQ(Reapable(), 0u);
    pending.Satisfy();
    EXPECT_TRUE(Succeeded(Run(Entry::IpcSend(kPid, kPid, Bytes("data"), 0)), 4));
    const Fd client = NewSocket(AF_INET, SOCK_STREAM);
    EXPECT_TRUE(Succeeded(Run(Entry::Connect(kPid, client.get(), pending.address(), 0))));
    for (size_t i = 0; i < seqs.size(); ++i) {
      const Done done = Wait(seqs[i]);
      EXPECT_TRUE(pending.IsResult(i, done)) << pending.names()[i];
      if (pending.MakesFd(i)) close(static_cast<int>(done.result.value()));
    }
  }
}

TEST_P(ThreadLifetimeTest, P10ASendOutlivesTheThreadThatBeganIt) {
  const std::string content = Content(2'000'000);
  Pair sockets = MakeSocketPair(SOCK_STREAM);
  Seq seq = 0;
  std::thread([&] { seq = Submit(Entry::Send(kPid, sockets.first.get(), Bytes(content), 0, 0)); }).join();
  std::string received;
  std::thread reader([&] { received = ReadAll(sockets.second.get(), content.size()); });
  EXPECT_TRUE(Succeeded(Wait(seq), static_cast<int64_t>(content.size())));
  sockets.first.Reset();
  reader.join();
  EXPECT_TRUE(received == content);
}

TEST_P(ThreadLifetimeTest, P10AConnectOutlivesTheThreadThatBeganIt) {
  std::string address;
  const Fd listener = Listen(AF_INET, 0, 0, address);
  // Fills the backlog, so that the next one has to wait.
  const Fd first = NewSocket(AF_INET, SOCK_STREAM);
  EXPECT_TRUE(Succeeded(Run(Entry::Connect(kPid, first.get(), address, 0))));
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    SCOPED_TRACE(flags);
    const Fd second = NewSocket(AF_INET, SOCK_STREAM | flags);
    Seq seq = 0;
    std::thread([&] { seq = Submit(Entry::Connect(kPid, second.get(), address, 0)); }).join();
    EXPECT_EQ(Reapable(), 0u);
    const Fd server(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(Succeeded(Wait(seq), 0));
  }
}

TEST_P(ThreadLifetimeTest, P10WholeFilesOutliveTheThreadThatAskedForThem) {
  constexpr size_t kFiles = 64;
  for (size_t i = 0; i < kFiles; ++i) Spill(Path(absl::StrCat(i)), Content(i * 2000));
  for (int round = 0; round < 20; ++round) {
    std::vector<Seq> seqs;
    std::thread([&] {
      std::vector<Entry> entries;
      for (size_t i = 0; i < kFiles; ++i) entries.push_back(Entry::ReadFile(kPid, Path(absl::StrCat(i)), i));
      const absl::StatusOr<std::vector<Seq>> submitted = manager().SubmitBatch(kPid, std::move(entries));
      ASSERT_TRUE(submitted.ok()) << submitted.status();
      seqs = *submitted;
    }).join();
    for (size_t i = 0; i < seqs.size(); ++i) EXPECT_TRUE(Wait(seqs[i]).result.data() == Content(i * 2000)) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Threading, LifetimeTest, BothThreadings(), ThreadingName);
INSTANTIATE_TEST_SUITE_P(Threading, ThreadLifetimeTest, testing::Values(Threading::kAnyThread), ThreadingName);

}  // namespace
}  // namespace agentos
