#include "agentos/tools/command_line.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class CommandLineTest : public testing::Test {
 protected:
  CommandLineTest() : line_("tool", "Does what the test wants of it, and nothing else.", "[FLAG]... FILE...") {
    line_.Group("what is shown");
    line_.Add("summary", &summary_, "sums instead of operations");
    line_.Add("root", "DIR", &root_, "where to");
    line_.Add("op", "NAME", &ops_, "these only");
    line_.Add("limit", "N", &limit_, "no more than N", 1);
    line_.Add("slower-than", "TIME", &slower_, "what took longer");
    line_.AddChoice("format", {"text", "json"}, &format_, "how");
    line_.AddPositional(&files_);
    line_.Example("tool --summary a.trace", "sums of a trace");
    line_.ExitCode(0, "all is well");
    line_.ExitCode(2, "the command line is wrong");
  }
  CommandLine::Outcome Parse(const std::vector<std::string>& arguments) {
    std::vector<const char*> argv = {"tool"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    return line_.Parse(static_cast<int>(argv.size()), argv.data());
  }
  std::string ErrorOf(const std::vector<std::string>& arguments) {
    const CommandLine::Outcome outcome = Parse(arguments);
    EXPECT_EQ(outcome.exit_code, CommandLine::kUsageError);
    EXPECT_EQ(outcome.out, "");
    return outcome.error;
  }

  bool summary_ = false;
  std::string root_;
  std::vector<std::string> ops_;
  std::optional<uint64_t> limit_;
  std::optional<absl::Duration> slower_;
  std::string format_ = "text";
  std::vector<std::string> files_;
  CommandLine line_;
};

TEST_F(CommandLineTest, TakesFlagsInEitherFormAndFiles) {
  const auto outcome = Parse({"a", "--summary", "--op=Read,Write", "--op", "Close", "--limit=5", "--slower-than", "1.5ms", "-",
                              "--format=json", "--root=/x", "--", "--summary"});
  EXPECT_FALSE(outcome.exit_code.has_value()) << outcome.error;
  EXPECT_TRUE(summary_);
  EXPECT_EQ(ops_, std::vector<std::string>({"Read", "Write", "Close"}));
  EXPECT_EQ(limit_, 5u);
  EXPECT_EQ(slower_, absl::Microseconds(1500));
  EXPECT_EQ(format_, "json");
  EXPECT_EQ(root_, "/x");
  EXPECT_EQ(files_, std::vector<std::string>({"a", "-", "--summary"}));
}

TEST_F(CommandLineTest, WithoutFlagsEverythingIsAsItWas) {
  EXPECT_FALSE(Parse({}).exit_code.has_value());
  EXPECT_FALSE(summary_ || limit_.has_value() || slower_.has_value());
  EXPECT_EQ(format_, "text");
  EXPECT_FALSE(Parse({"--summary", "--no-summary"}).exit_code.has_value());
  EXPECT_FALSE(summary_) << "the last one counts";
}

TEST_F(CommandLineTest, SaysWhatIsWrongAndWhatIsRight) {
  EXPECT_EQ(ErrorOf({"--sumary"}), "tool: unknown flag --sumary, did you mean --summary?\n");
  EXPECT_EQ(ErrorOf({"--slower"}), "tool: unknown flag --slower, did you mean --slower-than?\n");
  EXPECT_EQ(ErrorOf({"--xyzzy"}), "tool: unknown flag --xyzzy; tool --help lists them\n");
  EXPECT_EQ(ErrorOf({"--versoin"}), "tool: unknown flag --versoin, did you mean --version?\n");
  EXPECT_EQ(ErrorOf({"--hlep"}), "tool: unknown flag --hlep, did you mean --help?\n");
  EXPECT_EQ(ErrorOf({"--=x"}), "tool: unknown flag --; tool --help lists them\n");
  EXPECT_EQ(ErrorOf({"-x"}), "tool: unknown flag -x; flags have two dashes, tool --help lists them\n");
  EXPECT_EQ(ErrorOf({"--no-limit"}), "tool: unknown flag --no-limit, did you mean --limit?\n");
  EXPECT_EQ(ErrorOf({"--summary=1"}), "tool: --summary takes no value; leave out what is behind the =\n");
  EXPECT_EQ(ErrorOf({"--limit"}), "tool: --limit needs a value: --limit=N\n");
  EXPECT_EQ(ErrorOf({"--limit=0"}), "tool: --limit is \"0\": it must be a whole number from 1 upward\n");
  for (const char* number : {"--limit=-1", "--limit=x", "--limit=", "--limit=1.5", "--limit=99999999999999999999"}) {
    EXPECT_TRUE(absl::StrContains(ErrorOf({number}), "whole number")) << number;
  }
  EXPECT_EQ(ErrorOf({"--slower-than=5"}),
            "tool: --slower-than is \"5\": it must be a time with its unit, such as 250us, 10ms, 1.5s or 2m\n");
  EXPECT_EQ(ErrorOf({"--slower-than=-5s"}),
            "tool: --slower-than is \"-5s\": it must be a time with its unit, such as 250us, 10ms, 1.5s or 2m\n");
  EXPECT_EQ(ErrorOf({"--format=xml"}), "tool: --format is \"xml\": it must be one of text, json\n");
  EXPECT_EQ(ErrorOf({"--root="}), "tool: --root is \"\": it must not be empty\n");
  EXPECT_EQ(ErrorOf({"--op=a,,b"}), "tool: --op is \"a,,b\": it must be one value, or several with commas between them\n");
}

TEST_F(CommandLineTest, AToolThatTakesNoFilesSaysSo) {
  CommandLine line("tool", "Does.", "");
  const char* const argv[] = {"tool", "file"};
  EXPECT_EQ(line.Parse(2, argv).error, "tool: what is \"file\"? It takes flags only\n");
}

TEST_F(CommandLineTest, HelpIsMadeOfTheSameTable) {
  const auto outcome = Parse({"--help", "--nonsense"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out, R"(usage: tool [FLAG]... FILE...

Does what the test wants of it, and nothing else.

what is shown:
  --summary                   sums instead of operations
  --root=DIR                  where to
  --op=NAME                   these only
  --limit=N                   no more than N
  --slower-than=TIME          what took longer
  --format=text|json          how: text, json (text without the flag)

other:
  --help, -h                  print this and exit
  --version                   print the version and exit

examples:
  tool --summary a.trace
      sums of a trace

exit codes:
  0                           all is well
  2                           the command line is wrong
)");
}

TEST_F(CommandLineTest, LongHelpIsWrapped) {
  std::string words;
  for (int i = 0; i < 60; ++i) words += "words ";
  line_.Add("a-flag-with-a-name-that-is-quite-long", &summary_, words);
  for (const std::string& text : std::vector<std::string>(absl::StrSplit(line_.Help(), '\n')))
    EXPECT_LE(text.size(), 100u) << text;
}

TEST_F(CommandLineTest, SaysItsVersion) {
  const auto outcome = Parse({"--version"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_TRUE(absl::StartsWith(outcome.out, "tool (agentos_uring) "));
  EXPECT_TRUE(absl::EndsWith(outcome.out, ", trace format 1.0\n"));
}

}  // namespace
}  // namespace agentos
