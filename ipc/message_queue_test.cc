#include "agentos/ipc/message_queue.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "agentos/ipc/futex.h"
#include "agentos/ipc/sleeper.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr uint32_t kSlotSize = 16;

class MessageQueueTest : public testing::Test {
 protected:
  explicit MessageQueueTest(uint32_t capacity = 4) : shape_{capacity, kSlotSize}, memory_(Zeros(shape_.Bytes())) {}

  struct Free {
    void operator()(char* memory) const { ::operator delete (memory, std::align_val_t{QueueControl::kLine}); }
  };
  static std::unique_ptr<char, Free> Zeros(size_t size) {
    char* const memory = static_cast<char*>(::operator new (size, std::align_val_t{QueueControl::kLine}));
    std::memset(memory, 0, size);
    return std::unique_ptr<char, Free>(memory);
  }

  bool Push(uint64_t value) {
    char* const slot = producer_.Reserve();
    if (slot == nullptr) return false;
    std::memcpy(slot, &value, sizeof(value));
    producer_.Publish(static_cast<uint32_t>(value) ^ 0xFF);
    return true;
  }
  // 0 when there is none.
  uint64_t Pop() {
    uint32_t meta = 0;
    const char* const slot = consumer_.Peek(meta);
    if (slot == nullptr) return 0;
    uint64_t value = 0;
    std::memcpy(&value, slot, sizeof(value));
    EXPECT_EQ(meta, static_cast<uint32_t>(value) ^ 0xFF);
    consumer_.Advance();
    return value;
  }

  QueueControl& control() { return *reinterpret_cast<QueueControl*>(memory_.get()); }
  std::atomic<uint64_t>& SlotWord(size_t slot) {
    return *reinterpret_cast<std::atomic<uint64_t>*>(memory_.get() + sizeof(QueueControl) + (slot + 1) * kSlotSize -
                                                     sizeof(uint64_t));
  }

  const QueueShape shape_;
  const std::unique_ptr<char, Free> memory_;
  QueueProducer producer_{memory_.get(), shape_};
  QueueConsumer consumer_{memory_.get(), shape_};
};

TEST_F(MessageQueueTest, MessagesComeInOrderOverManyLaps) {
  uint64_t pushed = 0;
  uint64_t popped = 0;
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < round % 5; ++i) {
      if (Push(pushed + 1)) ++pushed;
    }
    for (int i = 0; i < round % 3 + 1; ++i) {
      if (const uint64_t value = Pop(); value != 0) {
        EXPECT_EQ(value, ++popped);
      }
    }
  }
  while (Pop() != 0) ++popped;
  EXPECT_EQ(popped, pushed);
  EXPECT_GT(pushed, 100u);
  EXPECT_FALSE(producer_.peer_lied());
  EXPECT_FALSE(consumer_.peer_lied());
}

TEST_F(MessageQueueTest, FullIsFullUntilOneIsConsumed) {
  for (uint64_t i = 1; i <= 4; ++i) EXPECT_TRUE(Push(i));
  EXPECT_FALSE(Push(5));
  EXPECT_EQ(Pop(), 1u);
  EXPECT_TRUE(Push(5));
  EXPECT_FALSE(Push(6));
}

TEST_F(MessageQueueTest, WhatIsReservedAndNotPublishedIsNotThere) {
  ASSERT_NE(producer_.Reserve(), nullptr);
  EXPECT_EQ(Pop(), 0u);
  EXPECT_TRUE(Push(1));
  EXPECT_EQ(Pop(), 1u);
}

TEST_F(MessageQueueTest, ClosingIsSeenAfterTheLastMessage) {
  EXPECT_TRUE(Push(1));
  producer_.Close();
  EXPECT_TRUE(consumer_.PeerClosed());
  EXPECT_TRUE(consumer_.HasNews());
  EXPECT_EQ(Pop(), 1u);
  EXPECT_TRUE(consumer_.HasNews()) << "the end is news";
  EXPECT_FALSE(producer_.PeerClosed());
  consumer_.Close();
  EXPECT_TRUE(producer_.PeerClosed());
}

TEST_F(MessageQueueTest, TheProducerIsToldOnceThatTheConsumerSleepsOnAnFd) {
  consumer_.sleeper().DeclareOnFd();
  ASSERT_NE(producer_.Reserve(), nullptr);
  EXPECT_TRUE(producer_.Publish(0));
  ASSERT_NE(producer_.Reserve(), nullptr);
  EXPECT_FALSE(producer_.Publish(0));
}

TEST_F(MessageQueueTest, AConsumerThatClaimsMoreThanWasSentLies) {
  for (uint64_t i = 1; i <= 4; ++i) EXPECT_TRUE(Push(i));
  control().consumed = 5;
  EXPECT_FALSE(Push(5));
  EXPECT_TRUE(producer_.peer_lied());
}

TEST_F(MessageQueueTest, AConsumerThatTakesItsWordBackLies) {
  for (uint64_t i = 1; i <= 4; ++i) EXPECT_TRUE(Push(i));
  EXPECT_EQ(Pop(), 1u);
  EXPECT_EQ(Pop(), 2u);
  EXPECT_TRUE(Push(5));
  EXPECT_TRUE(Push(6));
  control().consumed = 1;
  EXPECT_FALSE(Push(7));
  EXPECT_TRUE(producer_.peer_lied());
}

TEST_F(MessageQueueTest, ASlotOfNeitherThisLapNorTheLastIsALie) {
  for (const uint64_t number : {2, 5, 99, 1 << 30}) {
    QueueConsumer consumer(memory_.get(), shape_);
    SlotWord(0) = number;
    EXPECT_TRUE(consumer.HasNews());
    EXPECT_TRUE(consumer.peer_lied()) << number;
  }
  SlotWord(0) = 0;
  // A lap later 0 is what it never is again.
  for (uint64_t i = 1; i <= 4; ++i) EXPECT_TRUE(Push(i));
  for (uint64_t i = 1; i <= 4; ++i) EXPECT_EQ(Pop(), i);
  EXPECT_FALSE(consumer_.peer_lied());
  SlotWord(0) = 0;
  EXPECT_EQ(Pop(), 0u);
  EXPECT_TRUE(consumer_.peer_lied());
}

TEST_F(MessageQueueTest, ShapesThatCannotBeAreNoShapes) {
  EXPECT_TRUE((QueueShape{1, 8}.IsValid()));
  EXPECT_TRUE((QueueShape{QueueShape::kMaxCapacity, 4096}.IsValid()));
  for (const QueueShape shape : {QueueShape{0, 16}, QueueShape{3, 16}, QueueShape{2 * QueueShape::kMaxCapacity, 16},
                                 QueueShape{4, 0}, QueueShape{4, 4}, QueueShape{4, 24}, QueueShape{4, 8192}}) {
    EXPECT_FALSE(shape.IsValid()) << shape.capacity << " of " << shape.slot_size;
  }
}

// Both ends sleep whenever they have nothing to do, so that every wake-up that is lost shows as a hang.
class MessageQueueThreadsTest : public MessageQueueTest, public testing::WithParamInterface<uint32_t> {
 protected:
  MessageQueueThreadsTest() : MessageQueueTest(GetParam()) {}
};

TEST_P(MessageQueueThreadsTest, NoMessageAndNoWakeUpIsLost) {
  constexpr uint64_t kMessages = kSanitized ? 20'000 : 100'000;
  std::thread sender([this] {
    for (uint64_t i = 1; i <= kMessages; ++i) {
      while (!Push(i)) producer_.sleeper().Sleep(kNoDeadline, [this] { return producer_.HasNews(); });
    }
  });
  for (uint64_t i = 1; i <= kMessages; ++i) {
    uint64_t value = 0;
    while ((value = Pop()) == 0) consumer_.sleeper().Sleep(kNoDeadline, [this] { return consumer_.HasNews(); });
    ASSERT_EQ(value, i);
  }
  sender.join();
  EXPECT_EQ(Pop(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Capacities, MessageQueueThreadsTest, testing::Values(1, 2, 64));

TEST_F(MessageQueueTest, ASleepEndsAtItsDeadline) {
  EXPECT_FALSE(consumer_.sleeper().Sleep(DeadlineAfter(absl::Milliseconds(1)), [] { return false; }));
  EXPECT_FALSE(consumer_.sleeper().Sleep(DeadlineAfter(absl::ZeroDuration()), [] { return false; }));
}

TEST_F(MessageQueueTest, WakeAllWakesASleeperWhosePeerKeepsSayingThatItSleeps) {
  std::atomic<bool> over = false;
  std::atomic<bool> lying = true;
  std::atomic<pid_t> sleeper = 0;
  std::thread liar([&] {
    while (lying) control().consumer_sleep = kAsleepOnWord;
  });
  std::thread waiting([&] {
    sleeper = ThisThread();
    while (!over) consumer_.sleeper().Sleep(kNoDeadline, [&over] { return over.load(); });
  });
  while (sleeper == 0) std::this_thread::yield();
  AwaitAsleep(sleeper);
  over = true;
  consumer_.sleeper().WakeAll();
  waiting.join();
  lying = false;
  liar.join();
}

TEST(FutexTest, EndlessTimeoutsAreNoDeadline) {
  EXPECT_EQ(DeadlineAfter(absl::InfiniteDuration()), kNoDeadline);
  EXPECT_EQ(DeadlineAfter(absl::Hours(24) * 365 * 400), kNoDeadline);
  EXPECT_EQ(DeadlineAfter(-absl::InfiniteDuration()), 0);
}

}  // namespace
}  // namespace agentos
