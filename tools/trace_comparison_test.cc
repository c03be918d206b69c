#include "agentos/tools/trace_comparison.h"

#include <cerrno>
#include <string>
#include <vector>

#include "agentos/tools/sample_items.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

TraceProfile ProfileOf(const std::vector<TraceItem>& items, bool ignore_pids = false, size_t max_kept = 1000) {
  TraceProfile profile(ignore_pids, max_kept);
  for (const TraceItem& item : items) profile.Add(item);
  return profile;
}

// The same operation so many times.
std::vector<TraceItem> Repeated(const std::string& entry, int count, int64_t waited_ns, int64_t took_ns, int64_t value = 0) {
  std::vector<TraceItem> items;
  for (int i = 0; i < count; ++i) {
    items.emplace_back(SampleOperation(entry, static_cast<uint64_t>(i) + 1, i * 1000, waited_ns, took_ns, value));
  }
  return items;
}

TracedOperation& OperationAt(std::vector<TraceItem>& items, size_t index) { return std::get<TracedOperation>(items[index]); }

TEST(TraceComparisonTest, ATraceIsTheSameAsItself) {
  const TraceProfile profile = ProfileOf(SampleItems());
  EXPECT_EQ(profile.operations(), 9U);
  EXPECT_FALSE(profile.is_complete());
  EXPECT_TRUE(Compare(profile, profile, {}).empty());
  EXPECT_TRUE(Compare(ProfileOf({}), ProfileOf({}), {}).empty());
  EXPECT_TRUE(ProfileOf(Repeated("pid: 1 nop {}", 3, 0, 1)).is_complete());
}

TEST(TraceComparisonTest, AChangedResultIsFoundWhereItChanged) {
  std::vector<TraceItem> before = Repeated("pid: 1 read { fd: 5 }", 10, 0, 1000, 4096);
  std::vector<TraceItem> after = before;
  OperationAt(after, 3).error_number = EIO;
  OperationAt(after, 7).error_number = EIO;
  OperationAt(after, 8).value = 17;
  OperationAt(after, 9).ended = false;
  const TraceDifferences differences = Compare(ProfileOf(before), ProfileOf(after), {});
  ASSERT_EQ(differences.changed.size(), 3U);
  EXPECT_EQ(differences.changed[0].key.target, "fd 5");
  EXPECT_EQ(differences.changed[0].from, "4096");
  EXPECT_EQ(differences.changed[0].to, "EIO");
  EXPECT_EQ(differences.changed[0].count, 2U);
  EXPECT_EQ(differences.changed[0].of, 10U);
  EXPECT_EQ(differences.changed[0].first, 4U);
  EXPECT_EQ(differences.changed[1].to, "17");
  EXPECT_EQ(differences.changed[2].to, "never ended");
  EXPECT_TRUE(differences.slower.empty() && differences.appeared.empty() && differences.vanished.empty());
}

TEST(TraceComparisonTest, TheOrderIsThatOfSubmission) {
  std::vector<TraceItem> before = Repeated("pid: 1 read { fd: 5 }", 3, 0, 1000);
  for (size_t i = 0; i < 3; ++i) OperationAt(before, i).value = static_cast<int64_t>(i);
  // A batch has one time.
  OperationAt(before, 1).queued_ns = 0;
  const std::vector<TraceItem> after(before.rbegin(), before.rend());
  EXPECT_TRUE(Compare(ProfileOf(before), ProfileOf(after), {}).empty());
}

TEST(TraceComparisonTest, WhichNumberADescriptorGetsIsNoDifference) {
  const auto opened = [](int64_t fd) { return ProfileOf(Repeated("pid: 1 open { path: '/a' }", 2, 0, 1000, fd)); };
  EXPECT_TRUE(Compare(opened(3), opened(4), {}).empty());
  std::vector<TraceItem> failed = Repeated("pid: 1 open { path: '/a' }", 2, 0, 1000, 0);
  OperationAt(failed, 1).error_number = ENOENT;
  const TraceDifferences differences = Compare(opened(3), ProfileOf(failed), {});
  ASSERT_EQ(differences.changed.size(), 1U);
  EXPECT_EQ(differences.changed[0].from, "a descriptor");
  EXPECT_EQ(differences.changed[0].to, "ENOENT");
  EXPECT_EQ(differences.changed[0].first, 2U);
}

TEST(TraceComparisonTest, SlowerIsWhatIsSlowerByBothMeasures) {
  const auto with = [](int64_t waited, int64_t took, int count = 9) {
    return ProfileOf(Repeated("pid: 1 fsync { fd: 5 }", count, waited, took));
  };
  const ComparisonOptions options{.slower_ratio = 2, .slower_by_ns = 1000, .slower_min_calls = 5};
  EXPECT_EQ(Compare(with(500, 1000), with(1000, 2000), options).slower.size(), 1U) << "twice, and 1,500 ns";
  EXPECT_TRUE(Compare(with(0, 1000), with(0, 1999), options).empty()) << "not by 1,000 ns";
  EXPECT_TRUE(Compare(with(0, 2000), with(0, 3999), options).empty()) << "not twice";
  EXPECT_TRUE(Compare(with(0, 1000), with(0, 9000, 4), options).slower.empty()) << "too few to tell";
  EXPECT_TRUE(Compare(with(0, 9000), with(0, 1000), options).empty()) << "faster";
  ComparisonOptions without_times = options;
  without_times.compare_times = false;
  EXPECT_TRUE(Compare(with(0, 1000), with(0, 9000), without_times).empty());

  const TraceDifferences differences = Compare(with(500, 1000), with(1000, 5000, 7), options);
  ASSERT_EQ(differences.slower.size(), 1U);
  EXPECT_EQ(differences.slower[0].median_before_ns, 1500);
  EXPECT_EQ(differences.slower[0].median_after_ns, 6000);
  EXPECT_EQ(differences.slower[0].calls_before, 9U);
  EXPECT_EQ(differences.slower[0].calls_after, 7U);
}

TEST(TraceComparisonTest, AFewSlowOnesDoNotMakeTheMedian) {
  std::vector<TraceItem> after = Repeated("pid: 1 fsync { fd: 5 }", 9, 0, 1000);
  for (size_t i = 0; i < 4; ++i) OperationAt(after, i).took_ns = 1'000'000'000;
  const TraceProfile before = ProfileOf(Repeated("pid: 1 fsync { fd: 5 }", 9, 0, 1000));
  EXPECT_TRUE(Compare(before, ProfileOf(after), {}).empty());
  OperationAt(after, 4).took_ns = 1'000'000'000;
  EXPECT_EQ(Compare(before, ProfileOf(after), {}).slower.size(), 1U);
}

TEST(TraceComparisonTest, WhatIsNewAndWhatIsGoneIsCounted) {
  std::vector<TraceItem> before = Repeated("pid: 1 read { fd: 5 }", 3, 0, 1);
  std::vector<TraceItem> after = Repeated("pid: 1 read { fd: 5 }", 5, 0, 1);
  before.emplace_back(SampleOperation("pid: 1 unlink { path: '/old' }", 9, 0, 0, 1));
  after.emplace_back(SampleOperation("pid: 1 unlink { path: '/new' }", 9, 0, 0, 1));
  after.emplace_back(SampleOperation("pid: 2 unlink { path: '/new' }", 1, 0, 0, 1));
  const TraceDifferences differences = Compare(ProfileOf(before), ProfileOf(after), {});
  ASSERT_EQ(differences.appeared.size(), 3U);
  EXPECT_EQ(differences.appeared[0].key.operation, "Read");
  EXPECT_EQ(differences.appeared[0].before, 3U);
  EXPECT_EQ(differences.appeared[0].after, 5U);
  EXPECT_EQ(differences.appeared[1].key.target, "/new");
  EXPECT_EQ(differences.appeared[2].key.pid, 2U);
  ASSERT_EQ(differences.vanished.size(), 1U);
  EXPECT_EQ(differences.vanished[0].key.target, "/old");
  EXPECT_TRUE(differences.changed.empty());
}

TEST(TraceComparisonTest, ProcessesCanBeTakenForOne) {
  const std::vector<TraceItem> before = Repeated("pid: 1 nop {}", 2, 0, 1);
  const std::vector<TraceItem> after = Repeated("pid: 2 nop {}", 2, 0, 1);
  EXPECT_FALSE(Compare(ProfileOf(before), ProfileOf(after), {}).empty());
  EXPECT_TRUE(Compare(ProfileOf(before, true), ProfileOf(after, true), {}).empty());
}

TEST(TraceComparisonTest, BeyondTheLimitIsOnlyCounted) {
  std::vector<TraceItem> after = Repeated("pid: 1 read { fd: 5 }", 10, 0, 1, 1);
  OperationAt(after, 8).value = 2;
  const TraceProfile before = ProfileOf(Repeated("pid: 1 read { fd: 5 }", 12, 0, 1, 1), false, 8);
  EXPECT_EQ(before.beyond_limit(), 4U);
  const TraceDifferences differences = Compare(before, ProfileOf(after, false, 8), {});
  EXPECT_TRUE(differences.changed.empty());
  ASSERT_EQ(differences.vanished.size(), 1U);
  EXPECT_EQ(differences.vanished[0].before, 12U);
}

}  // namespace
}  // namespace agentos
