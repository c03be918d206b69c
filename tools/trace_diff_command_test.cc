#include "agentos/tools/trace_diff_command.h"

#include <string>
#include <vector>

#include "agentos/testing/test_support.h"
#include "agentos/tools/sample_items.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Strings = std::vector<std::string>;

CommandLine::Outcome Parse(const Strings& arguments, TraceDiffOptions& options) {
  std::vector<const char*> argv = {"trace_diff"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  return ParseTraceDiff(static_cast<int>(argv.size()), argv.data(), options);
}

std::string ErrorOf(const Strings& arguments) {
  TraceDiffOptions options;
  const CommandLine::Outcome outcome = Parse(arguments, options);
  EXPECT_EQ(outcome.exit_code, kTraceDiffFailed);
  EXPECT_EQ(outcome.out, "");
  return outcome.error;
}

TEST(TraceDiffCommandTest, HelpIsAsTheGoldenFileHasIt) {
  TraceDiffOptions options;
  const CommandLine::Outcome outcome = Parse({"--help"}, options);
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_TRUE(IsAsInFile(outcome.out, "tools/testdata/trace_diff_help.txt"));
}

TEST(TraceDiffCommandTest, WithoutFlagsItIsTwiceAsLong) {
  TraceDiffOptions options;
  EXPECT_FALSE(Parse({"a", "b"}, options).exit_code.has_value());
  EXPECT_EQ(options.before, Strings({"a"}));
  EXPECT_EQ(options.after, Strings({"b"}));
  EXPECT_EQ(options.comparison.slower_ratio, 2);
  EXPECT_EQ(options.comparison.slower_by_ns, 100'000);
  EXPECT_EQ(options.comparison.slower_min_calls, 5U);
  EXPECT_TRUE(options.comparison.compare_times);
  EXPECT_FALSE(options.ignore_pids);
  EXPECT_FALSE(options.as_json);
  EXPECT_EQ(options.limit, 20U);
}

TEST(TraceDiffCommandTest, EveryFlagDoesWhatItSays) {
  TraceDiffOptions options;
  EXPECT_FALSE(Parse({"--no-times", "--slower-percent=20", "--slower-by", "1.5ms", "--min-calls=1", "--ignore-pids",
                      "--format=json", "--limit=0", "a,a.1", "-"},
                     options)
                   .exit_code.has_value());
  EXPECT_EQ(options.before, Strings({"a", "a.1"}));
  EXPECT_EQ(options.after, Strings({"-"}));
  EXPECT_DOUBLE_EQ(options.comparison.slower_ratio, 1.2);
  EXPECT_EQ(options.comparison.slower_by_ns, 1'500'000);
  EXPECT_EQ(options.comparison.slower_min_calls, 1U);
  EXPECT_FALSE(options.comparison.compare_times);
  EXPECT_TRUE(options.ignore_pids);
  EXPECT_TRUE(options.as_json);
  EXPECT_EQ(options.limit, 0U);
}

TEST(TraceDiffCommandTest, ANameMayHoldACommaWhenThereIsSuchAFile) {
  TempDir dir;
  const std::string path = dir.Path("a,b");
  Spill(path, "");
  TraceDiffOptions options;
  EXPECT_FALSE(Parse({path, "c,d"}, options).exit_code.has_value());
  EXPECT_EQ(options.before, Strings({path}));
  EXPECT_EQ(options.after, Strings({"c", "d"}));
}

TEST(TraceDiffCommandTest, WhatIsWrongIsSaid) {
  EXPECT_EQ(ErrorOf({}), "trace_diff: two traces are compared, not 0; trace_diff --help shows how\n");
  EXPECT_EQ(ErrorOf({"a", "b", "c"}), "trace_diff: two traces are compared, not 3; trace_diff --help shows how\n");
  EXPECT_EQ(ErrorOf({"a", ","}), "trace_diff: the name of a trace is empty; trace_diff --help shows how\n");
  EXPECT_EQ(ErrorOf({"-", "-"}), "trace_diff: the standard input can be read once only; trace_diff --help shows how\n");
  EXPECT_EQ(ErrorOf({"--slower-precent=3", "a", "b"}),
            "trace_diff: unknown flag --slower-precent, did you mean --slower-percent?\n");
  EXPECT_THAT(ErrorOf({"--min-calls=0", "a", "b"}), testing::HasSubstr("--min-calls"));
}

}  // namespace
}  // namespace agentos
