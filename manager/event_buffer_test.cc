#include "agentos/manager/event_buffer.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agentos/manager/trace_counts.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

// Reserves as much as `most`, uses as much as `text` needs.
bool Put(EventBuffer& buffer, const std::string& text, size_t most = 0) {
  char* to = buffer.Reserve(std::max(most, 4 + text.size()));
  if (to == nullptr) return false;
  EXPECT_EQ(reinterpret_cast<uintptr_t>(to) % 8, 0u);
  std::memcpy(to + 4, text.data(), text.size());
  buffer.Commit(4 + text.size());
  return true;
}

std::vector<std::string> TakeAll(EventBuffer& buffer) {
  std::vector<std::string> all;
  buffer.Drain([&](const char* event, size_t size) { all.emplace_back(event + 4, size - 4); });
  return all;
}

TEST(EventBuffer, GivesBackWhatWasPutInOrder) {
  EventBuffer buffer(100);
  EXPECT_EQ(buffer.capacity(), 128u);
  EXPECT_TRUE(TakeAll(buffer).empty());
  EXPECT_TRUE(Put(buffer, "a"));
  EXPECT_TRUE(Put(buffer, ""));
  EXPECT_TRUE(Put(buffer, "three", 40));
  EXPECT_EQ(TakeAll(buffer), std::vector<std::string>({"a", "", "three"}));
  EXPECT_TRUE(TakeAll(buffer).empty());
}

TEST(EventBuffer, SaysWhenItIsFullAndGoesOnWhenItIsNot) {
  EventBuffer buffer(128);
  size_t count = 0;
  while (Put(buffer, absl::StrCat("event ", count))) ++count;
  EXPECT_EQ(count, 8u);
  EXPECT_EQ(TakeAll(buffer).size(), count);
  EXPECT_TRUE(Put(buffer, "next"));
  EXPECT_EQ(TakeAll(buffer), std::vector<std::string>({"next"}));
}

// Every place of the end of the memory, by events of every length.
TEST(EventBuffer, AnEventIsNeverBrokenByTheEnd) {
  for (size_t length = 0; length < 60; ++length) {
    EventBuffer buffer(128);
    for (int round = 0; round < 40; ++round) {
      std::vector<std::string> expected;
      for (int i = 0; i < 3; ++i) {
        const std::string text = std::string((length + 7 * i) % 60, static_cast<char>('a' + i));
        if (Put(buffer, text)) expected.push_back(text);
      }
      EXPECT_FALSE(expected.empty());
      EXPECT_EQ(TakeAll(buffer), expected);
    }
  }
}

TEST(EventBuffer, CountsWhatIsLost) {
  EventBuffer buffer(128);
  EXPECT_FALSE(buffer.TakeLost().any());
  buffer.CountLost({.submissions = 1});
  buffer.CountLost({.submissions = 2, .completions = 3, .others = 4});
  EXPECT_EQ(buffer.TakeLost(), (TraceCounts{3, 3, 4}));
  EXPECT_FALSE(buffer.TakeLost().any());
  buffer.CountLost({.completions = 1});
  EXPECT_EQ(buffer.TakeLost(), (TraceCounts{0, 1, 0}));
}

TEST(EventBuffer, WithoutMemoryItIsFull) {
  EventBuffer buffer(size_t{1} << 60);
  EXPECT_FALSE(buffer.is_valid());
  EXPECT_FALSE(Put(buffer, "x"));
  EXPECT_TRUE(TakeAll(buffer).empty());
}

TEST(EventBuffer, OneThreadWritesWhileAnotherOneReads) {
  EventBuffer buffer(512);
  constexpr uint64_t kEvents = 200'000;
  uint64_t lost = 0;
  std::thread writer([&] {
    for (uint64_t i = 0; i < kEvents; ++i) {
      if (!Put(buffer, std::string(i % 90, static_cast<char>('a' + i % 26)))) buffer.CountLost({.others = 1});
    }
    buffer.CountLost({.submissions = 1});
  });
  uint64_t read = 0;
  for (bool ended = false; !ended;) {
    const TraceCounts counts = buffer.TakeLost();
    ended = counts.submissions == 1;
    if (ended) writer.join();
    lost += counts.others;
    buffer.Drain([&](const char* event, size_t size) {
      for (size_t i = 5; i < size; ++i) ASSERT_EQ(event[i], event[4]);
      ++read;
    });
  }
  lost += buffer.TakeLost().others;
  EXPECT_EQ(read + lost, kEvents);
  EXPECT_GT(read, 0u);
}

}  // namespace
}  // namespace agentos
