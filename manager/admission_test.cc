// P1 and P2: what is accepted, under which number, and what is refused.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "agentos/manager/io_uring_manager.h"
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

class P1Numbering : public ThreadingTest {};
class P1NumberingByThreads : public PromiseTest {};
class P2Admission : public ThreadingTest {};
class P2AdmissionByThreads : public PromiseTest {};

TEST_P(P1Numbering, RisesByOnePerEntry) {
  TestManager manager(GetParam());
  for (Seq expected = 1; expected <= 600; ++expected) {
    ASSERT_EQ(manager.Submit(Entry::Nop(kPid, 0)), expected);
    manager.Reap(kPid);
  }
}

TEST_P(P1Numbering, ABatchIsContiguous) {
  TestManager manager(GetParam());
  ASSERT_EQ(manager.Submit(Entry::Nop(kPid, 0)), 1u);
  const absl::StatusOr<std::vector<Seq>> seqs = manager->SubmitBatch(kPid, Nops(5));
  ASSERT_TRUE(seqs.ok()) << seqs.status();
  EXPECT_EQ(*seqs, (std::vector<Seq>{2, 3, 4, 5, 6}));

  std::vector<Entry> more = Nops(3);
  std::vector<Seq> into(3);
  ASSERT_TRUE(manager->SubmitBatch(kPid, absl::MakeSpan(more), absl::MakeSpan(into)).ok());
  EXPECT_EQ(into, (std::vector<Seq>{7, 8, 9}));

  more = Nops(2);
  ASSERT_TRUE(manager->SubmitBatch(kPid, absl::MakeSpan(more), {}).ok()) << "nobody has to ask for the numbers";
  EXPECT_EQ(manager.Submit(Entry::Nop(kPid, 0)), 12u);
}

TEST_P(P1Numbering, EveryRingCountsItsOwn) {
  TestManager manager(GetParam());
  EXPECT_EQ(manager.Submit(Entry::Nop(1, 0)), 1u);
  EXPECT_EQ(manager.Submit(Entry::Nop(1, 0)), 2u);
  EXPECT_EQ(manager.Submit(Entry::Nop(2, 0)), 1u);
  EXPECT_EQ(manager.Submit(Entry::Nop(1, 0)), 3u);
}

TEST_P(P1Numbering, ARingMadeAnewStartsAtOne) {
  TestManager manager(GetParam());
  EXPECT_EQ(manager.Submit(Entry::Nop(kPid, 0)), 1u);
  EXPECT_EQ(manager.Submit(Entry::Nop(kPid, 0)), 2u);
  ASSERT_TRUE(manager->DestroyRing(kPid).ok());
  EXPECT_EQ(manager.Submit(Entry::Nop(kPid, 0)), 1u);
  EXPECT_EQ(manager.ReapSeqs(kPid), std::vector<Seq>{1}) << "nothing of the former ring";
}

TEST_P(P1Numbering, ARefusedEntryUsesNone) {
  TestManager manager(GetParam());
  manager.MakeRing(kPid, {.sq_size = 4, .cq_size = 4, .overflow = OverflowPolicy::kBackpressure});
  EXPECT_EQ(manager.Submit(Entry::Nop(kPid, 0)), 1u);
  EXPECT_FALSE(manager->Submit(kPid, Entry::Close(kPid, -1, 0)).ok());
  EXPECT_FALSE(manager->SubmitBatch(kPid, Nops(5)).ok()) << "larger than the queue";
  EXPECT_EQ(manager.Submit(Entry::Nop(kPid, 0)), 2u);
  EXPECT_FALSE(manager->SubmitBatch(kPid, Nops(3)).ok()) << "no room";
  std::vector<Entry> half_wrong = Nops(2);
  half_wrong[1] = Entry::Open(kPid, "", 0, 0, 0);
  EXPECT_FALSE(manager->SubmitBatch(kPid, std::move(half_wrong)).ok());
  EXPECT_EQ(manager.Submit(Entry::Nop(kPid, 0)), 3u);
}

TEST_P(P1Numbering, UserDataComesBackUntouched) {
  TestManager manager(GetParam());
  const std::vector<uint64_t> all = {0, std::numeric_limits<uint64_t>::max(), 1, 1, uint64_t{1} << 63, 0xdeadbeef, 0};
  std::vector<Entry> entries;
  for (uint64_t user_data : all) entries.push_back(Entry::Nop(kPid, user_data));
  const absl::StatusOr<std::vector<Seq>> seqs = manager->SubmitBatch(kPid, std::move(entries));
  ASSERT_TRUE(seqs.ok());
  for (size_t i = 0; i < all.size(); ++i) {
    const Done done = manager.Wait(kPid, (*seqs)[i]);
    EXPECT_EQ(done.user_data, all[i]);
    EXPECT_EQ(done.seq, (*seqs)[i]);
    EXPECT_EQ(done.pid, kPid);
    EXPECT_FALSE(done.more);
  }
  EXPECT_EQ(manager.Run(Entry::Close(kPid, ClosedFd(), 42)).user_data, 42u) << "of an error too";
}

TEST_F(P1NumberingByThreads, BatchesOfManyThreadsDoNotMix) {
  constexpr size_t kThreads = 4;
  constexpr size_t kRounds = 200;
  TestManager manager;
  manager.MakeRing(kPid, {.sq_size = 4096, .cq_size = 4096});
  std::vector<std::vector<Seq>> seqs(kThreads);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (size_t round = 0; round < kRounds; ++round) {
        const absl::StatusOr<std::vector<Seq>> batch = manager->SubmitBatch(kPid, Nops(1 + round % 5));
        ASSERT_TRUE(batch.ok()) << batch.status();
        for (size_t i = 1; i < batch->size(); ++i) ASSERT_EQ((*batch)[i], (*batch)[i - 1] + 1);
        seqs[t].insert(seqs[t].end(), batch->begin(), batch->end());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<Seq> all;
  for (const std::vector<Seq>& of_thread : seqs) {
    EXPECT_TRUE(std::is_sorted(of_thread.begin(), of_thread.end()));
    all.insert(all.end(), of_thread.begin(), of_thread.end());
  }
  std::sort(all.begin(), all.end());
  for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], i + 1) << "a number is missing or was given twice";
}

// Fills a ring whose queue holds four: one entry is started and waits for a byte, the others wait for it.
struct FullRing {
  explicit FullRing(TestManager& of) : manager(of) {
    manager.MakeRing(kPid, {.sq_size = 4, .cq_size = 16, .max_in_flight = 1});
    EXPECT_EQ(manager.Submit(Entry::Recv(kPid, sockets.first.get(), 1, 0, 0)), 1u);
    EXPECT_TRUE(manager->SubmitBatch(kPid, Nops(3)).ok());
  }

  void Release() {
    EXPECT_EQ(write(sockets.second.get(), "x", 1), 1);
    EXPECT_TRUE(Succeeded(manager.Wait(kPid, 1), 1));
  }

  TestManager& manager;
  Pair sockets = MakeSocketPair(SOCK_STREAM);
};

TEST_P(P2Admission, NoRoomRefusesTheWholeBatchAndThenThereIsRoomAgain) {
  TestManager manager(GetParam());
  {
    FullRing ring(manager);
    EXPECT_TRUE(Refused(manager->SubmitBatch(kPid, Nops(2)).status(), absl::StatusCode::kResourceExhausted, {"7", "2 entries"}))
        << "one place is left, and a batch is never taken in part";
    EXPECT_EQ(manager->Stats().total_submissions, 4u);
    EXPECT_EQ(manager.Submit(Entry::Nop(kPid, 0)), 5u) << "the last place";
    EXPECT_TRUE(Refused(manager->Submit(kPid, Entry::Nop(kPid, 0)).status(), absl::StatusCode::kResourceExhausted));
    ring.Release();
    EXPECT_TRUE(manager->SubmitBatch(kPid, Nops(4)).ok());
    manager.AwaitPlaced(kPid, 9);
    EXPECT_EQ(manager.ReapSeqs(kPid), (std::vector<Seq>{2, 3, 4, 5, 6, 7, 8, 9}));
  }
}

TEST_P(P2Admission, ARefusedBatchIsLeftAsItWas) {
  TestManager manager(GetParam());
  FullRing ring(manager);
  TempDir dir;
  Spill(dir.Path("file"), "");
  const Fd file(open(dir.Path("file").c_str(), O_RDWR | O_CLOEXEC));
  std::string text = Content(5000);
  const char* const where = text.data();
  std::vector<Entry> entries;
  entries.push_back(Entry::Write(kPid, file.get(), std::move(text), 0, 11));
  entries.push_back(Entry::ReadFile(kPid, dir.Path("file"), 12));
  std::vector<Seq> seqs = {71, 72};

  ASSERT_TRUE(
      Refused(manager->SubmitBatch(kPid, absl::MakeSpan(entries), absl::MakeSpan(seqs)), absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(seqs, (std::vector<Seq>{71, 72}));
  EXPECT_EQ(entries[0].kind(), OperationKind::kWrite);
  EXPECT_EQ(std::get<operation::Write>(entries[0].operation()).data.data(), where) << "not even copied";
  EXPECT_EQ(std::get<operation::ReadFile>(entries[1].operation()).path, dir.Path("file"));

  ring.Release();
  ASSERT_TRUE(manager->SubmitBatch(kPid, absl::MakeSpan(entries), absl::MakeSpan(seqs)).ok()) << "the same entries once more";
  EXPECT_TRUE(Succeeded(manager.Wait(kPid, seqs[0]), 5000));
  EXPECT_EQ(manager.Wait(kPid, seqs[1]).user_data, 12u);
}

TEST_P(P2Admission, AWrongEntryRefusesAllAndIsNamed) {
  TestManager manager(GetParam());
  std::vector<Entry> entries = Nops(5);
  entries[3] = Entry::Read(kPid, 0, 10, -2, 0);
  EXPECT_TRUE(Refused(manager->SubmitBatch(kPid, absl::MakeSpan(entries), {}), absl::StatusCode::kInvalidArgument,
                      {"entry 3", "Read.offset", "-2"}));
  for (const Entry& entry : entries) EXPECT_NE(entry.kind(), OperationKind::kNone);
  EXPECT_EQ(manager->Stats().total_submissions, 0u);
  EXPECT_FALSE(manager->HasRing(kPid)) << "a refusal makes no ring";
  EXPECT_TRUE(
      Refused(manager->Submit(kPid, std::move(entries[3])).status(), absl::StatusCode::kInvalidArgument, {"Read.offset"}));
}

TEST_P(P2Admission, ABatchLargerThanTheQueueNeverFits) {
  TestManager manager(GetParam());
  manager.MakeRing(1, {.sq_size = 4, .cq_size = 8});
  EXPECT_TRUE(Refused(manager->SubmitBatch(1, Nops(5, 1)).status(), absl::StatusCode::kInvalidArgument, {"5", "4"}));
  EXPECT_TRUE(manager->SubmitBatch(1, Nops(4, 1)).ok());
  manager.MakeRing(2, {.sq_size = 8, .cq_size = 4, .overflow = OverflowPolicy::kBackpressure});
  EXPECT_TRUE(Refused(manager->SubmitBatch(2, Nops(5, 2)).status(), absl::StatusCode::kInvalidArgument, {"5", "4"}));
  EXPECT_TRUE(manager->SubmitBatch(2, Nops(4, 2)).ok());
  EXPECT_TRUE(
      Refused(manager->SubmitBatch(3, Nops(kDefaultSubmissionQueueSize + 1, 3)).status(), absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(manager->SubmitBatch(3, Nops(kDefaultSubmissionQueueSize, 3)).ok());
}

TEST_P(P2Admission, AnEntryOfAnotherProcessOrMovedFromIsRefused) {
  TestManager manager(GetParam());
  EXPECT_TRUE(Refused(manager->Submit(kPid, Entry::Nop(kPid + 1, 0)).status(), absl::StatusCode::kInvalidArgument, {"pid"}));
  Entry entry = Entry::Nop(kPid, 0);
  const Entry taken = std::move(entry);
  EXPECT_TRUE(Refused(manager->Submit(kPid, std::move(entry)).status(), absl::StatusCode::kInvalidArgument, {"moved from"}));
  std::vector<Entry> twice = Nops(1);
  ASSERT_TRUE(manager->SubmitBatch(kPid, absl::MakeSpan(twice), {}).ok());
  EXPECT_TRUE(Refused(manager->SubmitBatch(kPid, absl::MakeSpan(twice), {}), absl::StatusCode::kInvalidArgument, {"moved from"}))
      << "an accepted entry belongs to the ring";
}

TEST_P(P2Admission, TheSpanForTheNumbersFitsOrIsEmpty) {
  TestManager manager(GetParam());
  std::vector<Entry> entries = Nops(3);
  std::vector<Seq> seqs(2);
  std::vector<Done> out(3);
  EXPECT_TRUE(Refused(manager->SubmitBatch(kPid, absl::MakeSpan(entries), absl::MakeSpan(seqs)),
                      absl::StatusCode::kInvalidArgument, {"seqs", "2", "3"}));
  EXPECT_TRUE(Refused(
      manager->SubmitAndWait(kPid, absl::MakeSpan(entries), absl::MakeSpan(seqs), 0, absl::MakeSpan(out), absl::ZeroDuration())
          .status(),
      absl::StatusCode::kInvalidArgument, {"seqs", "2", "3"}));
  EXPECT_FALSE(manager->HasRing(kPid));
}

TEST_P(P2Admission, ARefusedSubmitAndWaitDoesNotWait) {
  TestManager manager(GetParam());
  FullRing ring(manager);
  std::vector<Entry> entries = Nops(2);
  std::vector<Seq> seqs(2);
  std::vector<Done> out(2);
  EXPECT_TRUE(Refused(
      manager
          ->SubmitAndWait(kPid, absl::MakeSpan(entries), absl::MakeSpan(seqs), 2, absl::MakeSpan(out), absl::InfiniteDuration())
          .status(),
      absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(entries[1].kind(), OperationKind::kNop);
}

TEST_P(P2Admission, AnEmptyBatchDoesNothing) {
  TestManager manager(GetParam());
  const absl::StatusOr<std::vector<Seq>> none = manager->SubmitBatch(kPid, {});
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->empty());
  EXPECT_TRUE(manager->SubmitBatch(kPid, absl::Span<Entry>(), absl::Span<Seq>()).ok());
  EXPECT_FALSE(manager->HasRing(kPid));
  EXPECT_EQ(manager->Stats().rejected, 0u);
}

TEST_P(P2Admission, WithoutARingEverythingButSubmitIsNotFound) {
  TestManager manager(GetParam());
  std::vector<Done> out(1);
  const auto expect_not_found = [&] {
    constexpr auto kNotFound = absl::StatusCode::kNotFound;
    EXPECT_TRUE(Refused(manager->ReapCompletions(kPid).status(), kNotFound, {"7"}));
    EXPECT_TRUE(Refused(manager->ReapCompletions(kPid, absl::MakeSpan(out)).status(), kNotFound, {"7"}));
    EXPECT_TRUE(Refused(manager->WaitCompletion(kPid, 1, absl::InfiniteDuration()).status(), kNotFound, {"7"}));
    EXPECT_TRUE(Refused(manager->WaitCompletions(kPid, 1, 1, absl::InfiniteDuration()).status(), kNotFound, {"7"}));
    EXPECT_TRUE(
        Refused(manager->WaitCompletions(kPid, 1, absl::MakeSpan(out), absl::InfiniteDuration()).status(), kNotFound, {"7"}));
    EXPECT_TRUE(Refused(manager->Cancel(kPid, 1), kNotFound, {"7"}));
    EXPECT_TRUE(Refused(manager->CancelAll(kPid).status(), kNotFound, {"7"}));
    EXPECT_TRUE(Refused(manager->DestroyRing(kPid), kNotFound, {"7"}));
  };
  expect_not_found();
  manager.Submit(Entry::Nop(kPid, 0));
  ASSERT_TRUE(manager->DestroyRing(kPid).ok());
  expect_not_found();
}

TEST_F(P2AdmissionByThreads, ARingBeingDestroyedRefuses) {
  TempDir dir;
  TestManager manager;
  Spill(dir.Path("file"), "old");
  manager.MakeRing(kPid, {.destroy_timeout = absl::InfiniteDuration()});
  {
    // An entry that cannot be stopped holds the destruction up.
    WriteGate gate(dir.Path("file"));
    if (!gate.holds()) GTEST_SKIP() << "no leases on this file system";
    manager.Submit(Entry::WriteFile(kPid, dir.Path("file"), "new", 0));
    gate.AwaitWriter();
    std::thread destroyer([&] { EXPECT_TRUE(manager->DestroyRing(kPid).ok()); });
    absl::Status answer;
    while ((answer = manager->Submit(kPid, Entry::Nop(kPid, 0)).status()).ok()) std::this_thread::yield();
    EXPECT_TRUE(Refused(answer, absl::StatusCode::kFailedPrecondition, {"7", "destroyed"}));
    EXPECT_TRUE(Refused(manager->SubmitBatch(kPid, Nops(2)).status(), absl::StatusCode::kFailedPrecondition));
    EXPECT_TRUE(Refused(manager->ReapCompletions(kPid).status(), absl::StatusCode::kFailedPrecondition));
    EXPECT_TRUE(Refused(manager->WaitCompletion(kPid, 1).status(), absl::StatusCode::kFailedPrecondition));
    EXPECT_TRUE(
        Refused(manager->WaitCompletions(kPid, 1, 1, absl::InfiniteDuration()).status(), absl::StatusCode::kFailedPrecondition));
    EXPECT_TRUE(Refused(manager->DestroyRing(kPid), absl::StatusCode::kFailedPrecondition)) << "one destruction is enough";
    gate.Release();
    destroyer.join();
  }
  EXPECT_FALSE(manager->HasRing(kPid));
  EXPECT_EQ(manager.Submit(Entry::Nop(kPid, 0)), 1u);
}

INSTANTIATE_TEST_SUITE_P(Threading, P1Numbering, BothThreadings(), ThreadingName);
INSTANTIATE_TEST_SUITE_P(Threading, P2Admission, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
