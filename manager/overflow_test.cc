// P4: what a full completion queue does, under both policies.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/test_manager.h"
#include "agentos/testing/recording_observer.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

// Entries that complete when the test wants it, in the order it wants: each waits for a byte of its own socket.
class Receivers {
 public:
  explicit Receivers(size_t count) {
    for (size_t i = 0; i < count; ++i) pairs_.push_back(MakeSocketPair(SOCK_STREAM));
  }

  Entry Wait(size_t i) const { return Entry::Recv(kPid, pairs_[i].first.get(), 1, 0, i); }
  // A socket that is full of bytes nobody has read yet needs no further one.
  void Wake(size_t i) const {
    const ssize_t sent = send(pairs_[i].second.get(), "x", 1, MSG_DONTWAIT);
    EXPECT_TRUE(sent == 1 || errno == EAGAIN);
  }

 private:
  std::vector<Pair> pairs_;
};

class P4DropOldest : public ThreadingTest {
 protected:
  IoUringManagerOptions Observed() { return {.threading = GetParam(), .observer = &observer_}; }
  RecordingObserver observer_;
};

TEST_P(P4DropOldest, DropsTheOldestInOrderOfCompletion) {
  TestManager manager(Observed());
  manager.MakeRing(kPid, {.sq_size = 16, .cq_size = 4, .max_in_flight = 16});
  Receivers receivers(8);
  std::vector<Entry> entries;
  for (size_t i = 0; i < 8; ++i) entries.push_back(receivers.Wait(i));
  ASSERT_TRUE(manager->SubmitBatch(kPid, std::move(entries)).ok());

  const std::vector<size_t> order = {5, 2, 7, 0, 1, 6, 3, 4};
  for (size_t i = 0; i < order.size(); ++i) {
    receivers.Wake(order[i]);
    manager.AwaitPlaced(kPid, i + 1);
    EXPECT_EQ(manager->Stats().dropped, i < 4 ? 0 : i - 3);
  }
  EXPECT_EQ(observer_.SeqsOf(kPid, "dropped"), (std::vector<Seq>{6, 3, 8, 1}));
  for (Seq seq : {6, 3, 8, 1}) {
    EXPECT_EQ(observer_.WordsFor(kPid, seq), "queued dispatched completed dropped");
    EXPECT_TRUE(Refused(manager->WaitCompletion(kPid, seq, absl::InfiniteDuration()).status(), absl::StatusCode::kDataLoss,
                        {std::to_string(seq), "7"}));
  }
  EXPECT_EQ(manager.ReapSeqs(kPid), (std::vector<Seq>{2, 7, 4, 5}));
  EXPECT_TRUE(Refused(manager->WaitCompletion(kPid, 2).status(), absl::StatusCode::kNotFound)) << "reaped is not lost";
  EXPECT_EQ(manager->Stats().total_completions, 8u) << "a dropped completion was placed all the same";
}

TEST_P(P4DropOldest, ABatchLargerThanTheCompletionQueueIsAccepted) {
  TestManager manager(Observed());
  manager.MakeRing(kPid, {.sq_size = 16, .cq_size = 4});
  std::vector<Entry> entries;
  for (uint64_t i = 0; i < 16; ++i) entries.push_back(Entry::Nop(kPid, i));
  ASSERT_TRUE(manager->SubmitBatch(kPid, std::move(entries)).ok());
  manager.AwaitPlaced(kPid, 16);
  EXPECT_EQ(manager.ReapSeqs(kPid), (std::vector<Seq>{13, 14, 15, 16}));
  std::vector<Seq> lost(12);
  std::iota(lost.begin(), lost.end(), 1);
  EXPECT_EQ(observer_.SeqsOf(kPid, "dropped"), lost);
  EXPECT_EQ(manager->Stats().dropped, 12u);
}

TEST_P(P4DropOldest, ErrorsAndCancelledAreDroppedToo) {
  TestManager manager(Observed());
  manager.MakeRing(kPid, {.sq_size = 4, .cq_size = 1, .max_in_flight = 4});
  Receivers receivers(1);
  const Seq cancelled = manager.Submit(receivers.Wait(0));
  ASSERT_TRUE(manager->Cancel(kPid, cancelled).ok());
  manager.AwaitPlaced(kPid, 1);
  const Seq failed = manager.Submit(Entry::Close(kPid, ClosedFd(), 0));
  manager.AwaitPlaced(kPid, 2);
  const Seq last = manager.Submit(Entry::Nop(kPid, 0));
  manager.AwaitPlaced(kPid, 3);
  EXPECT_EQ(observer_.WordsFor(kPid, cancelled), "queued dispatched cancelled dropped");
  EXPECT_EQ(observer_.WordsFor(kPid, failed), "queued dispatched completed dropped");
  EXPECT_EQ(manager.ReapSeqs(kPid), std::vector<Seq>{last});
}

TEST_P(P4DropOldest, RemembersTheLast1024Drops) {
  constexpr Seq kLast = 2500;
  TestManager manager(GetParam());
  manager.MakeRing(kPid, {.sq_size = 1, .cq_size = 1});
  for (Seq seq = 1; seq <= kLast; ++seq) {
    ASSERT_EQ(manager.Submit(Entry::Nop(kPid, 0)), seq);
    manager.AwaitPlaced(kPid, seq);
  }
  for (Seq seq = kLast - 1024; seq < kLast; ++seq) {
    ASSERT_TRUE(Refused(manager->WaitCompletion(kPid, seq, absl::ZeroDuration()).status(), absl::StatusCode::kDataLoss)) << seq;
  }
  const absl::Status forgotten = manager->WaitCompletion(kPid, 1, absl::ZeroDuration()).status();
  EXPECT_TRUE(absl::IsDataLoss(forgotten) || absl::IsNotFound(forgotten)) << forgotten;
  EXPECT_TRUE(Refused(manager->WaitCompletion(kPid, kLast + 1).status(), absl::StatusCode::kNotFound));
  EXPECT_TRUE(Succeeded(manager.Wait(kPid, kLast)));

  ASSERT_TRUE(manager->DestroyRing(kPid).ok());
  manager.Submit(Entry::Nop(kPid, 0));
  manager.Submit(Entry::Nop(kPid, 0));
  EXPECT_EQ(manager.ReapSeqs(kPid), (std::vector<Seq>{1, 2}));
  EXPECT_TRUE(Refused(manager->WaitCompletion(kPid, 2).status(), absl::StatusCode::kNotFound)) << "another ring's losses";
}

TEST_P(P4DropOldest, ADroppedOpenIsClosed) {
  TempDir dir;
  Spill(dir.Path("file"), "x");
  TestManager manager(GetParam());
  manager.MakeRing(kPid, {.sq_size = 8, .cq_size = 2});
  for (uint64_t i = 1; i <= 5; ++i) {
    manager.Submit(Entry::Open(kPid, dir.Path("file"), O_RDONLY, 0, i));
    manager.AwaitPlaced(kPid, i);
    EXPECT_EQ(FdsTo(dir.Path("file")), std::min<size_t>(i, 2));
  }
  for (const Done& done : manager.Reap(kPid)) {
    EXPECT_TRUE(Succeeded(done));
    char byte = 0;
    EXPECT_EQ(read(static_cast<int>(done.result.value()), &byte, 1), 1) << "those that were kept are open";
    close(static_cast<int>(done.result.value()));
  }
  // One that failed holds -1 or nothing, and closing that would close somebody else's.
  const size_t before = OpenFds();
  for (int i = 0; i < 4; ++i) manager.Submit(Entry::Open(kPid, dir.Path("absent"), O_RDONLY, 0, 0));
  manager.AwaitPlaced(kPid, 9);
  EXPECT_EQ(OpenFds(), before);
}

TEST_P(P4DropOldest, ADroppedAcceptIsClosed) {
  TestManager manager(GetParam());
  manager.MakeRing(kPid, {.sq_size = 4, .cq_size = 1});
  std::string address;
  const Fd listener = Listen(AF_INET, 8, 0, address);
  std::vector<Fd> clients;
  for (uint64_t i = 0; i < 3; ++i) {
    clients.push_back(NewSocket(AF_INET, SOCK_STREAM));
    ASSERT_TRUE(Succeeded(manager.Run(Entry::Connect(kPid, clients.back().get(), address, 0))));
    manager.Submit(Entry::Accept(kPid, listener.get(), i));
    manager.AwaitPlaced(kPid, 2 * i + 2);
  }
  char byte = 0;
  EXPECT_EQ(recv(clients[0].get(), &byte, 1, 0), 0) << "the other side of a dropped connection is closed";
  std::vector<Done> kept = manager.Reap(kPid);
  ASSERT_EQ(kept.size(), 1u);
  const Fd server(static_cast<int>(kept[0].result.value()));
  EXPECT_EQ(send(server.get(), "y", 1, MSG_NOSIGNAL), 1);
  EXPECT_EQ(recv(clients[2].get(), &byte, 1, 0), 1);
}

TEST_P(P4DropOldest, AskingForMoreThanTheQueueHoldsIsRefused) {
  TestManager manager(GetParam());
  manager.MakeRing(kPid, {.sq_size = 16, .cq_size = 4});
  std::vector<Done> out(5);
  EXPECT_TRUE(Refused(manager->WaitCompletions(kPid, 5, 5, absl::InfiniteDuration()).status(), absl::StatusCode::kInvalidArgument,
                      {"min", "5", "4"}));
  EXPECT_TRUE(Refused(manager->WaitCompletions(kPid, 5, absl::MakeSpan(out), absl::InfiniteDuration()).status(),
                      absl::StatusCode::kInvalidArgument, {"min", "5", "4"}));
}

class P4Backpressure : public P4DropOldest {};

TEST_P(P4Backpressure, ReservesAPlaceForEveryEntry) {
  TestManager manager(Observed());
  manager.MakeRing(kPid, {.sq_size = 16, .cq_size = 4, .overflow = OverflowPolicy::kBackpressure, .max_in_flight = 2});
  Receivers receivers(3);
  manager.Submit(Entry::Nop(kPid, 0));
  manager.AwaitPlaced(kPid, 1);
  // One unreaped, two started, one waiting.
  for (size_t i = 0; i < 3; ++i) manager.Submit(receivers.Wait(i));
  EXPECT_TRUE(Refused(manager->Submit(kPid, Entry::Nop(kPid, 0)).status(), absl::StatusCode::kResourceExhausted, {"reap"}));

  receivers.Wake(0);
  receivers.Wake(1);
  receivers.Wake(2);
  manager.AwaitPlaced(kPid, 4);
  EXPECT_TRUE(Refused(manager->Submit(kPid, Entry::Nop(kPid, 0)).status(), absl::StatusCode::kResourceExhausted))
      << "completing makes no room, reaping does";
  EXPECT_EQ(manager.Reap(kPid, 1).size(), 1u);
  manager.Submit(Entry::Nop(kPid, 0));
  EXPECT_TRUE(Refused(manager->Submit(kPid, Entry::Nop(kPid, 0)).status(), absl::StatusCode::kResourceExhausted));
  EXPECT_TRUE(Succeeded(manager.Wait(kPid, 3))) << "a wait makes room as well";
  std::vector<Entry> two;
  two.push_back(Entry::Nop(kPid, 0));
  two.push_back(Entry::Nop(kPid, 0));
  EXPECT_TRUE(Refused(manager->SubmitBatch(kPid, absl::MakeSpan(two), {}), absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(manager.Reap(kPid, 1).size(), 1u);
  EXPECT_TRUE(manager->SubmitBatch(kPid, absl::MakeSpan(two), {}).ok());
  EXPECT_EQ(manager->Stats().dropped, 0u);
  EXPECT_TRUE(observer_.SeqsOf(kPid, "dropped").empty());
}

TEST_P(P4Backpressure, NeverExceedsTheQueueAndLosesNothing) {
  constexpr size_t kPlaces = 5;
  TestManager manager(Observed());
  manager.MakeRing(kPid, {.sq_size = 3, .cq_size = kPlaces, .overflow = OverflowPolicy::kBackpressure, .max_in_flight = 2});
  Receivers receivers(1);
  std::mt19937 random(20260822);
  uint64_t accepted = 0;
  uint64_t reaped = 0;
  uint64_t refused = 0;
  for (int step = 0; step < 3000; ++step) {
    switch (random() % 4) {
      case 0:
      case 1: {
        std::vector<Entry> batch;
        const size_t size = 1 + random() % 3;
        for (size_t i = 0; i < size; ++i) {
          batch.push_back(random() % 4 == 0 ? receivers.Wait(0) : Entry::Nop(kPid, 0));
        }
        const absl::StatusOr<std::vector<Seq>> seqs = manager->SubmitBatch(kPid, std::move(batch));
        if (seqs.ok()) {
          ASSERT_LE(accepted + size - reaped, kPlaces) << "there was no place for it";
          ASSERT_EQ(seqs->front(), accepted + 1);
          accepted += size;
        } else {
          ASSERT_TRUE(absl::IsResourceExhausted(seqs.status())) << seqs.status();
          // The queue of waiting entries is the other bound, and only it may refuse while places are left.
          if (accepted + size - reaped <= kPlaces) {
            ASSERT_GT(manager->Stats().pending + size, 3u) << seqs.status();
          }
          ++refused;
        }
        break;
      }
      case 2:
        reaped += manager.Reap(kPid, 1 + random() % 3).size();
        break;
      case 3:
        receivers.Wake(0);
        break;
    }
  }
  for (int i = 0; i < 10; ++i) receivers.Wake(0);
  while (reaped < accepted) {
    const absl::StatusOr<std::vector<Done>> more = manager->WaitCompletions(kPid, 1, kPlaces, absl::InfiniteDuration());
    ASSERT_TRUE(more.ok()) << more.status();
    reaped += more->size();
  }
  EXPECT_GT(refused, 100u) << "the bound was hardly met";
  EXPECT_EQ(manager->Stats().dropped, 0u);
  EXPECT_EQ(observer_.SeqsOf(kPid, "completed").size(), accepted);
}

TEST_P(P4Backpressure, CancelledEntriesKeepTheirPlaces) {
  TestManager manager(GetParam());
  manager.MakeRing(kPid, {.sq_size = 4, .cq_size = 2, .overflow = OverflowPolicy::kBackpressure});
  Receivers receivers(2);
  manager.Submit(receivers.Wait(0));
  manager.Submit(receivers.Wait(1));
  EXPECT_EQ(manager->CancelAll(kPid).value_or(0), 2u);
  manager.AwaitPlaced(kPid, 2);
  EXPECT_TRUE(Refused(manager->Submit(kPid, Entry::Nop(kPid, 0)).status(), absl::StatusCode::kResourceExhausted));
  for (const Done& done : manager.Reap(kPid)) EXPECT_TRUE(WasCancelled(done));
  manager.Submit(Entry::Nop(kPid, 0));
}

INSTANTIATE_TEST_SUITE_P(Threading, P4DropOldest, BothThreadings(), ThreadingName);
INSTANTIATE_TEST_SUITE_P(Threading, P4Backpressure, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
