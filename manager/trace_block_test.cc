#include "agentos/manager/trace_block.h"

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

std::string ToString(absl::string_view text) { return std::string(text.data(), text.size()); }

std::string Build(const std::vector<std::string>& records, uint64_t sequence = 3, uint64_t base_ns = 1'000'000) {
  TraceBlockBuilder builder;
  builder.Start(sequence, base_ns);
  for (const std::string& record : records) EXPECT_TRUE(builder.Add(record));
  return ToString(builder.Finish());
}

std::vector<std::string> RecordsOf(TraceBlock block) {
  std::vector<std::string> records;
  for (absl::string_view record; block.Next(record);) records.push_back(ToString(record));
  return records;
}

const std::vector<std::string>& SomeRecords() {
  static const auto* const records =
      new std::vector<std::string>{"one", "", std::string(300, 'x'), std::string("\0\x89\x41", 3), "last"};
  return *records;
}

TEST(TraceBlock, GivesBackWhatWasPutIn) {
  const std::string bytes = Build(SomeRecords(), 0xfedcba9876543210, 0x0123456789abcdef);
  TraceBlock block;
  ASSERT_EQ(TraceBlock::Parse(bytes, block), BlockState::kGood);
  EXPECT_EQ(block.sequence(), 0xfedcba9876543210);
  EXPECT_EQ(block.base_ns(), uint64_t{0x0123456789abcdef});
  EXPECT_EQ(block.records(), SomeRecords().size());
  EXPECT_EQ(RecordsOf(block), SomeRecords());
}

TEST(TraceBlock, MayBeEmptyOfRecords) {
  TraceBlock block;
  ASSERT_EQ(TraceBlock::Parse(Build({}), block), BlockState::kGood);
  EXPECT_EQ(RecordsOf(block), std::vector<std::string>());
}

// What a reader in another language is written against.
TEST(TraceBlock, HasTheBytesThatItsHeaderFileSays) {
  const std::string bytes = Build({"ab"}, 2, 0x11223344);
  const std::string expected(
      "\x89\x41\x4f\x53\x54\x52\x0d\x0a"
      "\x02\0\0\0\0\0\0\0"
      "\x44\x33\x22\x11\0\0\0\0"
      "\x03\0\0\0"
      "\x01\0\0\0",
      32);
  EXPECT_EQ(bytes.substr(0, 32), expected);
  EXPECT_EQ(bytes.substr(40),
            "\x02"
            "ab");
  EXPECT_EQ(bytes.size(), 43u);
}

TEST(TraceBlock, IsReadTheSameWithWhateverStandsBehindIt) {
  const std::string bytes = Build(SomeRecords());
  for (const char filler : {'\0', 'x'}) {
    TraceBlock block;
    const std::string padded = bytes + std::string(kTraceBlockSize, filler);
    ASSERT_EQ(TraceBlock::Parse(padded, block), BlockState::kGood);
    EXPECT_EQ(RecordsOf(block), SomeRecords());
  }
}

TEST(TraceBlock, TakesRecordsUntilItIsFull) {
  TraceBlockBuilder builder;
  builder.Start(0, 0);
  EXPECT_FALSE(builder.Add(std::string(kTraceBlockSize, 'x')));
  EXPECT_FALSE(builder.Add(std::string(kTraceBlockSize - kTraceBlockHeaderSize - 2, 'x')));
  const std::string record(100, 'r');
  size_t count = 0;
  while (builder.Add(record)) ++count;
  EXPECT_EQ(count, (kTraceBlockSize - kTraceBlockHeaderSize) / 101);
  EXPECT_EQ(builder.records(), count);
  EXPECT_LE(builder.Finish().size(), kTraceBlockSize);
  TraceBlock block;
  ASSERT_EQ(TraceBlock::Parse(builder.Finish(), block), BlockState::kGood);
  EXPECT_EQ(RecordsOf(block).size(), count);

  builder.Start(1, 0);
  EXPECT_TRUE(builder.Add(std::string(kTraceBlockSize - kTraceBlockHeaderSize - 3, 'x')));
  EXPECT_EQ(builder.Finish().size(), kTraceBlockSize);
  EXPECT_FALSE(builder.Add(""));
}

TEST(TraceBlock, GrowsWhereItStands) {
  TraceBlockBuilder builder;
  builder.Start(5, 9);
  std::vector<std::string> records;
  for (int i = 0; i < 20; ++i) {
    records.push_back(absl::StrCat("record ", i));
    ASSERT_TRUE(builder.Add(records.back()));
    TraceBlock block;
    ASSERT_EQ(TraceBlock::Parse(builder.Finish(), block), BlockState::kGood);
    EXPECT_EQ(RecordsOf(block), records);
  }
}

TEST(TraceBlock, CutAnywhereItIsCut) {
  const std::string bytes = Build(SomeRecords());
  TraceBlock block;
  EXPECT_EQ(TraceBlock::Parse("", block), BlockState::kEmpty);
  for (size_t size = 1; size < bytes.size(); ++size) {
    EXPECT_EQ(TraceBlock::Parse(absl::string_view(bytes).substr(0, size), block), BlockState::kCut) << size;
  }
}

TEST(TraceBlock, EveryFlippedBitIsNoticed) {
  const std::string bytes = Build(SomeRecords());
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    TraceBlock block;
    EXPECT_EQ(TraceBlock::Parse(damaged, block), BlockState::kDamaged) << bit;
    // In a file a whole block's room follows.
    damaged.resize(kTraceBlockSize);
    EXPECT_EQ(TraceBlock::Parse(damaged, block), BlockState::kDamaged) << bit;
  }
}

TEST(TraceBlock, ZerosAreNoBlockAndNoDamageUnlessSomethingStandsBehindThem) {
  TraceBlock block;
  std::string zeros(kTraceBlockSize, '\0');
  EXPECT_EQ(TraceBlock::Parse(zeros, block), BlockState::kEmpty);
  EXPECT_EQ(TraceBlock::Parse(absl::string_view(zeros).substr(0, 7), block), BlockState::kEmpty);
  zeros.back() = 1;
  EXPECT_EQ(TraceBlock::Parse(zeros, block), BlockState::kDamaged);
}

TEST(TraceBlock, NoiseIsNoBlock) {
  std::mt19937_64 random(42);
  TraceBlock block;
  for (int i = 0; i < 2000; ++i) {
    std::string noise(random() % 200, '\0');
    for (char& byte : noise) byte = static_cast<char>(random());
    if (noise.empty() || noise[0] == '\x89') continue;
    EXPECT_NE(TraceBlock::Parse(noise, block), BlockState::kGood);
  }
}

}  // namespace
}  // namespace agentos
