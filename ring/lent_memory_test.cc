#include "agentos/ring/lent_memory.h"

#include <memory>
#include <string>
#include <utility>

#include "agentos/ring/bytes.h"
#include "agentos/ring/result_buffer_pool.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class Text final : public LentMemory {
 public:
  Text(std::string text, bool& alive) : text_(std::move(text)), alive_(alive) { alive_ = true; }
  ~Text() override { alive_ = false; }
  char* data() override { return text_.data(); }
  size_t capacity() const override { return text_.size(); }

 private:
  std::string text_;
  bool& alive_;
};

class LentMemoryTest : public testing::Test {
 protected:
  std::shared_ptr<LentMemory> Make(const std::string& text) { return std::make_shared<Text>(text, alive_); }

  bool alive_ = false;
};

TEST_F(LentMemoryTest, LivesAsLongAsABufferOverIt) {
  Bytes bytes(Lend(Make("hello")), 4);
  EXPECT_EQ(bytes.view(), "hell");
  EXPECT_EQ(bytes.arena(), -1);
  Bytes moved = std::move(bytes);
  EXPECT_TRUE(alive_);
  PooledBuffer buffer = std::move(moved).IntoBuffer();
  EXPECT_EQ(buffer.capacity(), 5u);
  ResultBufferPool* const pool = ResultBufferPool::Create();
  buffer.ReturnTo(*pool);
  EXPECT_FALSE(alive_);
  pool->Close();
}

TEST_F(LentMemoryTest, IsFoundAgainByItsBuffer) {
  const std::shared_ptr<LentMemory> memory = Make("hello");
  EXPECT_EQ(LentBy(Lend(memory)), memory);
  EXPECT_EQ(LentBy(LendToFill(memory)), memory);
  EXPECT_EQ(LentBy(ResultBufferPool::NewUnpooled(10)), nullptr);
  EXPECT_EQ(LentBy(PooledBuffer()), nullptr);
}

TEST_F(LentMemoryTest, WhatIsFilledInIsWhatIsSent) {
  const std::shared_ptr<LentMemory> memory = Make("0123456789");
  Bytes to_send(Lend(memory), 10);
  PooledBuffer to_fill = LendToFill(memory);
  EXPECT_FALSE(IsReadyToSend(to_send));
  EXPECT_EQ(FilledBytes(std::move(to_fill), 3).size(), 0u);
  ASSERT_TRUE(IsReadyToSend(to_send));
  EXPECT_EQ(to_send.view(), "012");
}

TEST_F(LentMemoryTest, AFillingThatFailedLeavesEverythingAsItWas) {
  const std::shared_ptr<LentMemory> memory = Make("0123456789");
  Bytes to_send(Lend(memory), 10);
  LendToFill(memory).Reset();
  ASSERT_TRUE(IsReadyToSend(to_send));
  EXPECT_EQ(to_send.size(), 10u);
}

TEST_F(LentMemoryTest, TheReadersResultHasABufferThatIsNotSentOn) {
  const Bytes bytes = FilledBytes(Lend(Make("0123456789")), 7);
  EXPECT_EQ(bytes.view(), "0123456");
}

TEST_F(LentMemoryTest, OtherBytesAreAlwaysReady) {
  Bytes text("text");
  EXPECT_TRUE(IsReadyToSend(text));
  EXPECT_EQ(text.view(), "text");
  Bytes pooled(ResultBufferPool::NewUnpooled(10), 10);
  EXPECT_TRUE(IsReadyToSend(pooled));
  EXPECT_EQ(pooled.size(), 10u);
}

}  // namespace
}  // namespace agentos
