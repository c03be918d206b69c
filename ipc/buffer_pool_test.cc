#include "agentos/ipc/buffer_pool.h"

#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentos/ipc/buffer_word.h"
#include "agentos/ipc/message_queue.h"
#include "agentos/ipc/peer_buffers.h"
#include "agentos/ipc/received_view.h"
#include "agentos/ipc/shared_memory.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr uint32_t kReceiver = 99;

// A pool of two small buffers and one large one, and its receiver; both in this process.
class BufferPoolTest : public testing::Test {
 protected:
  BufferPoolTest() {
    absl::StatusOr<std::shared_ptr<BufferPool>> pool = BufferPool::Create({.classes = {{4096, 2}, {65536, 1}}});
    EXPECT_TRUE(pool.ok()) << pool.status();
    pool_ = *std::move(pool);
    auto peer = PeerBuffers::Create(pool_->layout(), dup(pool_->data_fd()), dup(pool_->ledger_fd()), pool_->owner(), kReceiver);
    EXPECT_TRUE(peer.ok()) << peer.status();
    peer_ = *std::move(peer);
    auto ledger = SharedMemory::Adopt(dup(pool_->ledger_fd()), BufferPool::LedgerBytes(pool_->layout()),
                                      SharedMemory::Others::kReadAndWrite);
    EXPECT_TRUE(ledger.ok()) << ledger.status();
    ledger_ = *std::move(ledger);
  }

  LoanedBuffer Loan(size_t size) {
    absl::StatusOr<LoanedBuffer> buffer = pool_->Loan(size);
    EXPECT_TRUE(buffer.ok()) << buffer.status();
    return buffer.ok() ? *std::move(buffer) : LoanedBuffer();
  }
  BufferDescriptor Sent(LoanedBuffer buffer) {
    const std::optional<BufferDescriptor> descriptor = pool_->MarkSent(std::move(buffer));
    EXPECT_TRUE(descriptor.has_value());
    return descriptor.value_or(BufferDescriptor());
  }
  ReceivedView Receive(const BufferDescriptor& descriptor) {
    ReceivedView view;
    const absl::Status status = peer_->Take(descriptor, 0, view);
    EXPECT_TRUE(status.ok()) << status;
    return view;
  }
  SharedWord& Word(uint32_t index) { return reinterpret_cast<SharedWord*>(ledger_->data())[index]; }
  // As a peer that gives back whatever it likes.
  void Return(uint32_t index) {
    QueueProducer returns(ledger_->data() + BufferPool::ReturnsOffset(pool_->layout()),
                          BufferPool::ReturnsShape(pool_->layout()));
    ASSERT_NE(returns.Reserve(), nullptr);
    returns.Place(index);
  }

  std::shared_ptr<BufferPool> pool_;
  std::shared_ptr<PeerBuffers> peer_;
  std::unique_ptr<SharedMemory> ledger_;
};

TEST_F(BufferPoolTest, ALoanIsOfTheSizeAskedForAndAligned) {
  const LoanedBuffer buffer = Loan(100);
  EXPECT_EQ(buffer.size(), 100u);
  EXPECT_EQ(buffer.capacity(), 4096u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 4096, 0u);
  EXPECT_EQ(Loan(4097).capacity(), 65536u);
  EXPECT_EQ(Loan(0).size(), 0u);
}

TEST_F(BufferPoolTest, ResizeStaysWithinTheCapacity) {
  LoanedBuffer buffer = Loan(10);
  EXPECT_TRUE(buffer.Resize(4096).ok());
  EXPECT_EQ(buffer.size(), 4096u);
  EXPECT_TRUE(Refused(buffer.Resize(4097), absl::StatusCode::kInvalidArgument, {"4097", "4096"}));
  EXPECT_EQ(buffer.size(), 4096u);
}

TEST_F(BufferPoolTest, ExhaustionIsAnErrorAndLargerBuffersAreNotRaided) {
  LoanedBuffer first = Loan(1);
  const LoanedBuffer second = Loan(1);
  EXPECT_NE(first.data(), second.data());
  EXPECT_TRUE(Refused(pool_->Loan(1).status(), absl::StatusCode::kResourceExhausted, {"4096"}));
  EXPECT_TRUE(Loan(65536));
  first.Reset();
  EXPECT_FALSE(first);
  EXPECT_TRUE(Loan(1));
}

TEST_F(BufferPoolTest, WhatNoClassHoldsIsRefused) {
  EXPECT_TRUE(Refused(pool_->Loan(65537).status(), absl::StatusCode::kInvalidArgument, {"65537", "65536"}));
  EXPECT_TRUE(Refused(pool_->Loan(~size_t{0}, absl::InfiniteDuration()).status(), absl::StatusCode::kInvalidArgument));
}

TEST_F(BufferPoolTest, ABufferGoesToTheReceiverAndBack) {
  LoanedBuffer buffer = Loan(5);
  std::memcpy(buffer.data(), "hello", 5);
  EXPECT_EQ(pool_->Census(), (BufferCensus{2, 1, 0, 0, 0, 0}));
  const BufferDescriptor descriptor = *pool_->MarkSent(std::move(buffer));
  EXPECT_FALSE(buffer);
  EXPECT_EQ(buffer.data(), nullptr);
  EXPECT_EQ(pool_->Census(), (BufferCensus{2, 0, 1, 0, 0, 0}));
  EXPECT_EQ(pool_->out(), 1u);
  ReceivedView view = Receive(descriptor);
  EXPECT_EQ(view.view(), "hello");
  EXPECT_TRUE(view.in_shared_memory());
  EXPECT_EQ(pool_->Census(), (BufferCensus{2, 0, 0, 1, 0, 0}));
  EXPECT_EQ(BufferWord::Unpack(Word(descriptor.index).bits).owner, kReceiver);
  view.Reset();
  EXPECT_EQ(view.size(), 0u);
  EXPECT_EQ(pool_->Census(), (BufferCensus{2, 0, 0, 0, 1, 0}));
  EXPECT_EQ(pool_->out(), 0u);
  EXPECT_EQ(pool_->Census(), (BufferCensus{3, 0, 0, 0, 0, 0}));
  EXPECT_FALSE(peer_->lied());
}

TEST_F(BufferPoolTest, StatisticsAddUp) {
  const LoanedBuffer loaned = Loan(1);
  Sent(Loan(1));
  EXPECT_FALSE(pool_->Loan(1).ok());
  const std::vector<SizeClassStats> stats = pool_->Stats();
  ASSERT_EQ(stats.size(), 2u);
  EXPECT_EQ(stats[0].free + stats[0].loaned + stats[0].out, stats[0].count);
  EXPECT_EQ(stats[0].loaned, 1u);
  EXPECT_EQ(stats[0].out, 1u);
  EXPECT_EQ(stats[0].loans, 2u);
  EXPECT_EQ(stats[0].refusals, 1u);
  EXPECT_EQ(stats[1].free, 1u);
}

TEST_F(BufferPoolTest, AMovedLoanIsGivenBackOnce) {
  {
    LoanedBuffer buffer = Loan(1);
    LoanedBuffer moved = std::move(buffer);
    EXPECT_FALSE(buffer);
    LoanedBuffer other = Loan(1);
    other = std::move(moved);
    EXPECT_EQ(pool_->Stats()[0].free, 0u) << "a swap: both live on";
  }
  EXPECT_EQ(pool_->Stats()[0].free, 2u);
}

TEST_F(BufferPoolTest, AWaitingLoanGetsWhatIsDroppedHere) {
  LoanedBuffer first = Loan(1);
  const LoanedBuffer second = Loan(1);
  std::atomic<pid_t> waiter = 0;
  std::thread waiting([this, &waiter] {
    waiter = ThisThread();
    EXPECT_TRUE(pool_->Loan(1, absl::InfiniteDuration()).ok());
  });
  while (waiter == 0) std::this_thread::yield();
  AwaitAsleep(waiter);
  first.Reset();
  waiting.join();
}

TEST_F(BufferPoolTest, AWaitingLoanGetsWhatThePeerGivesBack) {
  ReceivedView view = Receive(Sent(Loan(1)));
  const LoanedBuffer second = Loan(1);
  std::atomic<pid_t> waiter = 0;
  std::thread waiting([this, &waiter] {
    waiter = ThisThread();
    EXPECT_TRUE(pool_->Loan(1, absl::InfiniteDuration()).ok());
  });
  while (waiter == 0) std::this_thread::yield();
  AwaitAsleep(waiter);
  view.Reset();
  waiting.join();
}

TEST_F(BufferPoolTest, AWaitEndsAtItsDeadline) {
  const LoanedBuffer large = Loan(65536);
  EXPECT_TRUE(Refused(pool_->Loan(65536, absl::Milliseconds(1)).status(), absl::StatusCode::kDeadlineExceeded, {"65536", "1ms"}));
}

TEST_F(BufferPoolTest, ClosingEndsAWaitAndAllLoans) {
  const LoanedBuffer large = Loan(65536);
  std::atomic<pid_t> waiter = 0;
  std::thread waiting([this, &waiter] {
    waiter = ThisThread();
    EXPECT_TRUE(Refused(pool_->Loan(65536, absl::InfiniteDuration()).status(), absl::StatusCode::kUnavailable, {"why"}));
  });
  while (waiter == 0) std::this_thread::yield();
  AwaitAsleep(waiter);
  pool_->Close(absl::UnavailableError("why"));
  waiting.join();
  pool_->Close(absl::DataLossError("too late"));
  EXPECT_TRUE(Refused(pool_->Loan(1).status(), absl::StatusCode::kUnavailable, {"why"}));
}

TEST_F(BufferPoolTest, WhatCannotComeBackIsNotSent) {
  LoanedBuffer buffer = Loan(1);
  pool_->Close(absl::UnavailableError("died"), BufferPool::WhatIsOut::kReclaimed);
  EXPECT_EQ(pool_->MarkSent(std::move(buffer)), std::nullopt);
  EXPECT_TRUE(buffer);
  buffer.Reset();
  EXPECT_EQ(pool_->Census(), BufferCensus{3});
}

TEST_F(BufferPoolTest, LoansAndViewsOutliveBothEnds) {
  LoanedBuffer loaned = Loan(4);
  std::memcpy(loaned.data(), "mine", 4);
  LoanedBuffer sent = Loan(3);
  std::memcpy(sent.data(), "his", 3);
  const ReceivedView view = Receive(Sent(std::move(sent)));
  pool_.reset();
  peer_.reset();
  EXPECT_EQ(std::string(loaned.data(), 4), "mine");
  EXPECT_EQ(view.view(), "his");
}

TEST_F(BufferPoolTest, ReclaimTakesBackWhateverIsOut) {
  const LoanedBuffer loaned = Loan(1);
  const BufferDescriptor sent = Sent(Loan(1));
  ReceivedView held = Receive(Sent(Loan(65536)));
  pool_->Close(absl::UnavailableError("died"), BufferPool::WhatIsOut::kReclaimed);
  EXPECT_EQ(pool_->Census(), (BufferCensus{2, 1, 0, 0, 0, 0}));
  EXPECT_EQ(pool_->out(), 0u);
  ReceivedView late;
  EXPECT_FALSE(peer_->Take(sent, 0, late).ok()) << "a reclaimed buffer is not delivered";
  held.Reset();
  EXPECT_EQ(pool_->Census(), (BufferCensus{2, 1, 0, 0, 0, 0})) << "what comes back late changes nothing";
}

TEST_F(BufferPoolTest, TheReceiverTakesNothingThatWasNotSent) {
  LoanedBuffer loaned = Loan(1);
  const BufferDescriptor sent = Sent(Loan(1));
  const uint32_t kLoanedIndex = 1 - sent.index;
  const BufferDescriptor kLies[] = {
      {3, 0, 1},
      {~uint32_t{0}, 0, 1},
      {kLoanedIndex, 0, 1},
      {sent.index, sent.generation + 1, 1},
      {sent.index, sent.generation, 4097},
      {sent.index, sent.generation, ~uint64_t{0}},
  };
  for (const BufferDescriptor& lie : kLies) {
    ReceivedView view;
    EXPECT_TRUE(Refused(peer_->Take(lie, 0, view), absl::StatusCode::kDataLoss, {"the peer sent"}));
    EXPECT_EQ(view.size(), 0u);
  }
  EXPECT_TRUE(peer_->lied());
  const ReceivedView view = Receive(sent);
  ReceivedView twice;
  EXPECT_TRUE(Refused(peer_->Take(sent, 0, twice), absl::StatusCode::kDataLoss));
}

TEST_F(BufferPoolTest, WhatComesBackMustHaveBeenGone) {
  Return(0);
  EXPECT_TRUE(Refused(pool_->Loan(1).status(), absl::StatusCode::kDataLoss, {"gave back buffer 0"}));
  EXPECT_TRUE(Refused(pool_->Loan(1).status(), absl::StatusCode::kDataLoss)) << "once a liar, always a liar";
}

TEST_F(BufferPoolTest, AnIndexBeyondThePoolIsNotFollowed) {
  Return(~uint32_t{0});
  EXPECT_TRUE(Refused(pool_->Loan(1).status(), absl::StatusCode::kDataLoss, {"gave back buffer 4294967295"}));
}

TEST_F(BufferPoolTest, ABufferThatIsNotMarkedAsReturnedIsNotBelieved) {
  const BufferDescriptor sent = Sent(Loan(1));
  Return(sent.index);
  EXPECT_TRUE(Refused(pool_->Loan(1).status(), absl::StatusCode::kDataLoss, {"which it does not have"}));
}

TEST_F(BufferPoolTest, ABufferOfAnEarlierGenerationIsNotBelieved) {
  Receive(Sent(Loan(1))).Reset();
  EXPECT_EQ(pool_->out(), 0u);
  const BufferDescriptor sent = Sent(Loan(1));
  Word(sent.index).bits = BufferWord{BufferState::kReturned, sent.generation - 1, kReceiver}.Pack();
  QueueControl& control = *reinterpret_cast<QueueControl*>(ledger_->data() + BufferPool::ReturnsOffset(pool_->layout()));
  ASSERT_EQ(control.consumed, 1u);
  reinterpret_cast<std::atomic<uint64_t>*>(&control + 1)[1] = uint64_t{sent.index} << 32 | 2;
  EXPECT_TRUE(Refused(pool_->Loan(1).status(), absl::StatusCode::kDataLoss, {"which it does not have"}));
}

TEST_F(BufferPoolTest, WordsThatThePeerWritesNeverGiveABufferAway) {
  const LoanedBuffer first = Loan(1);
  for (uint32_t i = 0; i < 3; ++i) Word(i).bits = 0;
  const LoanedBuffer second = Loan(1);
  EXPECT_NE(first.data(), second.data());
  EXPECT_TRUE(Refused(pool_->Loan(1).status(), absl::StatusCode::kResourceExhausted));
}

TEST_F(BufferPoolTest, ThreadsLoanAndDropTogether) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 2000; ++i) {
        absl::StatusOr<LoanedBuffer> buffer = pool_->Loan(sizeof(int), absl::InfiniteDuration());
        ASSERT_TRUE(buffer.ok()) << buffer.status();
        const int mine = t * 10000 + i;
        std::memcpy(buffer->data(), &mine, sizeof(mine));
        std::this_thread::yield();
        EXPECT_EQ(std::memcmp(buffer->data(), &mine, sizeof(mine)), 0) << "two have one buffer";
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool_->Stats()[0].free, 2u);
}

TEST_F(BufferPoolTest, AForkedChildGivesNothingAway) {
  LoanedBuffer loaned = Loan(1);
  ReceivedView view = Receive(Sent(Loan(1)));
  EXPECT_EQ(RunInChild([&] {
              loaned.Reset();
              view.Reset();
              return std::string(pool_->Loan(1).status().message());
            }),
            "this pool belongs to the parent process");
  EXPECT_EQ(pool_->Census(), (BufferCensus{1, 1, 0, 1, 0, 0}));
}

}  // namespace
}  // namespace agentos
