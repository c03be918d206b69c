#include "agentos/tools/trace_text.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "agentos/tools/sample_items.h"
#include "google/protobuf/io/zero_copy_stream.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

std::string Text(const std::vector<TraceItem>& items, TraceTextOptions options = {}) {
  return Exported([&](google::protobuf::io::ZeroCopyOutputStream* out) { return MakeTraceText(out, options); }, items);
}

TEST(TraceText, SaysTheSampleAsTheGoldenFilesHaveIt) {
  ASSERT_EQ(setenv("TZ", "UTC", 1), 0);
  EXPECT_TRUE(IsAsInFile(Text(SampleItems()), "tools/testdata/text.txt"));
  EXPECT_TRUE(IsAsInFile(Text(SampleItems(), {.colour = true}), "tools/testdata/text_colour.txt"));
  EXPECT_TRUE(IsAsInFile(Text(SampleItems(), {.width = 60}), "tools/testdata/text_narrow.txt"));
  EXPECT_TRUE(IsAsInFile(Text(SampleItems(), {.absolute_times = true}), "tools/testdata/text_dates.txt"));
}

TEST(TraceText, LinesComeInTheOrderOfTheirTimes) {
  std::vector<TraceItem> items;
  for (int64_t at : {500'000, 300'000, 400'000, 100'000, 200'000})
    items.emplace_back(SampleOperation("pid: 7 nop {}", 1, at, 0, 10));
  std::vector<std::string> lines = absl::StrSplit(Text(items), '\n');
  EXPECT_TRUE(std::is_sorted(lines.begin(), lines.end() - 1)) << Text(items);
  // Not beyond what is held back.
  const std::string narrow = Text(items, {.window = 1});
  lines = absl::StrSplit(narrow, '\n');
  EXPECT_FALSE(std::is_sorted(lines.begin(), lines.end() - 1)) << narrow;
}

TEST(TraceText, NoControlCharacterGetsThrough) {
  std::vector<TraceItem> items = {SampleOperation("pid: 7 open { path: '/\\033[2J\\302\\233' }", 1, 100, 0, 10, 3)};
  for (uint32_t seed = 0; seed < 5; ++seed) {
    for (TraceItem& item : WildItems(seed, 500)) items.push_back(std::move(item));
  }
  for (const char c : Text(items)) {
    const bool bracket = c == '\xe2' || c == '\x94' || c == '\x8c' || c == '\x82';
    ASSERT_TRUE(c == '\n' || (c >= ' ' && c < 0x7f) || bracket) << static_cast<int>(c);
  }
}

TEST(TraceText, NoLineIsWiderThanAsked) {
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(Text(WildItems(1, 500), {.width = 40}), '\n'))) {
    const auto letters = std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; });
    EXPECT_LE(letters, 40) << line;
  }
}

TEST(TraceText, ALineThatIsCutWithinABracketStaysText) {
  std::vector<TraceItem> items = {SampleOperation("pid: 7 nop {} modifiers { link: LINK_ON_SUCCESS }", 1, 100, 0, 10)};
  for (size_t width = 1; width < 60; ++width) {
    const std::string text = Text(items, {.width = width});
    EXPECT_EQ(text.find('\xe2') == std::string::npos, text.find("┌") == std::string::npos) << width;
  }
}

TEST(TraceText, ProcessesOfTwoRecordingsHaveChainsOfTheirOwn) {
  std::vector<TraceItem> items = {SampleOperation("pid: 7 nop {} modifiers { link: LINK_ON_SUCCESS }", 1, 100, 0, 10)};
  TracedOperation other = SampleOperation("pid: 7 nop {}", 2, 200, 0, 10);
  other.file = 1;
  items.emplace_back(other);
  EXPECT_FALSE(absl::StrContains(Text(items), "└")) << Text(items);
}

TEST(TraceText, AnErrorWithoutANameIsItsNumber) {
  TracedOperation operation = SampleOperation("pid: 7 nop {}", 1, 100, 0, 10);
  operation.error_number = 4711;
  EXPECT_TRUE(absl::StrContains(Text({operation}), " = -1 errno 4711  <10ns>")) << Text({operation});
}

TEST(TraceText, ClocksOfAHostileHeaderDoNotOverflow) {
  proto::v1::TraceHeader header;
  header.set_monotonic_ns(uint64_t{1} << 63);
  header.set_realtime_ns(UINT64_MAX);
  for (const bool absolute : {false, true}) {
    EXPECT_TRUE(absl::StrContains(
        Text({header, SampleOperation("pid: 7 nop {}", 1, INT64_MAX, 0, 10)}, {.absolute_times = absolute}), "Nop()"));
  }
}

}  // namespace
}  // namespace agentos
