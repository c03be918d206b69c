// What an observer hears: queued, dispatched, completed or cancelled, once each and in this order, and dropped.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/test_manager.h"
#include "agentos/testing/recording_observer.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class Observer : public ThreadingTest {
 protected:
  ObservedEvent EndOf(Pid pid, Seq seq) const {
    for (const ObservedEvent& event : observer_.Events()) {
      if (event.pid == pid && event.seq == seq && (event.word == "completed" || event.word == "cancelled")) return event;
    }
    ADD_FAILURE() << "entry " << seq << " of pid " << pid << " has not ended";
    return {};
  }

  RecordingObserver observer_;
  TestManager manager_{IoUringManagerOptions{.threading = GetParam(), .observer = &observer_}};
};

TEST_P(Observer, HearsASuccess) {
  const Pair pipe = MakePipe();
  EXPECT_EQ(write(pipe.second.get(), "hello", 5), 5);
  const Seq seq = manager_.Submit(Entry::Read(kPid, pipe.first.get(), 100, 0, 42));
  manager_.Wait(kPid, seq);
  EXPECT_EQ(observer_.WordsFor(kPid, seq), "queued dispatched completed");
  const ObservedEvent queued = observer_.Events().front();
  EXPECT_EQ(queued.user_data, 42u);
  for (const ObservedEvent& event : observer_.Events()) EXPECT_EQ(event.kind, OperationKind::kRead);
  const ObservedEvent end = EndOf(kPid, seq);
  EXPECT_EQ(end.result.value, 5);
  EXPECT_EQ(end.result.error_number, 0);
  EXPECT_FALSE(end.result.cancelled);
  EXPECT_GT(end.result.latency_ns, 0);
}

TEST_P(Observer, HearsWhatWasReadAndFromWhom) {
  const Pair pipe = MakePipe();
  EXPECT_EQ(write(pipe.second.get(), "hello", 5), 5);
  const Seq read = manager_.Submit(Entry::Read(kPid, pipe.first.get(), 100, 0, 0));
  manager_.Wait(kPid, read);
  EXPECT_EQ(EndOf(kPid, read).data, "hello");
  EXPECT_EQ(EndOf(kPid, read).peer_address, "");
  const Seq send = manager_.Submit(Entry::IpcSend(kPid, kPid, Bytes("letter"), 0));
  manager_.Wait(kPid, send);
  const Seq receive = manager_.Submit(Entry::IpcRecv(kPid, 100, 0));
  manager_.Wait(kPid, receive);
  EXPECT_EQ(EndOf(kPid, receive).data, "letter");
  EXPECT_EQ(EndOf(kPid, receive).peer_address, absl::StrCat("pid:", kPid));
  EXPECT_EQ(EndOf(kPid, send).data, "");
}

TEST_P(Observer, HearsAnError) {
  const Seq seq = manager_.Submit(Entry::Close(kPid, ClosedFd(), 0));
  manager_.Wait(kPid, seq);
  EXPECT_EQ(observer_.WordsFor(kPid, seq), "queued dispatched completed");
  EXPECT_EQ(EndOf(kPid, seq).result.error_number, EBADF);
}

TEST_P(Observer, HearsACancelledEntry) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  manager_.MakeRing(kPid, {.max_in_flight = 1});
  const Seq started = manager_.Submit(Entry::Recv(kPid, sockets.first.get(), 1, 0, 0));
  const Seq waiting = manager_.Submit(Entry::Nop(kPid, 0));
  ASSERT_TRUE(manager_->Cancel(kPid, waiting).ok());
  ASSERT_TRUE(manager_->Cancel(kPid, started).ok());
  manager_.Wait(kPid, started);
  EXPECT_EQ(observer_.WordsFor(kPid, started), "queued dispatched cancelled");
  EXPECT_EQ(observer_.WordsFor(kPid, waiting), "queued cancelled") << "it was never handed to anybody";
  EXPECT_TRUE(EndOf(kPid, started).result.cancelled);
  EXPECT_EQ(EndOf(kPid, started).result.error_number, 0);
}

TEST_P(Observer, HearsOfOneThatGoesStraightToItsWaiter) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const Seq seq = manager_.Submit(Entry::Recv(kPid, sockets.first.get(), 1, 0, 0));
  const pid_t waiter = ThisThread();
  std::thread writer([&] {
    AwaitAsleep(waiter);
    EXPECT_EQ(write(sockets.second.get(), "x", 1), 1);
  });
  manager_.Wait(kPid, seq);
  writer.join();
  EXPECT_EQ(observer_.WordsFor(kPid, seq), "queued dispatched completed");
}

TEST_P(Observer, HearsEveryKindOfExecution) {
  TempDir dir;
  Spill(dir.Path("file"), Content(200000));
  const Fd file(open(dir.Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  std::vector<Seq> seqs;
  seqs.push_back(manager_.Submit(Entry::ReadFile(kPid, dir.Path("file"), 0)));
  seqs.push_back(manager_.Submit(Entry::WriteFile(kPid, dir.Path("new"), "text", 0)));
  seqs.push_back(manager_.Submit(Entry::Lseek(kPid, file.get(), 0, SEEK_END, 0)));
  seqs.push_back(manager_.Submit(Entry::IpcRecv(kPid, 100, 0)));
  seqs.push_back(manager_.Submit(Entry::IpcSend(kPid, kPid, "message", 0)));
  const std::vector<int64_t> values = {200000, 4, 200000, 7, 7};
  for (size_t i = 0; i < seqs.size(); ++i) {
    EXPECT_TRUE(Succeeded(manager_.Wait(kPid, seqs[i]), values[i]));
    EXPECT_EQ(observer_.WordsFor(kPid, seqs[i]), "queued dispatched completed") << i;
    EXPECT_EQ(EndOf(kPid, seqs[i]).result.value, values[i]);
  }
}

TEST_P(Observer, HearsInTheOrderOfEvents) {
  manager_.MakeRing(kPid, {.sq_size = 4, .cq_size = 1, .max_in_flight = 1});
  std::vector<Entry> nops;
  for (int i = 0; i < 3; ++i) nops.push_back(Entry::Nop(kPid, 0));
  ASSERT_TRUE(manager_->SubmitBatch(kPid, std::move(nops)).ok());
  manager_.AwaitPlaced(kPid, 3);
  std::vector<std::string> heard;
  for (const ObservedEvent& event : observer_.Events()) heard.push_back(event.word + " " + std::to_string(event.seq));
  // A drop makes room for the completion that it follows.
  EXPECT_EQ(heard, (std::vector<std::string>{"queued 1", "dispatched 1", "queued 2", "queued 3", "completed 1", "dispatched 2",
                                             "completed 2", "dropped 1", "dispatched 3", "completed 3", "dropped 2"}));
}

TEST_P(Observer, ARefusedEntryIsNotHeardOf) {
  EXPECT_FALSE(manager_->Submit(kPid, Entry::Close(kPid, -1, 0)).ok());
  manager_.MakeRing(kPid, {.sq_size = 1});
  std::vector<Entry> two;
  two.push_back(Entry::Nop(kPid, 0));
  two.push_back(Entry::Nop(kPid, 0));
  EXPECT_FALSE(manager_->SubmitBatch(kPid, std::move(two)).ok());
  EXPECT_TRUE(observer_.Events().empty());
}

TEST_P(Observer, ReapingAndDestroyingSayNothingOfWhatHasEnded) {
  manager_.Submit(Entry::Nop(kPid, 0));
  manager_.Submit(Entry::Nop(kPid, 0));
  manager_.AwaitPlaced(kPid, 2);
  const size_t heard = observer_.Events().size();
  manager_.Reap(kPid, 1);
  ASSERT_TRUE(manager_->DestroyRing(kPid).ok());
  manager_.End();
  EXPECT_EQ(observer_.Events().size(), heard) << "an unreaped completion is not a dropped one";
}

TEST_P(Observer, NothingIsHeardAfterTheManagersEnd) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  TempDir dir;
  manager_.Submit(Entry::Recv(kPid, sockets.first.get(), 1, 0, 0));
  manager_.Submit(Entry::IpcRecv(8, 1, 0));
  for (int i = 0; i < 20; ++i) manager_.Submit(Entry::WriteFile(9, dir.Path(std::to_string(i)), "text", 0));
  manager_.End();
  const size_t heard = observer_.Events().size();
  EXPECT_EQ(observer_.WordsFor(kPid, 1), "queued dispatched cancelled");
  EXPECT_EQ(observer_.WordsFor(8, 1), "queued dispatched cancelled");
  for (Seq seq = 1; seq <= 20; ++seq) {
    const std::string words = observer_.WordsFor(9, seq);
    EXPECT_TRUE(words == "queued dispatched completed" || words == "queued dispatched cancelled") << words;
  }
  EXPECT_EQ(write(sockets.second.get(), "x", 1), 1);
  EXPECT_EQ(observer_.Events().size(), heard);
}

TEST_P(Observer, TwoLivesOfAPidAreHeardOneAfterTheOther) {
  manager_.Run(Entry::Nop(kPid, 1));
  ASSERT_TRUE(manager_->DestroyRing(kPid).ok());
  manager_.Run(Entry::Nop(kPid, 2));
  EXPECT_EQ(observer_.WordsFor(kPid, 1), "queued dispatched completed queued dispatched completed");
}

TEST_P(Observer, HearsOfRingsAndOfWhatTheyRefuse) {
  manager_.MakeRing(kPid, {.sq_size = 2, .cq_size = 3});
  EXPECT_FALSE(manager_->Submit(kPid, Entry::Close(kPid, -1, 0)).ok());
  std::vector<Entry> many;
  for (int i = 0; i < 5; ++i) many.push_back(Entry::Nop(kPid, 0));
  EXPECT_FALSE(manager_->SubmitBatch(kPid, std::move(many)).ok());
  std::vector<Entry> linked;
  linked.push_back(Entry::Nop(kPid, 0).WithLink());
  EXPECT_FALSE(manager_->SubmitBatch(kPid, std::move(linked)).ok());
  // One that has no ring, and gets none by this.
  EXPECT_FALSE(manager_->Submit(kPid + 1, Entry::Close(kPid + 1, -1, 0)).ok());
  Entry nop = Entry::Nop(kPid, 0);
  std::vector<Seq> wrong(2);
  EXPECT_FALSE(manager_->SubmitBatch(kPid, absl::MakeSpan(&nop, 1), absl::MakeSpan(wrong)).ok());
  ASSERT_TRUE(manager_->DestroyRing(kPid).ok());
  manager_.Run(Entry::Nop(kPid, 0));
  manager_.End();
  EXPECT_EQ(observer_.RingEvents(),
            (std::vector<std::string>{"created 7 2 3", "refused 7 1 INVALID_ARGUMENT", "refused 7 5 INVALID_ARGUMENT",
                                      "refused 7 1 INVALID_ARGUMENT", "refused 8 1 INVALID_ARGUMENT",
                                      "refused 7 1 INVALID_ARGUMENT", "destroyed 7", "created 7 256 512", "destroyed 7"}));
}

INSTANTIATE_TEST_SUITE_P(Threading, Observer, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
