// P7: when a linked entry fails, those after it complete as cancelled and never start. And drains, which are links to everything.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class LinkTest : public ManagerTest {
 protected:
  std::vector<Seq> SubmitAll(std::vector<Entry> entries) {
    const absl::StatusOr<std::vector<Seq>> seqs = manager().SubmitBatch(kPid, std::move(entries));
    EXPECT_TRUE(seqs.ok()) << seqs.status();
    return seqs.value_or(std::vector<Seq>());
  }
  bool Exists(absl::string_view name) const { return access(Path(name).c_str(), F_OK) == 0; }
};

TEST_P(LinkTest, P7AChainOfDifferentOperationsRunsInOrder) {
  const Pair pipe = MakePipe();
  const std::string large = Content(300'000);
  std::vector<Entry> entries;
  entries.push_back(Entry::WriteFile(kPid, Path("file"), Bytes(large), 0).WithLink());
  entries.push_back(Entry::ReadFile(kPid, Path("file"), 1).WithLink());
  entries.push_back(Entry::IpcSend(kPid, kPid, Bytes("hello"), 2).WithLink());
  entries.push_back(Entry::IpcRecv(kPid, 100, 3).WithLink());
  entries.push_back(Entry::Write(kPid, pipe.second.get(), Bytes("data"), kCurrentPosition, 4).WithLink());
  entries.push_back(Entry::Read(kPid, pipe.first.get(), 100, kCurrentPosition, 5).WithHardLink());
  entries.push_back(Entry::Nop(kPid, 6));
  ASSERT_TRUE(manager().CreateRing(kPid).ok());
  const std::vector<Done> done = RunBatch(std::move(entries));
  ASSERT_EQ(done.size(), 7u);
  for (size_t i = 0; i < done.size(); ++i) {
    EXPECT_TRUE(Succeeded(done[i])) << i;
    EXPECT_EQ(done[i].user_data, i) << "completions are in the order of the chain";
  }
  EXPECT_TRUE(done[1].result.data() == large);
  EXPECT_EQ(done[3].result.data(), "hello");
  EXPECT_EQ(done[5].result.data(), "data") << "a short read is a success";
}

TEST_P(LinkTest, P7AfterAFailureTheRestIsCancelledAndNeverStarts) {
  // What fails is at the front, in the middle, or last.
  for (size_t failing = 0; failing < 4; ++failing) {
    SCOPED_TRACE(failing);
    std::vector<Entry> entries;
    for (size_t i = 0; i < 4; ++i) {
      Entry entry = i == failing ? Entry::ReadFile(kPid, Path("absent"), i)
                                 : Entry::WriteFile(kPid, Path(absl::StrCat("file", failing, i)), Bytes("x"), i);
      entries.push_back(i == 3 ? std::move(entry) : std::move(entry).WithLink());
    }
    entries.push_back(Entry::Nop(kPid, 9));
    const std::vector<Seq> seqs = SubmitAll(std::move(entries));
    ASSERT_EQ(seqs.size(), 5u);
    for (size_t i = 0; i < 4; ++i) {
      const Done done = Wait(seqs[i]);
      EXPECT_TRUE(i < failing ? Succeeded(done, 1) : i == failing ? FailedWith(done, ENOENT) : WasCancelled(done));
      EXPECT_EQ(Exists(absl::StrCat("file", failing, i)), i < failing);
    }
    EXPECT_TRUE(Succeeded(Wait(seqs[4]))) << "the entry behind the chain is not of it";
  }
}

TEST_P(LinkTest, P7AHardLinkGoesOnHoweverTheEntryEnded) {
  const Pair pipe = MakePipe();
  std::vector<Entry> entries;
  // First, so that it has started by the time that its timeout is over.
  entries.push_back(
      Entry::Read(kPid, pipe.first.get(), 10, kCurrentPosition, 0).WithTimeout(absl::Milliseconds(5)).WithHardLink());
  entries.push_back(Entry::ReadFile(kPid, Path("absent"), 1).WithHardLink());
  entries.push_back(Entry::Nop(kPid, 2).WithLink());
  entries.push_back(Entry::Close(kPid, ClosedFd(), 3).WithLink());
  entries.push_back(Entry::Nop(kPid, 4).WithHardLink());
  entries.push_back(Entry::Nop(kPid, 5));
  const std::vector<Seq> seqs = SubmitAll(std::move(entries));
  EXPECT_TRUE(FailedWith(Wait(seqs[0]), ETIMEDOUT));
  EXPECT_TRUE(FailedWith(Wait(seqs[1]), ENOENT));
  EXPECT_TRUE(Succeeded(Wait(seqs[2])));
  EXPECT_TRUE(FailedWith(Wait(seqs[3]), EBADF));
  EXPECT_TRUE(WasCancelled(Wait(seqs[4])));
  EXPECT_TRUE(WasCancelled(Wait(seqs[5]))) << "one that never started takes the rest along";
}

TEST_P(LinkTest, P7AMemberThatHasNotStartedCanBeCancelledAndTakesTheRestAlong) {
  const Pair pipe = MakePipe();
  for (size_t cancelled = 0; cancelled < 4; ++cancelled) {
    SCOPED_TRACE(cancelled);
    std::vector<Entry> entries;
    entries.push_back(Entry::Read(kPid, pipe.first.get(), 10, kCurrentPosition, 0).WithLink());
    for (size_t i = 1; i < 3; ++i) entries.push_back(Entry::Nop(kPid, i).WithHardLink());
    entries.push_back(Entry::Nop(kPid, 3));
    const std::vector<Seq> seqs = SubmitAll(std::move(entries));
    EXPECT_EQ(Reapable(), 0u);
    EXPECT_TRUE(manager().Cancel(kPid, seqs[cancelled]).ok());
    for (size_t i = cancelled; i < 4; ++i) EXPECT_TRUE(WasCancelled(Wait(seqs[i]))) << i;
    if (cancelled == 0) continue;
    ASSERT_EQ(write(pipe.second.get(), "go", 2), 2);
    for (size_t i = 0; i < cancelled; ++i) EXPECT_TRUE(Succeeded(Wait(seqs[i]))) << i;
  }
}

TEST_P(LinkTest, P7AChainAsLongAsTheQueueRunsOrIsCancelledWhole) {
  RingOptions options;
  options.sq_size = kMaxQueueSize;
  options.cq_size = kMaxQueueSize;
  options.max_in_flight = 2;
  for (bool succeeds : {true, false}) {
    ASSERT_TRUE(manager().CreateRing(kPid, options).ok());
    std::vector<Entry> entries;
    entries.push_back(succeeds ? Entry::Nop(kPid, 0).WithLink() : Entry::Close(kPid, ClosedFd(), 0).WithLink());
    while (entries.size() + 1 < options.sq_size) entries.push_back(Entry::Nop(kPid, 0).WithLink());
    entries.push_back(Entry::Nop(kPid, 0));
    SubmitAll(std::move(entries));
    const absl::StatusOr<std::vector<Done>> done =
        manager().WaitCompletions(kPid, options.sq_size, options.sq_size, absl::InfiniteDuration());
    ASSERT_TRUE(done.ok()) << done.status();
    for (size_t i = 1; i < done->size(); ++i) ASSERT_EQ((*done)[i].status.is_success(), succeeds) << i;
    ASSERT_TRUE(manager().DestroyRing(kPid).ok());
  }
}

TEST_P(LinkTest, P7ALinkThatLeadsNowhereIsRefusedByIndexAndNothingIsQueued) {
  std::vector<Entry> entries;
  entries.push_back(Entry::Nop(kPid, 0).WithLink());
  entries.push_back(Entry::Nop(kPid, 0).WithHardLink());
  EXPECT_TRUE(Refused(manager().SubmitBatch(kPid, std::move(entries)).status(), absl::StatusCode::kInvalidArgument,
                      {"entry 1", "linked"}));
  EXPECT_TRUE(Refused(manager().Submit(kPid, Entry::Nop(kPid, 0).WithLink()).status(), absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(manager().Stats().total_submissions, 0u);
  EXPECT_EQ(manager().Stats().rejected, 3u);
}

TEST_P(LinkTest, P6ADrainInTheMiddleOfAChainIsRefusedByIndex) {
  std::vector<Entry> entries;
  entries.push_back(Entry::Nop(kPid, 0).WithLink());
  entries.push_back(Entry::Nop(kPid, 0).WithHardLink());
  entries.push_back(Entry::Nop(kPid, 0).WithDrain());
  EXPECT_TRUE(Refused(manager().SubmitBatch(kPid, std::move(entries)).status(), absl::StatusCode::kInvalidArgument,
                      {"entry 2", "drain", "first of the chain"}));
  EXPECT_EQ(manager().Stats().rejected, 3u);
  std::vector<Entry> first;
  first.push_back(Entry::Nop(kPid, 0).WithDrain().WithLink());
  first.push_back(Entry::Nop(kPid, 0));
  SubmitAll(std::move(first));
  EXPECT_TRUE(Succeeded(Wait(2)));
}

// The peer answers only what it was asked.
TEST_P(LinkTest, P13AWriteToAStreamIsNotHeldUpByReadsThatWait) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const int fd = sockets.first.get();
  const Seq one = Submit(Entry::Read(kPid, fd, 1, kCurrentPosition, 0));
  const Seq two = Submit(Entry::Read(kPid, fd, 1, kCurrentPosition, 1));
  EXPECT_TRUE(Succeeded(Run(Entry::Write(kPid, fd, Bytes("?"), kCurrentPosition, 2)), 1));
  ASSERT_EQ(write(sockets.second.get(), "ab", 2), 2);
  EXPECT_EQ(Wait(one).result.data(), "a");
  EXPECT_EQ(Wait(two).result.data(), "b");
}

TEST_P(LinkTest, P11DestroyRingEndsChainsWithoutStartingTheirMembers) {
  const Pair pipe = MakePipe();
  std::vector<Entry> entries;
  entries.push_back(Entry::Read(kPid, pipe.first.get(), 10, kCurrentPosition, 0).WithHardLink());
  entries.push_back(Entry::WriteFile(kPid, Path("never"), Bytes("x"), 0).WithHardLink());
  entries.push_back(Entry::WriteFile(kPid, Path("never"), Bytes("x"), 0));
  SubmitAll(std::move(entries));
  ASSERT_TRUE(manager().DestroyRing(kPid).ok());
  EXPECT_FALSE(Exists("never"));
  EXPECT_EQ(manager().Stats().cancelled, 3u);
  EXPECT_EQ(manager().Stats().pending, 0u);
}

TEST_P(LinkTest, P6ADrainWaitsForAllBeforeItAndHoldsUpAllAfterIt) {
  const Pair before = MakePipe();
  const Pair during = MakePipe();
  const Seq first = Submit(Entry::Read(kPid, before.first.get(), 10, kCurrentPosition, 0));
  const Seq drain = Submit(Entry::Read(kPid, during.first.get(), 10, kCurrentPosition, 1).WithDrain());
  const Seq after = Submit(Entry::Nop(kPid, 2).WithPriority(Priority::kUrgent));
  const Seq second_drain = Submit(Entry::Nop(kPid, 3).WithDrain());
  const Seq last = Submit(Entry::Nop(kPid, 4));
  EXPECT_EQ(Reapable(), 0u);
  ASSERT_EQ(write(during.second.get(), "b", 1), 1);
  EXPECT_EQ(Reapable(), 0u) << "the drain has not started, or it would have read";
  ASSERT_EQ(write(before.second.get(), "a", 1), 1);
  EXPECT_TRUE(Succeeded(Wait(last)));
  for (Seq seq : {first, drain, after, second_drain}) EXPECT_TRUE(Succeeded(Wait(seq))) << seq;
  EXPECT_TRUE(Succeeded(Run(Entry::Nop(kPid, 0).WithDrain()))) << "alone";
}

TEST_P(LinkTest, P6ACancelledDrainHoldsUpNobody) {
  const Pair pipe = MakePipe();
  const Seq first = Submit(Entry::Read(kPid, pipe.first.get(), 10, kCurrentPosition, 0));
  const Seq one = Submit(Entry::Nop(kPid, 1).WithDrain());
  const Seq two = Submit(Entry::Nop(kPid, 2).WithDrain());
  const Seq last = Submit(Entry::Nop(kPid, 3));
  for (Seq seq : {two, one}) {
    EXPECT_TRUE(manager().Cancel(kPid, seq).ok());
    EXPECT_TRUE(WasCancelled(Wait(seq)));
  }
  EXPECT_TRUE(Succeeded(Wait(last)));
  ASSERT_EQ(write(pipe.second.get(), "go", 2), 2);
  EXPECT_TRUE(Succeeded(Wait(first), 2));
}

INSTANTIATE_TEST_SUITE_P(Threading, LinkTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
