#include "agentos/tools/trace_digest.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agentos/tools/sample_items.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

const TraceDigest::Kind& KindOf(const TraceDigest& digest, const std::string& name) {
  for (const auto& [number, kind] : digest.kinds()) {
    if (kind.name == name) return kind;
  }
  ADD_FAILURE() << "no " << name;
  return digest.kinds().begin()->second;
}

TEST(TraceDigestTest, TheSampleIsSummedUp) {
  TraceDigest digest;
  for (const TraceItem& item : SampleItems()) digest.Add(item);
  EXPECT_EQ(digest.sums().operations, 9U);
  EXPECT_EQ(digest.sums().beginnings_lost, 1U);
  EXPECT_EQ(digest.sums().lost_submissions, 3U);
  EXPECT_EQ(digest.sums().lost_completions, 4U);
  EXPECT_EQ(digest.sums().lost_others, 1U);
  EXPECT_EQ(digest.sums().dropped, 1U);
  EXPECT_EQ(digest.sums().refused, 16U);
  EXPECT_EQ(digest.sums().unknown_records, 1U);
  EXPECT_EQ(digest.sums().damages, 1U);
  EXPECT_EQ(digest.sums().damaged_bytes, 65536U);
  EXPECT_EQ(digest.last_ns() - digest.first_ns(), 1'000'000);
  EXPECT_EQ(digest.headers().size(), 1U);
  EXPECT_EQ(digest.processes(), 2U);
  EXPECT_EQ(digest.kept_slowest(), 8U);

  const TraceDigest::Kind& read_file = KindOf(digest, "ReadFile");
  EXPECT_EQ(read_file.calls, 2U);
  EXPECT_EQ(read_file.bytes, 1'000'012U);
  EXPECT_EQ(read_file.total_ns, 900'100 + 800'090);
  EXPECT_EQ(read_file.waited_ns, 190);
  EXPECT_EQ(KindOf(digest, "Connect").failed, 1U);
  EXPECT_EQ(KindOf(digest, "Fsync").cancelled, 1U);
  EXPECT_EQ(KindOf(digest, "AcceptMany").calls, 1U) << "one operation that completed four times";
  EXPECT_EQ(KindOf(digest, "AcceptMany").bytes, 0U);
  EXPECT_EQ(KindOf(digest, "Recv").never_ended, 1U);
  EXPECT_EQ(KindOf(digest, "Recv").latency.count(), 0U);

  const std::vector<TraceDigest::Kept> kept = digest.KeptOperations();
  ASSERT_EQ(kept.size(), 9U);
  EXPECT_EQ(kept[0].target, "/tmp/\\xff");
  EXPECT_EQ(kept[0].total_ns, 900'100);
  EXPECT_EQ(kept[0].waited_ns, 100);
  EXPECT_EQ(kept.back().result, "never ended");
  EXPECT_EQ(kept.back().total_ns, 950'000) << "to the end of the trace";
}

TEST(TraceDigestTest, TheSlowestAreKeptAndADrawOfTheRest) {
  TraceDigest digest({.slowest = 10, .failed = 5, .others = 20, .never_ended = 3});
  constexpr uint64_t kAll = 10'000;
  for (uint64_t i = 0; i < kAll; ++i) {
    // 7919 is coprime to the count, so every length from 0 comes once.
    TracedOperation operation = SampleOperation("pid: 1 read { fd: 3 }", i + 1, static_cast<int64_t>(i) * 100, 0,
                                                static_cast<int64_t>(i * 7919 % kAll), 1);
    if (i % 3 == 0) operation.error_number = EIO;
    if (i % 1000 == 7) operation.ended = false;
    digest.Add(operation);
  }
  EXPECT_EQ(digest.sums().operations, kAll);
  const std::vector<TraceDigest::Kept> kept = digest.KeptOperations();
  ASSERT_EQ(kept.size(), 38U);
  std::set<uint64_t> seqs;
  for (const TraceDigest::Kept& one : kept) seqs.insert(one.seq);
  EXPECT_EQ(seqs.size(), kept.size()) << "one of them twice";
  int64_t last = static_cast<int64_t>(kAll);
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_GE(kept[i].total_ns, static_cast<int64_t>(kAll) - 12);
    EXPECT_LT(kept[i].total_ns, last);
    last = kept[i].total_ns;
  }
  EXPECT_EQ(
      std::count_if(kept.begin() + 10, kept.end(), [](const auto& one) { return one.outcome == TraceDigest::Outcome::kFailed; }),
      5);
  EXPECT_EQ(
      std::count_if(kept.begin() + 10, kept.end(), [](const auto& one) { return one.outcome == TraceDigest::Outcome::kSuccess; }),
      20);
  const auto early = std::count_if(kept.begin() + 10, kept.end(), [](const auto& one) { return one.seq < kAll / 2; });
  EXPECT_GT(early, 3);
  EXPECT_LT(early, 25) << "a draw of the whole trace, not of its beginning";
}

TEST(TraceDigestTest, LengthsFallIntoTheirSteps) {
  for (const int64_t length : {int64_t{0}, int64_t{1}, int64_t{2}, int64_t{3}, int64_t{5}, int64_t{1000}, int64_t{1023},
                               int64_t{1024}, int64_t{123'456'789}, int64_t{1} << 59}) {
    TraceDigest digest;
    digest.Add(SampleOperation("pid: 1 nop {}", 1, 100, 0, length));
    const TraceDigest::Lengths& lengths = KindOf(digest, "Nop").total_lengths;
    const auto step = static_cast<size_t>(std::find(lengths.begin(), lengths.end(), 1U) - lengths.begin());
    ASSERT_LT(step, lengths.size());
    const auto begins = [](size_t n) { return std::ldexp(1 + static_cast<double>(n % 4) / 4, static_cast<int>(n / 4)); };
    EXPECT_LE(begins(step), static_cast<double>(std::max<int64_t>(length, 1)));
    EXPECT_GT(begins(step + 1), static_cast<double>(length));
  }
}

TEST(TraceDigestTest, LongTextIsCutBetweenCharacters) {
  TraceDigest digest;
  digest.Add(SampleOperation(absl::StrCat("pid: 1 open { path: '", std::string(199, 'a'), "\xC3\xA4zzz' }"), 1, 0, 0, 1));
  EXPECT_EQ(digest.KeptOperations()[0].target, std::string(199, 'a') + "...");
}

TEST(TraceDigestTest, NothingThatATraceHoldsIsTooMuch) {
  for (uint32_t seed = 0; seed < 5; ++seed) {
    TraceDigest digest({.slowest = 50, .failed = 50, .others = 50, .never_ended = 50});
    for (const TraceItem& item : WildItems(seed, 5000)) digest.Add(item);
    EXPECT_LE(digest.KeptOperations().size(), 200U);
    EXPECT_LE(digest.depth().Stretches().size(), 1024U);
    EXPECT_LE(digest.headers().size(), 100U);
    EXPECT_LE(digest.damages().size(), 100U);
  }
}

}  // namespace
}  // namespace agentos
