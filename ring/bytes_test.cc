#include "agentos/ring/bytes.h"

#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "agentos/ring/result_buffer_pool.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

static_assert(!std::is_copy_constructible_v<Bytes> && !std::is_copy_assignable_v<Bytes>);
static_assert(std::is_nothrow_move_constructible_v<Bytes> && std::is_nothrow_move_assignable_v<Bytes>);

// Longer than a std::string keeps inside itself, so that its data() tells whether it was copied.
const char kLong[] = "a text that no std::string keeps inside itself, because it is far too long for that";

class BytesTest : public testing::Test {
 protected:
  ~BytesTest() override { pool_->Close(); }

  // The first bytes of a pooled buffer, which hold `text`.
  Bytes Pooled(const std::string& text) {
    PooledBuffer buffer = pool_->Acquire(text.size());
    std::memcpy(buffer.data(), text.data(), text.size());
    return Bytes(std::move(buffer), text.size());
  }

  // One of each way to hold `text`.
  std::vector<Bytes> EveryKind(const std::string& text) {
    std::vector<Bytes> all;
    all.push_back(Bytes(text));
    all.push_back(Bytes(std::vector<char>(text.begin(), text.end())));
    all.push_back(Pooled(text));
    return all;
  }

  // Whether the buffer at `place` is the pool's to hand out. Looks at one buffer more than the last look left in the pool.
  bool IsBack(const char* place) {
    ++looks_;
    std::vector<PooledBuffer> buffers;
    for (int i = 0; i < looks_; ++i) {
      buffers.push_back(pool_->Acquire(sizeof(kLong)));
      if (buffers.back().data() == place) return true;
    }
    return false;
  }

  ResultBufferPool* const pool_ = ResultBufferPool::Create();
  int looks_ = 0;
};

TEST_F(BytesTest, IsEmptyByDefault) {
  // On the heap: about an empty one on the stack gcc warns under AddressSanitizer, which hides from it that kind_ was set.
  const auto on_heap = std::make_unique<Bytes>();
  const Bytes& bytes = *on_heap;
  EXPECT_TRUE(bytes.empty());
  EXPECT_EQ(bytes.size(), 0u);
  EXPECT_EQ(bytes.data(), nullptr);
  EXPECT_EQ(bytes.view(), "");
  EXPECT_EQ(bytes.ToString(), "");
}

TEST_F(BytesTest, TakesAStringOverWithoutACopy) {
  std::string text = kLong;
  const char* const place = text.data();
  const Bytes bytes = std::move(text);
  EXPECT_EQ(bytes.data(), place);
  EXPECT_EQ(bytes.view(), kLong);
}

TEST_F(BytesTest, TakesAVectorOverWithoutACopy) {
  std::vector<char> vector = {'a', '\0', 'b'};
  const char* const place = vector.data();
  const Bytes bytes = std::move(vector);
  EXPECT_EQ(bytes.data(), place);
  EXPECT_EQ(bytes.view(), absl::string_view("a\0b", 3));
}

TEST_F(BytesTest, HoldsTheFirstBytesOfAPooledBuffer) {
  PooledBuffer buffer = pool_->Acquire(4096);
  char* const place = buffer.data();
  std::memcpy(place, "abcdef", 6);
  const Bytes bytes(std::move(buffer), 3);
  EXPECT_FALSE(buffer);
  EXPECT_EQ(bytes.data(), place);
  EXPECT_EQ(bytes.view(), "abc");
}

TEST_F(BytesTest, CopiesFromTextThatItCannotOwn) {
  std::string owner = kLong;
  const Bytes from_absl = absl::string_view(owner);
  const Bytes from_std = std::string_view(owner);
  const Bytes from_pointer = owner.c_str();
  for (const Bytes* bytes : {&from_absl, &from_std, &from_pointer}) EXPECT_NE(bytes->data(), owner.data());
  owner.assign(owner.size(), 'x');
  for (const Bytes* bytes : {&from_absl, &from_std, &from_pointer}) EXPECT_EQ(bytes->view(), kLong);
}

TEST_F(BytesTest, TakesNullForNoText) {
  const char* const none = nullptr;
  EXPECT_TRUE(Bytes(none).empty());
}

TEST_F(BytesTest, KeepsEveryByteOfEveryKind) {
  for (const std::string& text : {std::string("short"), std::string(kLong), std::string("nul\0inside\0", 11), std::string()}) {
    for (const Bytes& bytes : EveryKind(text)) {
      EXPECT_EQ(bytes.size(), text.size());
      EXPECT_EQ(bytes.empty(), text.empty());
      EXPECT_EQ(bytes.view(), text);
      EXPECT_EQ(bytes.ToString(), text);
      // ToString is a copy.
      EXPECT_EQ(bytes.view(), text);
    }
  }
}

TEST_F(BytesTest, MovesTheOwnershipAndLeavesTheSourceEmpty) {
  for (Bytes& source : EveryKind(kLong)) {
    const char* const place = source.data();
    Bytes made = std::move(source);
    EXPECT_EQ(made.data(), place);
    EXPECT_TRUE(source.empty());
    EXPECT_EQ(source.data(), nullptr);

    Bytes assigned = "old";
    assigned = std::move(made);
    EXPECT_EQ(assigned.data(), place);
    EXPECT_EQ(assigned.view(), kLong);
    EXPECT_TRUE(made.empty());
    EXPECT_EQ(made.data(), nullptr);

    // The source is as good as new.
    source = "again";
    EXPECT_EQ(source.view(), "again");
  }
}

TEST_F(BytesTest, MovesShortStringsThatLieInsideTheObject) {
  Bytes source = "abc";
  Bytes made = std::move(source);
  source = "other";
  EXPECT_EQ(made.view(), "abc");
}

TEST_F(BytesTest, AssignsEveryKindToEveryKind) {
  for (size_t from = 0; from < 3; ++from) {
    for (size_t to = 0; to < 3; ++to) {
      std::vector<Bytes> targets = EveryKind("old");
      targets[to] = std::move(EveryKind(kLong)[from]);
      EXPECT_EQ(targets[to].view(), kLong) << from << " to " << to;
    }
  }
}

TEST_F(BytesTest, SurvivesBeingMovedToItself) {
  for (Bytes& bytes : EveryKind(kLong)) {
    Bytes& same = bytes;
    bytes = std::move(same);
    EXPECT_EQ(bytes.view(), kLong);
  }
}

TEST_F(BytesTest, GivesItsStringAwayWithoutACopy) {
  Bytes bytes{std::string(kLong)};
  const char* const place = bytes.data();
  const std::string text = std::move(bytes).IntoString();
  EXPECT_EQ(text.data(), place);
  EXPECT_EQ(text, kLong);
  EXPECT_TRUE(bytes.empty());
}

TEST_F(BytesTest, GivesEveryKindAwayAsAString) {
  for (Bytes& bytes : EveryKind(kLong)) {
    EXPECT_EQ(std::move(bytes).IntoString(), kLong);
    EXPECT_TRUE(bytes.empty());
    EXPECT_EQ(bytes.data(), nullptr);
  }
  const auto empty = std::make_unique<Bytes>();
  EXPECT_EQ(std::move(*empty).IntoString(), "");
}

TEST_F(BytesTest, GivesAPooledBufferBackWhenItDies) {
  const char* place = nullptr;
  {
    const Bytes bytes = Pooled(kLong);
    place = bytes.data();
    EXPECT_FALSE(IsBack(place));
  }
  EXPECT_TRUE(IsBack(place));
}

TEST_F(BytesTest, GivesAPooledBufferBackWhenItHoldsSomethingElse) {
  Bytes cleared = Pooled(kLong);
  const char* place = cleared.data();
  cleared.Clear();
  EXPECT_TRUE(cleared.empty());
  EXPECT_TRUE(IsBack(place));

  Bytes assigned = Pooled(kLong);
  place = assigned.data();
  assigned = "text";
  EXPECT_TRUE(IsBack(place));

  Bytes taken = Pooled(kLong);
  place = taken.data();
  EXPECT_EQ(std::move(taken).IntoString(), kLong);
  EXPECT_TRUE(IsBack(place));
}

TEST_F(BytesTest, KeepsAPooledBufferAcrossAMove) {
  Bytes target;
  const char* place = nullptr;
  {
    Bytes source = Pooled(kLong);
    place = source.data();
    target = std::move(source);
  }
  EXPECT_FALSE(IsBack(place));
  EXPECT_EQ(target.view(), kLong);
}

TEST_F(BytesTest, ClearsTwice) {
  for (Bytes& bytes : EveryKind(kLong)) {
    bytes.Clear();
    bytes.Clear();
    EXPECT_TRUE(bytes.empty());
  }
}

}  // namespace
}  // namespace agentos
