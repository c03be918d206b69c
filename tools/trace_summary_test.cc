#include "agentos/tools/trace_summary.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agentos/tools/sample_items.h"
#include "google/protobuf/io/zero_copy_stream.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

std::string Summary(const std::vector<TraceItem>& items, SummaryOptions options = {}) {
  return Exported([&](google::protobuf::io::ZeroCopyOutputStream* out) { return MakeTraceSummary(out, options); }, items);
}

TEST(TraceSummary, SumsTheSampleAsTheGoldenFilesHaveIt) {
  const std::vector<TraceItem> items = SampleItems();
  EXPECT_TRUE(IsAsInFile(Summary(items), "tools/testdata/summary.txt"));
  EXPECT_TRUE(IsAsInFile(Summary(items, {.by = SummaryBy::kPid}), "tools/testdata/summary_by_pid.txt"));
  EXPECT_TRUE(IsAsInFile(Summary(items, {.by = SummaryBy::kFd}), "tools/testdata/summary_by_fd.txt"));
  EXPECT_TRUE(IsAsInFile(Summary(items, {.by = SummaryBy::kPath}), "tools/testdata/summary_by_path.txt"));
  EXPECT_TRUE(IsAsInFile(Summary(items, {.table = false, .histogram = true}), "tools/testdata/histogram.txt"));
}

TEST(TraceSummary, CountsExactly) {
  std::vector<TraceItem> items;
  for (uint64_t i = 1; i <= 1000; ++i) {
    items.emplace_back(SampleOperation("pid: 7 read { fd: 5 size: 100 }", i, 1000, 10, static_cast<int64_t>(990), 100));
  }
  const std::string text = Summary(items);
  EXPECT_TRUE(absl::StrContains(text, "      1000        0         0         0         100000")) << text;
  EXPECT_TRUE(absl::StrContains(text, "1ms")) << "the total: " << text;
}

TEST(TraceSummary, OfNothingThereIsATableOfNothing) {
  const std::string text = Summary({});
  EXPECT_TRUE(absl::StrContains(text, "calls")) << text;
  EXPECT_TRUE(absl::StrContains(text, "         0")) << text;
}

TEST(TraceSummary, ManyGroupsBecomeOne) {
  std::vector<TraceItem> items;
  for (int i = 0; i < 5000; ++i) {
    items.emplace_back(SampleOperation(absl::StrCat("pid: 7 open { path: '/", i, "' }"), 1, 1000, 0, 10, 3));
  }
  const std::string text = Summary(items, {.by = SummaryBy::kPath});
  EXPECT_TRUE(absl::StrContains(text, "      1000        0")) << "those that are one";
  EXPECT_TRUE(absl::StrContains(text, "(others)"));
}

TEST(TraceSummary, WhateverATraceHoldsIsSummed) {
  for (uint32_t seed = 0; seed < 5; ++seed) {
    for (const SummaryBy by : {SummaryBy::kOperation, SummaryBy::kPid, SummaryBy::kFd, SummaryBy::kPath}) {
      EXPECT_NE(Summary(WildItems(seed, 500), {.by = by, .histogram = true}), "");
    }
  }
}

}  // namespace
}  // namespace agentos
