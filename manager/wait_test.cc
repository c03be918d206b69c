// P5 and P6: waiting takes exactly what it asks for, by any number of threads, and reaping is in order of completion.
//
// A lost wake-up shows as a test that hangs: the waits have no timeout.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <latch>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/test_manager.h"
#include "agentos/testing/recording_observer.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

// Lets each of many entries complete when the test wants it.
class Gates {
 public:
  explicit Gates(size_t count) {
    for (size_t i = 0; i < count; ++i) pairs_.push_back(MakeSocketPair(SOCK_STREAM));
  }
  Entry Wait(size_t i, Pid pid = kPid) const { return Entry::Recv(pid, pairs_[i].first.get(), 1, 0, i); }
  void Open(size_t i) const { EXPECT_EQ(send(pairs_[i].second.get(), "x", 1, 0), 1); }

 private:
  std::vector<Pair> pairs_;
};

// A thread that tells who it is before it begins, so that a test can see it fall asleep.
class Sleeper {
 public:
  template <typename Body>
  explicit Sleeper(Body body) {
    thread_ = std::thread([this, body] {
      id_.store(ThisThread());
      id_.notify_all();
      body();
    });
  }
  ~Sleeper() { Join(); }

  void AwaitAsleep() {
    id_.wait(0);
    agentos::AwaitAsleep(id_.load());
  }
  void Join() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::atomic<pid_t> id_{0};
  std::thread thread_;
};

std::vector<Entry> Nops(size_t count, Pid pid = kPid) {
  std::vector<Entry> entries;
  for (size_t i = 0; i < count; ++i) entries.push_back(Entry::Nop(pid, i));
  return entries;
}

// All processes on one kernel ring, so that all waiters meet.
IoUringManagerOptions OneKernelRing() { return {.kernel_rings = 1}; }

class P5Wait : public ThreadingTest {};
class P5WaitByThreads : public PromiseTest {};
class P6Order : public ThreadingTest {};

TEST_P(P5Wait, TakesExactlyOneAndLeavesTheOthersInOrder) {
  TestManager manager(GetParam());
  ASSERT_TRUE(manager->SubmitBatch(kPid, Nops(6)).ok());
  EXPECT_EQ(manager.Wait(kPid, 4).user_data, 3u);
  EXPECT_EQ(manager.Wait(kPid, 1).user_data, 0u);
  EXPECT_EQ(manager.ReapSeqs(kPid), (std::vector<Seq>{2, 3, 5, 6}));
}

TEST_P(P5Wait, WaitingForOneUnderWayLeavesTheOthers) {
  TestManager manager(GetParam());
  Gates gates(4);
  for (size_t i = 0; i < 4; ++i) manager.Submit(gates.Wait(i));
  for (size_t i : {3u, 0u, 2u, 1u}) gates.Open(i);
  EXPECT_TRUE(Succeeded(manager.Wait(kPid, 3), 1));
  manager.AwaitPlaced(kPid, 4);
  std::vector<Seq> left = manager.ReapSeqs(kPid);
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<Seq>{1, 2, 4}));
}

TEST_P(P5Wait, UnknownOrTakenIsNotFound) {
  TestManager manager(GetParam());
  ASSERT_TRUE(manager->SubmitBatch(kPid, Nops(3)).ok());
  manager.Submit(Entry::Nop(8, 0));
  const auto expect_not_found = [&](Pid pid, Seq seq) {
    EXPECT_TRUE(Refused(manager->WaitCompletion(pid, seq, absl::InfiniteDuration()).status(), absl::StatusCode::kNotFound,
                        {std::to_string(seq), std::to_string(pid)}));
  };
  expect_not_found(kPid, 0);
  expect_not_found(kPid, 4);
  expect_not_found(kPid, ~Seq{0});
  expect_not_found(8, 2);
  manager.Wait(kPid, 2);
  expect_not_found(kPid, 2);
  manager.Reap(kPid);
  expect_not_found(kPid, 1);
  expect_not_found(kPid, 3);
}

TEST_P(P5Wait, AtTheTimeoutTheOperationGoesOn) {
  TestManager manager(GetParam());
  Gates gates(1);
  const Seq seq = manager.Submit(gates.Wait(0));
  for (absl::Duration timeout : {absl::Milliseconds(2), absl::ZeroDuration(), -absl::Seconds(1), -absl::InfiniteDuration()}) {
    EXPECT_TRUE(Refused(manager->WaitCompletion(kPid, seq, timeout).status(), absl::StatusCode::kDeadlineExceeded));
    EXPECT_TRUE(Refused(manager->WaitCompletions(kPid, 1, 4, timeout).status(), absl::StatusCode::kDeadlineExceeded));
  }
  EXPECT_EQ(manager->Stats().pending, 1u);
  gates.Open(0);
  EXPECT_TRUE(Succeeded(manager.Wait(kPid, seq), 1));
}

TEST_P(P5Wait, ZeroTimeoutTakesWhatIsThere) {
  TestManager manager(GetParam());
  const Seq seq = manager.Submit(Entry::Nop(kPid, 0));
  manager.AwaitPlaced(kPid, 1);
  EXPECT_TRUE(manager->WaitCompletion(kPid, seq, absl::ZeroDuration()).ok());
  EXPECT_TRUE(Refused(manager->WaitCompletions(kPid, 1, 1, absl::ZeroDuration()).status(), absl::StatusCode::kDeadlineExceeded));
  const absl::StatusOr<std::vector<Done>> none = manager->WaitCompletions(kPid, 0, 1, absl::ZeroDuration());
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->empty()) << "nothing was asked for";
  EXPECT_TRUE(manager->WaitCompletions(kPid, 0, 0, absl::InfiniteDuration()).ok());
}

TEST_P(P5Wait, AtTheTimeoutThereIsWhatThereIs) {
  TestManager manager(GetParam());
  Gates gates(1);
  ASSERT_TRUE(manager->SubmitBatch(kPid, Nops(2)).ok());
  manager.Submit(gates.Wait(0));
  absl::StatusOr<std::vector<Done>> some = manager->WaitCompletions(kPid, 3, 3, absl::Milliseconds(2));
  ASSERT_TRUE(some.ok()) << some.status();
  EXPECT_EQ(SeqsOf(*some), (std::vector<Seq>{1, 2}));

  ASSERT_TRUE(manager->SubmitBatch(kPid, Nops(2)).ok());
  std::vector<Done> out(5);
  const absl::StatusOr<size_t> count = manager->WaitCompletions(kPid, 3, absl::MakeSpan(out), absl::Milliseconds(2));
  ASSERT_TRUE(count.ok()) << count.status();
  ASSERT_EQ(*count, 2u);
  EXPECT_EQ(out[0].seq, 4u);
  EXPECT_EQ(out[1].seq, 5u);
}

TEST_P(P5Wait, TakesAtMostMax) {
  TestManager manager(GetParam());
  ASSERT_TRUE(manager->SubmitBatch(kPid, Nops(5)).ok());
  const absl::StatusOr<std::vector<Done>> some = manager->WaitCompletions(kPid, 1, 2, absl::InfiniteDuration());
  ASSERT_TRUE(some.ok());
  EXPECT_EQ(SeqsOf(*some), (std::vector<Seq>{1, 2}));
  std::vector<Done> out(2);
  EXPECT_EQ(manager->WaitCompletions(kPid, 2, absl::MakeSpan(out), absl::InfiniteDuration()).value_or(0), 2u);
  EXPECT_EQ(SeqsOf(out), (std::vector<Seq>{3, 4}));
  EXPECT_EQ(manager.ReapSeqs(kPid), std::vector<Seq>{5});
}

TEST_P(P5Wait, MinAboveMaxIsRefused) {
  TestManager manager(GetParam());
  std::vector<Entry> entries = Nops(1);
  std::vector<Done> out(2);
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_TRUE(Refused(manager->WaitCompletions(kPid, 2, 1, absl::InfiniteDuration()).status(), kInvalid, {"min", "2", "1"}));
  EXPECT_TRUE(Refused(manager->WaitCompletions(kPid, 3, absl::MakeSpan(out), absl::InfiniteDuration()).status(), kInvalid,
                      {"min", "3", "2"}));
  EXPECT_TRUE(Refused(
      manager->SubmitAndWait(kPid, absl::MakeSpan(entries), {}, 3, absl::MakeSpan(out), absl::InfiniteDuration()).status(),
      kInvalid, {"min", "3", "2"}));
  EXPECT_EQ(entries[0].kind(), OperationKind::kNop) << "and nothing was submitted";
  EXPECT_EQ(manager->Stats().total_submissions, 0u);
}

TEST_P(P5Wait, SubmitAndWaitGivesTheSameAsTheTwoCalls) {
  TestManager manager(GetParam());
  std::vector<Entry> entries = Nops(4);
  std::vector<Seq> seqs(4);
  std::vector<Done> out(4);
  absl::StatusOr<size_t> count = manager->SubmitAndWait(kPid, absl::MakeSpan(entries), absl::MakeSpan(seqs), 4,
                                                        absl::MakeSpan(out), absl::InfiniteDuration());
  ASSERT_TRUE(count.ok()) << count.status();
  EXPECT_EQ(*count, 4u);
  EXPECT_EQ(SeqsOf(out), seqs);

  Gates gates(1);
  std::vector<Entry> waiting;
  waiting.push_back(gates.Wait(0));
  count = manager->SubmitAndWait(kPid, absl::MakeSpan(waiting), {}, 1, absl::MakeSpan(out), absl::Milliseconds(2));
  EXPECT_TRUE(Refused(count.status(), absl::StatusCode::kDeadlineExceeded));
  gates.Open(0);
  EXPECT_TRUE(Succeeded(manager.Wait(kPid, 5), 1)) << "it was accepted and goes on";

  count = manager->SubmitAndWait(kPid, {}, {}, 0, absl::MakeSpan(out), absl::ZeroDuration());
  ASSERT_TRUE(count.ok()) << count.status();
  EXPECT_EQ(*count, 0u);
}

TEST_P(P5Wait, ASleepingWaiterDoesNotPoll) {
  TestManager manager(GetParam());
  Gates gates(1);
  const Seq seq = manager.Submit(gates.Wait(0));
  const uint64_t before = manager->Stats().kernel_entries;
  EXPECT_TRUE(absl::IsDeadlineExceeded(manager->WaitCompletion(kPid, seq, absl::Milliseconds(300)).status()));
  EXPECT_LE(manager->Stats().kernel_entries - before, 4u) << "one sleep, whatever its length";
}

// A file is written by a worker thread: its end comes from elsewhere than the kernel ring.
TEST_P(P5Wait, AWorkersResultWakesWhoeverWaits) {
  TempDir dir;
  TestManager manager(GetParam());
  for (int i = 0; i < 300; ++i) {
    const std::string text = std::to_string(i);
    ASSERT_TRUE(Succeeded(manager.Run(Entry::WriteFile(kPid, dir.Path("file"), text, 0)), static_cast<int64_t>(text.size())));
  }
  EXPECT_EQ(Slurp(dir.Path("file")), "299");
}

TEST_P(P5Wait, AWorkersResultWakesASleepingWaiter) {
  TempDir dir;
  Spill(dir.Path("file"), "old");
  TestManager manager(GetParam());
  for (int i = 0; i < 20; ++i) {
    WriteGate gate(dir.Path("file"));
    if (!gate.holds()) GTEST_SKIP() << "no leases on this file system";
    const Seq seq = manager.Submit(Entry::WriteFile(kPid, dir.Path("file"), "new", 0));
    const pid_t waiter = ThisThread();
    std::thread opener([&] {
      gate.AwaitWriter();
      AwaitAsleep(waiter);
      gate.Release();
    });
    EXPECT_TRUE(Succeeded(manager.Wait(kPid, seq), 3));
    opener.join();
  }
}

TEST_P(P5Wait, AWorkersResultThatNobodyWaitedForIsThereLater) {
  TempDir dir;
  Spill(dir.Path("file"), "old");
  TestManager manager(GetParam());
  Gates gates(1);
  const Seq other = manager.Submit(gates.Wait(0));
  const Seq seq = manager.Submit(Entry::WriteFile(kPid, dir.Path("file"), "new", 0));
  while (Slurp(dir.Path("file")) != "new") std::this_thread::yield();
  // Whoever waits for something else collects it, or its own waiter does.
  EXPECT_TRUE(absl::IsDeadlineExceeded(manager->WaitCompletion(kPid, other, absl::ZeroDuration()).status()));
  EXPECT_TRUE(Succeeded(manager.Wait(kPid, seq), 3));
}

TEST_P(P5Wait, ManyFilesFinishedByWorkersAreAllWaitedFor) {
  TempDir dir;
  TestManager manager(GetParam());
  constexpr size_t kFiles = 64;
  for (int round = 0; round < 10; ++round) {
    std::vector<Entry> entries;
    for (size_t i = 0; i < kFiles; ++i) {
      entries.push_back(Entry::WriteFile(kPid, dir.Path(std::to_string(i)), std::to_string(round), i));
    }
    ASSERT_TRUE(manager->SubmitBatch(kPid, std::move(entries)).ok());
    size_t got = 0;
    while (got < kFiles) {
      // A different number each time: a leader is woken for as many as it waits for.
      const size_t min = std::min<size_t>(kFiles - got, 1 + (got * 7 + static_cast<size_t>(round)) % 20);
      const absl::StatusOr<std::vector<Done>> some = manager->WaitCompletions(kPid, min, kFiles, absl::InfiniteDuration());
      ASSERT_TRUE(some.ok()) << some.status();
      ASSERT_GE(some->size(), min);
      got += some->size();
    }
  }
}

TEST_F(P5WaitByThreads, ManyWaitForDifferentEntriesOfOneRing) {
  constexpr size_t kThreads = 12;
  TestManager manager(OneKernelRing());
  Gates gates(kThreads);
  for (size_t i = 0; i < kThreads; ++i) manager.Submit(gates.Wait(i));
  std::vector<std::thread> threads;
  std::latch done(kThreads);
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const Done mine = manager.Wait(kPid, i + 1);
      EXPECT_EQ(mine.seq, i + 1);
      EXPECT_EQ(mine.user_data, i);
      done.count_down();
    });
  }
  // Neither in order of submission nor of arrival; each wakes one thread, which may be the leader.
  for (size_t i = kThreads; i-- > 0;) gates.Open(i);
  done.wait();
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(manager.Reap(kPid).empty());
}

TEST_F(P5WaitByThreads, ManyRingsOnOneKernelRing) {
  constexpr size_t kThreads = 8;
  constexpr int kRounds = 200;
  TestManager manager(OneKernelRing());
  Gates gates(kThreads);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const Pid pid = static_cast<Pid>(100 + i);
      for (int round = 0; round < kRounds; ++round) {
        const Seq seq = manager.Submit(gates.Wait(i, pid));
        // The neighbour's byte: everybody waits for somebody else.
        gates.Open((i + 1) % kThreads);
        ASSERT_TRUE(Succeeded(manager.Wait(pid, seq), 1));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(P5WaitByThreads, TheLeadersPlaceIsTakenWhenItLeaves) {
  TestManager manager(OneKernelRing());
  for (int round = 0; round < 50; ++round) {
    Gates gates(3);
    std::vector<Seq> seqs;
    for (size_t i = 0; i < 3; ++i) seqs.push_back(manager.Submit(gates.Wait(i)));
    Sleeper leader([&] { manager.Wait(kPid, seqs[0]); });
    leader.AwaitAsleep();
    Sleeper second([&] { manager.Wait(kPid, seqs[1]); });
    Sleeper third([&] { manager.Wait(kPid, seqs[2]); });
    second.AwaitAsleep();
    third.AwaitAsleep();
    gates.Open(0);
    leader.Join();
    gates.Open(2);
    third.Join();
    gates.Open(1);
  }
}

TEST_F(P5WaitByThreads, OfTwoWaitersForOneEntryOneGetsIt) {
  TestManager manager(OneKernelRing());
  for (int round = 0; round < 100; ++round) {
    Gates gates(1);
    const Seq seq = manager.Submit(gates.Wait(0));
    std::atomic<int> got{0};
    std::atomic<int> not_found{0};
    const auto wait = [&] {
      const absl::StatusOr<Done> done = manager->WaitCompletion(kPid, seq, absl::InfiniteDuration());
      if (done.ok()) {
        EXPECT_TRUE(Succeeded(*done, 1));
        got.fetch_add(1);
      } else {
        EXPECT_TRUE(absl::IsNotFound(done.status())) << done.status();
        not_found.fetch_add(1);
      }
    };
    {
      Sleeper first(wait);
      Sleeper second(wait);
      if (round % 2 == 0) {
        first.AwaitAsleep();
        second.AwaitAsleep();
      }
      gates.Open(0);
    }
    ASSERT_EQ(got.load(), 1);
    ASSERT_EQ(not_found.load(), 1);
  }
}

TEST_F(P5WaitByThreads, BetweenAReaperAndAWaiterOneGetsIt) {
  TestManager manager(OneKernelRing());
  for (int round = 0; round < 200; ++round) {
    Gates gates(1);
    const Seq seq = manager.Submit(gates.Wait(0));
    std::atomic<bool> waiter_got{false};
    std::atomic<bool> over{false};
    std::thread waiter([&] {
      const absl::StatusOr<Done> done = manager->WaitCompletion(kPid, seq, absl::InfiniteDuration());
      waiter_got = done.ok();
      EXPECT_TRUE(done.ok() || absl::IsNotFound(done.status())) << done.status();
      over = true;
    });
    gates.Open(0);
    size_t reaped = 0;
    while (!over) reaped += manager.Reap(kPid).size();
    waiter.join();
    reaped += manager.Reap(kPid).size();
    ASSERT_EQ(reaped + (waiter_got ? 1 : 0), 1u);
  }
}

TEST_F(P5WaitByThreads, ASubmitterThatCollectsForTheSleepingLeaderWakesIt) {
  TestManager manager(OneKernelRing());
  for (int round = 0; round < 300; ++round) {
    Gates gates(1);
    const Seq seq = manager.Submit(gates.Wait(0));
    Sleeper leader([&] { EXPECT_TRUE(Succeeded(manager.Wait(kPid, seq), 1)); });
    if (round % 2 == 0) leader.AwaitAsleep();
    // The thread that submitted is the one in which the kernel runs the end of the receive: it finds it before the leader does.
    gates.Open(0);
    for (int i = 0; i < 3; ++i) manager.Run(Entry::Nop(8, 0));
  }
}

TEST_F(P5WaitByThreads, ACompletionByAnotherProcessesMessageWakesTheLeader) {
  TestManager manager(OneKernelRing());
  manager.MakeRing(8, {});
  for (int round = 0; round < 200; ++round) {
    const Seq seq = manager.Submit(Entry::IpcRecv(kPid, 16, 0));
    Sleeper leader([&] { EXPECT_EQ(manager.Wait(kPid, seq).result.data(), "hello"); });
    if (round % 2 == 0) leader.AwaitAsleep();
    EXPECT_TRUE(Succeeded(manager.Run(Entry::IpcSend(8, kPid, "hello", 0)), 5));
  }
}

TEST_F(P5WaitByThreads, EntriesSubmittedWhileTheLeaderSleepsAreStarted) {
  TestManager manager(OneKernelRing());
  Gates gates(1);
  const Seq asleep = manager.Submit(gates.Wait(0));
  Sleeper leader([&] { manager.Wait(kPid, asleep); });
  leader.AwaitAsleep();
  for (int i = 0; i < 200; ++i) {
    std::vector<Entry> entries = Nops(3, 8);
    std::vector<Done> out(3);
    const absl::StatusOr<size_t> count =
        manager->SubmitAndWait(8, absl::MakeSpan(entries), {}, 3, absl::MakeSpan(out), absl::InfiniteDuration());
    ASSERT_TRUE(count.ok()) << count.status();
    ASSERT_EQ(*count, 3u);
  }
  gates.Open(0);
}

TEST_F(P5WaitByThreads, AnInfiniteWaitForManyEndsWhenTheLastIsThere) {
  constexpr size_t kEntries = 10;
  TestManager manager(OneKernelRing());
  Gates gates(kEntries);
  for (size_t i = 0; i < kEntries; ++i) manager.Submit(gates.Wait(i));
  std::vector<Seq> got;
  Sleeper waiter([&] {
    const absl::StatusOr<std::vector<Done>> all = manager->WaitCompletions(kPid, kEntries, kEntries, absl::InfiniteDuration());
    ASSERT_TRUE(all.ok()) << all.status();
    got = SeqsOf(*all);
  });
  for (size_t i = 0; i < kEntries; ++i) {
    waiter.AwaitAsleep();
    gates.Open(i);
  }
  waiter.Join();
  std::sort(got.begin(), got.end());
  ASSERT_EQ(got.size(), kEntries);
  for (size_t i = 0; i < kEntries; ++i) EXPECT_EQ(got[i], i + 1);
}

TEST_F(P5WaitByThreads, AWaiterOfADestroyedRingIsSentAway) {
  TestManager manager(OneKernelRing());
  for (int round = 0; round < 50; ++round) {
    Gates gates(2);
    const Seq first = manager.Submit(gates.Wait(0));
    manager.Submit(gates.Wait(1));
    Sleeper one([&] {
      const absl::StatusOr<Done> done = manager->WaitCompletion(kPid, first, absl::InfiniteDuration());
      if (done.ok()) {
        EXPECT_TRUE(WasCancelled(*done));
      } else {
        EXPECT_TRUE(Refused(done.status(), absl::StatusCode::kFailedPrecondition, {"7"}));
      }
    });
    // Three will never be there.
    Sleeper many([&] {
      const absl::StatusOr<std::vector<Done>> done = manager->WaitCompletions(kPid, 3, 3, absl::InfiniteDuration());
      EXPECT_TRUE(Refused(done.status(), absl::StatusCode::kFailedPrecondition, {"7"}));
    });
    one.AwaitAsleep();
    many.AwaitAsleep();
    ASSERT_TRUE(manager->DestroyRing(kPid).ok());
  }
  EXPECT_FALSE(manager->HasRing(kPid));
}

TEST_F(P5WaitByThreads, WorkersAndManyWaiters) {
  constexpr size_t kThreads = 6;
  TempDir dir;
  TestManager manager(OneKernelRing());
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const Pid pid = static_cast<Pid>(t % 3);
      for (int i = 0; i < 60; ++i) {
        const std::string path = dir.Path(std::to_string(t));
        ASSERT_TRUE(Succeeded(manager.Run(Entry::WriteFile(pid, path, "text", 0)), 4));
        ASSERT_EQ(manager.Run(Entry::ReadFile(pid, path, 0)).result.data(), "text");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// The leader sleeps until as many files are finished as it waits for; whoever joins it may wait for the first of them.
TEST_F(P5WaitByThreads, AFinishedFileIsHeardThoughTheLeaderWaitsForMore) {
  TempDir dir;
  for (const char* name : {"first", "second", "mine"}) Spill(dir.Path(name), "old");
  TestManager manager(IoUringManagerOptions{.kernel_rings = 1, .file_workers = 4});
  WriteGate first(dir.Path("first"));
  WriteGate second(dir.Path("second"));
  WriteGate mine(dir.Path("mine"));
  if (!first.holds()) GTEST_SKIP() << "no leases on this file system";
  manager.Submit(Entry::WriteFile(kPid, dir.Path("first"), "new", 0));
  manager.Submit(Entry::WriteFile(kPid, dir.Path("second"), "new", 0));
  const Seq seq = manager.Submit(Entry::WriteFile(8, dir.Path("mine"), "new", 0));
  Sleeper leader([&] { EXPECT_TRUE(manager->WaitCompletions(kPid, 2, 2, absl::InfiniteDuration()).ok()); });
  leader.AwaitAsleep();
  Sleeper joined([&] { EXPECT_TRUE(Succeeded(manager.Wait(8, seq), 3)); });
  joined.AwaitAsleep();
  mine.Release();
  joined.Join();
  EXPECT_EQ(manager->Stats().pending, 2u);
  first.Release();
  second.Release();
}

TEST_P(P6Order, ReapingIsInOrderOfCompletion) {
  TestManager manager(GetParam());
  Gates gates(6);
  for (size_t i = 0; i < 6; ++i) manager.Submit(gates.Wait(i));
  uint64_t placed = 0;
  for (size_t i : {3u, 1u, 5u, 0u, 4u, 2u}) {
    gates.Open(i);
    manager.AwaitPlaced(kPid, ++placed);
  }
  EXPECT_EQ(manager.ReapSeqs(kPid, 2), (std::vector<Seq>{4, 2}));
  EXPECT_TRUE(Succeeded(manager.Wait(kPid, 1), 1)) << "from the middle";
  std::vector<Done> out(2);
  ASSERT_EQ(manager->ReapCompletions(kPid, absl::MakeSpan(out)).value_or(0), 2u);
  EXPECT_EQ(SeqsOf(out), (std::vector<Seq>{6, 5}));
  EXPECT_EQ(manager.ReapSeqs(kPid, 10), std::vector<Seq>{3});
  EXPECT_TRUE(manager.Reap(kPid).empty());
}

TEST_P(P6Order, StartingIsInOrderOfSubmission) {
  RecordingObserver observer;
  TestManager manager(IoUringManagerOptions{.threading = GetParam(), .observer = &observer});
  manager.MakeRing(kPid, {.sq_size = 16, .cq_size = 32, .max_in_flight = 2});
  Gates gates(2);
  manager.Submit(gates.Wait(0));
  manager.Submit(gates.Wait(1));
  ASSERT_TRUE(manager->SubmitBatch(kPid, Nops(4)).ok());
  ASSERT_TRUE(manager->SubmitBatch(kPid, Nops(4)).ok());
  EXPECT_EQ(observer.SeqsOf(kPid, "dispatched"), (std::vector<Seq>{1, 2})) << "max_in_flight";
  gates.Open(1);
  manager.AwaitPlaced(kPid, 9);
  EXPECT_EQ(observer.SeqsOf(kPid, "dispatched"), (std::vector<Seq>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
  EXPECT_EQ(manager.ReapSeqs(kPid), (std::vector<Seq>{2, 3, 4, 5, 6, 7, 8, 9, 10}));
  gates.Open(0);
  manager.Wait(kPid, 1);
}

INSTANTIATE_TEST_SUITE_P(Threading, P5Wait, BothThreadings(), ThreadingName);
INSTANTIATE_TEST_SUITE_P(Threading, P6Order, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
