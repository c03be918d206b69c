#include "agentos/tools/trace_comparison_text.h"

#include <cerrno>
#include <string>
#include <vector>

#include "agentos/tools/sample_items.h"
#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using testing::HasSubstr;
using testing::Not;

// Two traces with one difference of each kind, and more of some.
struct Traces {
  TraceProfile before;
  TraceProfile after;
};

Traces DifferentTraces() {
  Traces traces;
  for (uint64_t i = 1; i <= 30; ++i) {
    TracedOperation read = SampleOperation("pid: 7 read { fd: 5 }", i, 0, 100, 900, 4096);
    traces.before.Add(read);
    if (i == 11 || i == 12) read.error_number = EIO;
    if (i == 23) read.value = 512;
    traces.after.Add(read);
    traces.before.Add(SampleOperation("pid: 7 fsync { fd: 8 }", 100 + i, 0, 0, 951'234));
    traces.after.Add(SampleOperation("pid: 7 fsync { fd: 8 }", 100 + i, 0, 0, 4'212'345));
  }
  for (const char* entry : {"pid: 9 open { path: '/tmp/\\033[31mred' }", "pid: 9 open { path: '/tmp/b' }", "pid: 9 nop {}"}) {
    traces.after.Add(SampleOperation(entry, 1, 0, 0, 1));
  }
  traces.before.Add(SampleOperation("pid: 7 connect { fd: 3 address: '[::1]:80' }", 500, 0, 0, 1));
  traces.after.Add(TraceLoss{.submissions = 1});
  return traces;
}

TEST(TraceComparisonTextTest, TextIsAsTheGoldenFileHasIt) {
  const Traces traces = DifferentTraces();
  const TraceDifferences differences = Compare(traces.before, traces.after, {});
  EXPECT_TRUE(IsAsInFile(DifferencesAsText({"good.trace", traces.before}, {"bad.trace", traces.after}, differences, 2),
                         "tools/testdata/trace_diff.txt"));
}

TEST(TraceComparisonTextTest, JsonIsAsTheGoldenFileHasIt) {
  const Traces traces = DifferentTraces();
  const TraceDifferences differences = Compare(traces.before, traces.after, {});
  const std::string json = DifferencesAsJson({"good.trace", traces.before}, {"bad\n.trace", traces.after}, differences);
  google::protobuf::Struct parsed;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(json, &parsed).ok()) << json;
  EXPECT_FALSE(parsed.fields().at("same").bool_value());
  EXPECT_EQ(parsed.fields().at("appeared").list_value().values_size(), 3);
  EXPECT_TRUE(IsAsInFile(json, "tools/testdata/trace_diff.json"));
}

TEST(TraceComparisonTextTest, NothingThatATraceHoldsReachesATerminal) {
  const Traces traces = DifferentTraces();
  const TraceDifferences differences = Compare(traces.before, traces.after, {});
  const std::string text = DifferencesAsText({"a\033[2J", traces.before}, {"b", traces.after}, differences, 0);
  EXPECT_THAT(text, Not(HasSubstr("\033")));
  EXPECT_THAT(text, HasSubstr("\\x1b[31mred"));
  EXPECT_THAT(text, Not(HasSubstr("more\n"))) << "without a limit everything is listed";
}

TEST(TraceComparisonTextTest, WherePidsAreIgnoredNoneIsShown) {
  TraceProfile before(true);
  TraceProfile after(true);
  before.Add(SampleOperation("pid: 1 nop {}", 1, 0, 0, 1));
  after.Add(SampleOperation("pid: 2 nop {}", 1, 0, 0, 1, 5));
  const TraceDifferences differences = Compare(before, after, {});
  EXPECT_THAT(DifferencesAsText({"a", before}, {"b", after}, differences, 0),
              HasSubstr("\n  Nop: 0 -> 5, 1 of 1, first the 1st\n"));
  EXPECT_THAT(DifferencesAsJson({"a", before}, {"b", after}, differences), Not(HasSubstr("\"pid\"")));
}

TEST(TraceComparisonTextTest, TheSameIsSaidInOneWord) {
  const Traces traces = DifferentTraces();
  const TraceDifferences none = Compare(traces.before, traces.before, {});
  EXPECT_THAT(DifferencesAsText({"a", traces.before}, {"a", traces.before}, none, 0), HasSubstr("\nSame.\n"));
  EXPECT_THAT(DifferencesAsJson({"a", traces.before}, {"a", traces.before}, none), HasSubstr("\"same\":true"));
}

}  // namespace
}  // namespace agentos
