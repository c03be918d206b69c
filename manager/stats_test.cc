// Every field of IoUringStats: what moves it, what does not, and that totals outlive their rings.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/io_uring_stats.h"
#include "agentos/manager/test_manager.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

std::vector<Entry> Nops(size_t count, Pid pid = kPid) {
  std::vector<Entry> entries;
  for (size_t i = 0; i < count; ++i) entries.push_back(Entry::Nop(pid, i));
  return entries;
}

uint64_t Of(const IoUringStats& stats, OperationKind kind) { return stats.completions_by_operation[static_cast<size_t>(kind)]; }

class Stats : public ThreadingTest {
 protected:
  IoUringStats Now() { return manager_->Stats(); }
  TestManager manager_{GetParam()};
};

TEST_P(Stats, AFreshManagerHasDoneNothing) {
  const IoUringStats stats = Now();
  EXPECT_EQ(stats.active_rings, 0u);
  EXPECT_EQ(stats.total_submissions, 0u);
  EXPECT_EQ(stats.total_completions, 0u);
  EXPECT_EQ(stats.pending, 0u);
  EXPECT_EQ(stats.errors, 0u);
  EXPECT_EQ(stats.cancelled, 0u);
  EXPECT_EQ(stats.dropped, 0u);
  EXPECT_EQ(stats.rejected, 0u);
  EXPECT_EQ(stats.bytes, 0u);
  EXPECT_EQ(stats.kernel_entries, 0u);
  for (uint64_t count : stats.completions_by_operation) EXPECT_EQ(count, 0u);
  for (absl::Duration latency :
       {stats.latency_p50, stats.latency_p90, stats.latency_p99, stats.latency_p999, stats.latency_max}) {
    EXPECT_EQ(latency, absl::ZeroDuration());
  }
}

TEST_P(Stats, ActiveRingsAreThoseThatExist) {
  manager_.MakeRing(1, {});
  manager_.Submit(Entry::Nop(2, 0));
  EXPECT_FALSE(manager_->CreateRing(1).ok());
  EXPECT_EQ(Now().active_rings, 2u);
  ASSERT_TRUE(manager_->DestroyRing(1).ok());
  EXPECT_FALSE(manager_->DestroyRing(1).ok());
  EXPECT_EQ(Now().active_rings, 1u);
}

TEST_P(Stats, ACompletionCountsWhenItIsPlacedAndUnreapedIsNotPending) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const Seq waiting = manager_.Submit(Entry::Recv(kPid, sockets.first.get(), 1, 0, 0));
  ASSERT_TRUE(manager_->SubmitBatch(kPid, Nops(3)).ok());
  manager_.AwaitPlaced(kPid, 3);
  IoUringStats stats = Now();
  EXPECT_EQ(stats.total_submissions, 4u);
  EXPECT_EQ(stats.total_completions, 3u);
  EXPECT_EQ(stats.pending, 1u);
  manager_.Reap(kPid);
  EXPECT_EQ(Now().total_completions, 3u) << "reaping is none";
  EXPECT_EQ(write(sockets.second.get(), "x", 1), 1);
  manager_.Wait(kPid, waiting);
  stats = Now();
  EXPECT_EQ(stats.total_completions, 4u) << "one that went straight to its waiter counts as well";
  EXPECT_EQ(stats.pending, 0u);
}

TEST_P(Stats, EntriesThatWaitForTheirStartArePending) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  manager_.MakeRing(kPid, {.max_in_flight = 1});
  manager_.Submit(Entry::Recv(kPid, sockets.first.get(), 1, 0, 0));
  ASSERT_TRUE(manager_->SubmitBatch(kPid, Nops(2)).ok());
  EXPECT_EQ(Now().pending, 3u);
}

TEST_P(Stats, ErrorsAndCancelledAreCountedApart) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  manager_.Run(Entry::Close(kPid, ClosedFd(), 0));
  manager_.Run(Entry::ReadFile(kPid, "/absent", 0));
  manager_.Run(Entry::IpcSend(kPid, 99, "x", 0));
  const Seq seq = manager_.Submit(Entry::Recv(kPid, sockets.first.get(), 1, 0, 0));
  ASSERT_TRUE(manager_->Cancel(kPid, seq).ok());
  manager_.Wait(kPid, seq);
  const IoUringStats stats = Now();
  EXPECT_EQ(stats.errors, 3u);
  EXPECT_EQ(stats.cancelled, 1u);
  EXPECT_EQ(stats.total_completions, 4u);
  EXPECT_EQ(Of(stats, OperationKind::kClose), 1u);
  EXPECT_EQ(Of(stats, OperationKind::kReadFile), 1u);
  EXPECT_EQ(Of(stats, OperationKind::kIpcSend), 1u);
  EXPECT_EQ(Of(stats, OperationKind::kRecv), 1u);
  EXPECT_EQ(stats.bytes, 0u) << "nothing was moved";
}

TEST_P(Stats, DroppedIsCountedBesideCompleted) {
  manager_.MakeRing(kPid, {.sq_size = 8, .cq_size = 3});
  ASSERT_TRUE(manager_->SubmitBatch(kPid, Nops(8)).ok());
  manager_.AwaitPlaced(kPid, 8);
  EXPECT_EQ(Now().dropped, 5u);
  EXPECT_EQ(Now().total_completions, 8u);
}

TEST_P(Stats, RejectedCountsEveryEntryOfARefusedCall) {
  uint64_t expected = 0;
  EXPECT_FALSE(manager_->Submit(kPid, Entry::Close(kPid, -1, 0)).ok());
  EXPECT_EQ(Now().rejected, expected += 1);

  std::vector<Entry> batch = Nops(3);
  batch[2] = Entry::Open(kPid, "", 0, 0, 0);
  EXPECT_FALSE(manager_->SubmitBatch(kPid, absl::MakeSpan(batch), {}).ok());
  EXPECT_EQ(Now().rejected, expected += 3) << "a batch is refused whole";

  manager_.MakeRing(kPid, {.sq_size = 4, .cq_size = 4, .overflow = OverflowPolicy::kBackpressure});
  EXPECT_FALSE(manager_->SubmitBatch(kPid, Nops(5)).ok());
  EXPECT_EQ(Now().rejected, expected += 5) << "larger than the queue";
  ASSERT_TRUE(manager_->SubmitBatch(kPid, Nops(4)).ok());
  EXPECT_FALSE(manager_->SubmitBatch(kPid, Nops(2)).ok());
  EXPECT_EQ(Now().rejected, expected += 2) << "no room";

  std::vector<Done> out(1);
  std::vector<Seq> seqs(1);
  batch = Nops(2);
  EXPECT_FALSE(manager_->SubmitBatch(kPid, absl::MakeSpan(batch), absl::MakeSpan(seqs)).ok());
  EXPECT_EQ(Now().rejected, expected += 2);
  EXPECT_FALSE(manager_->SubmitAndWait(kPid, absl::MakeSpan(batch), {}, 2, absl::MakeSpan(out), absl::ZeroDuration()).ok());
  EXPECT_EQ(Now().rejected, expected += 2);
  EXPECT_FALSE(manager_->SubmitAndWait(kPid, absl::MakeSpan(batch), {}, 1, absl::MakeSpan(out), absl::ZeroDuration()).ok());
  EXPECT_EQ(Now().rejected, expected += 2) << "no room";
  EXPECT_EQ(Now().total_submissions, 4u);
}

TEST_P(Stats, WhatIsNoEntryIsNotRejected) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  std::vector<Entry> accepted;
  accepted.push_back(Entry::Recv(kPid, sockets.first.get(), 1, 0, 0));
  std::vector<Done> out(1);
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      manager_->SubmitAndWait(kPid, absl::MakeSpan(accepted), {}, 1, absl::MakeSpan(out), absl::ZeroDuration()).status()));
  EXPECT_FALSE(manager_->WaitCompletion(kPid, 9).ok());
  EXPECT_FALSE(manager_->Cancel(kPid, 9).ok());
  EXPECT_FALSE(manager_->ReapCompletions(99).ok());
  EXPECT_FALSE(manager_->CreateRing(8, {.sq_size = 0}).ok());
  EXPECT_TRUE(manager_->SubmitBatch(kPid, {}).ok());
  EXPECT_EQ(Now().rejected, 0u);
}

TEST_P(Stats, BytesAreThoseThatEntriesMoved) {
  TempDir dir;
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  Spill(dir.Path("file"), Content(1000));
  const Fd file(open(dir.Path("file").c_str(), O_RDWR | O_CLOEXEC));
  uint64_t expected = 0;
  const auto expect_after = [&](Entry entry, uint64_t more) {
    ASSERT_TRUE(Succeeded(manager_.Run(std::move(entry))));
    EXPECT_EQ(Now().bytes, expected += more);
  };
  expect_after(Entry::ReadFile(kPid, dir.Path("file"), 0), 1000);
  expect_after(Entry::WriteFile(kPid, dir.Path("other"), "12345", 0), 5);
  expect_after(Entry::Read(kPid, file.get(), 700, 900, 0), 100);
  expect_after(Entry::Write(kPid, file.get(), "123", 0, 0), 3);
  expect_after(Entry::Send(kPid, sockets.first.get(), "1234567", 0, 0), 7);
  expect_after(Entry::Recv(kPid, sockets.second.get(), 100, 0, 0), 7);
  expect_after(Entry::IpcSend(kPid, kPid, "1234", 0), 4);
  expect_after(Entry::IpcRecv(kPid, 100, 0), 4);
  // Their values are no bytes.
  expect_after(Entry::Lseek(kPid, file.get(), 500, SEEK_SET, 0), 0);
  expect_after(Entry::Close(kPid, dup(file.get()), 0), 0);
  expect_after(Entry::Nop(kPid, 0), 0);
}

TEST_P(Stats, KernelEntriesShowHowWellBatchingWorks) {
  ASSERT_TRUE(manager_->SubmitBatch(kPid, Nops(100)).ok());
  manager_.AwaitPlaced(kPid, 100);
  const uint64_t batched = Now().kernel_entries;
  EXPECT_GE(batched, 1u);
  EXPECT_LE(batched, 2u);
  for (int i = 0; i < 100; ++i) manager_.Submit(Entry::Nop(kPid, 0));
  EXPECT_GE(Now().kernel_entries, batched + 100);
}

TEST_P(Stats, LatenciesAreOrderedAndCoverTheSlowest) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const Seq slow = manager_.Submit(Entry::Recv(kPid, sockets.first.get(), 1, 0, 0));
  for (int i = 0; i < 200; ++i) manager_.Run(Entry::Nop(kPid, 0));
  EXPECT_TRUE(absl::IsDeadlineExceeded(manager_->WaitCompletion(kPid, slow, absl::Milliseconds(20)).status()));
  EXPECT_EQ(write(sockets.second.get(), "x", 1), 1);
  manager_.Wait(kPid, slow);
  const IoUringStats stats = Now();
  EXPECT_GT(stats.latency_p50, absl::ZeroDuration());
  EXPECT_LE(stats.latency_p50, stats.latency_p90);
  EXPECT_LE(stats.latency_p90, stats.latency_p99);
  EXPECT_LE(stats.latency_p99, stats.latency_p999);
  EXPECT_LE(stats.latency_p999, stats.latency_max);
  EXPECT_GE(stats.latency_max, absl::Milliseconds(20)) << "that entry waited at least as long as its waiter";
  EXPECT_LT(stats.latency_p50, stats.latency_max);
}

TEST_P(Stats, TotalsOutliveTheirRings) {
  TempDir dir;
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  manager_.MakeRing(kPid, {.sq_size = 8, .cq_size = 2});
  ASSERT_TRUE(manager_->SubmitBatch(kPid, Nops(4)).ok());
  manager_.AwaitPlaced(kPid, 4);
  manager_.Run(Entry::WriteFile(kPid, dir.Path("file"), "12345", 0));
  manager_.Run(Entry::Close(kPid, ClosedFd(), 0));
  manager_.Submit(Entry::Recv(kPid, sockets.first.get(), 1, 0, 0));
  EXPECT_FALSE(manager_->Submit(kPid, Entry::Close(kPid, -1, 0)).ok());
  ASSERT_TRUE(manager_->DestroyRing(kPid).ok());

  const IoUringStats stats = Now();
  EXPECT_EQ(stats.active_rings, 0u);
  EXPECT_EQ(stats.total_submissions, 7u);
  EXPECT_EQ(stats.total_completions, 7u);
  EXPECT_EQ(stats.pending, 0u);
  EXPECT_EQ(stats.errors, 1u);
  EXPECT_EQ(stats.cancelled, 1u) << "what the destruction stopped";
  EXPECT_GE(stats.dropped, 2u);
  EXPECT_EQ(stats.rejected, 1u);
  EXPECT_EQ(stats.bytes, 5u);
  EXPECT_EQ(Of(stats, OperationKind::kNop), 4u);
  EXPECT_GT(stats.latency_max, absl::ZeroDuration());

  manager_.Run(Entry::Nop(kPid, 0));
  EXPECT_EQ(Now().total_completions, 8u) << "and go on";
}

TEST(StatsText, ShowsEveryFieldAndTheOperationsThatWereUsed) {
  IoUringStats stats;
  stats.active_rings = 1001;
  stats.total_submissions = 1002;
  stats.total_completions = 1003;
  stats.pending = 1004;
  stats.errors = 1005;
  stats.cancelled = 1006;
  stats.dropped = 1007;
  stats.rejected = 1008;
  stats.bytes = 1009;
  stats.kernel_entries = 1010;
  stats.completions_by_operation[static_cast<size_t>(OperationKind::kReadFile)] = 1011;
  stats.latency_p50 = absl::Microseconds(1012);
  stats.latency_p90 = absl::Microseconds(1013);
  stats.latency_p99 = absl::Microseconds(1014);
  stats.latency_p999 = absl::Microseconds(1015);
  stats.latency_max = absl::Microseconds(1016);
  const std::string text = stats.ToString();
  for (int value = 1001; value <= 1011; ++value) EXPECT_TRUE(absl::StrContains(text, std::to_string(value))) << value;
  for (const char* value : {"1.012ms", "1.013ms", "1.014ms", "1.015ms", "1.016ms"}) {
    EXPECT_TRUE(absl::StrContains(text, value)) << value;
  }
  for (const char* name : {"active rings", "submissions", "completions", "pending", "errors", "cancelled", "dropped", "rejected",
                           "bytes", "kernel entries", "ReadFile", "p50", "p90", "p99", "p99.9", "max"}) {
    EXPECT_TRUE(absl::StrContains(text, name)) << name;
  }
  EXPECT_FALSE(absl::StrContains(text, "WriteFile")) << "an operation nobody used says nothing";
}

TEST(StatsByThreads, MayBeAskedForAtAnyTime) {
  TestManager manager;
  std::thread worker([&] {
    for (int i = 0; i < 2000; ++i) manager.Run(Entry::Nop(kPid, 0));
  });
  uint64_t last = 0;
  while (last < 2000) {
    const IoUringStats stats = manager->Stats();
    EXPECT_GE(stats.total_completions, last) << "totals only grow";
    EXPECT_EQ(stats.total_submissions, stats.total_completions + stats.pending);
    last = stats.total_completions;
  }
  worker.join();
}

TEST(StatsByThreads, EntriesOfACallThatFailsWhileItWaitsAreNotRejected) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  TestManager manager;
  std::atomic<pid_t> waiter{0};
  std::thread thread([&] {
    std::vector<Entry> entries;
    entries.push_back(Entry::Recv(kPid, sockets.first.get(), 1, 0, 0));
    std::vector<Done> out(2);
    waiter.store(ThisThread());
    waiter.notify_all();
    // Two will never be there.
    EXPECT_TRUE(absl::IsFailedPrecondition(
        manager->SubmitAndWait(kPid, absl::MakeSpan(entries), {}, 2, absl::MakeSpan(out), absl::InfiniteDuration()).status()));
  });
  waiter.wait(0);
  while (manager->Stats().total_submissions == 0) std::this_thread::yield();
  AwaitAsleep(waiter.load());
  ASSERT_TRUE(manager->DestroyRing(kPid).ok());
  thread.join();
  EXPECT_EQ(manager->Stats().total_submissions, 1u);
  EXPECT_EQ(manager->Stats().total_completions, 1u);
  EXPECT_EQ(manager->Stats().rejected, 0u);
}

INSTANTIATE_TEST_SUITE_P(Threading, Stats, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
