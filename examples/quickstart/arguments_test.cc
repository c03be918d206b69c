#include "agentos/examples/quickstart/arguments.h"

#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agentos/examples/quickstart/temporary_tree.h"
#include "gtest/gtest.h"

namespace agentos::quickstart {
namespace {

class ArgumentsTest : public testing::Test {
 protected:
  ArgumentsTest() {
    tree_.MakeDirectory("sources");
    tree_.Write("file", "1");
    surroundings_ = {
        .working_directory = tree_.root(), .workspace_directory = tree_.Path("sources"), .temporary_directory = "/tmp"};
  }

  absl::StatusOr<Arguments> Parse(const std::vector<std::string>& words) { return ParseArguments(words, surroundings_); }

  TemporaryTree tree_;
  Surroundings surroundings_;
};

TEST_F(ArgumentsTest, DefaultsToTheRepository) {
  const absl::StatusOr<Arguments> arguments = Parse({});
  ASSERT_TRUE(arguments.ok()) << arguments.status();
  EXPECT_EQ(arguments->directory, tree_.Path("sources"));
  EXPECT_TRUE(arguments->directory_is_default);
}

TEST_F(ArgumentsTest, DefaultsToTheWorkingDirectoryWithoutARepository) {
  surroundings_.workspace_directory.clear();
  const absl::StatusOr<Arguments> arguments = Parse({});
  ASSERT_TRUE(arguments.ok()) << arguments.status();
  EXPECT_EQ(arguments->directory, tree_.root());
}

TEST_F(ArgumentsTest, RelativePathsAreRelativeToWhereTheUserStands) {
  const absl::StatusOr<Arguments> arguments = Parse({"sources", "--output", "sources/../result"});
  ASSERT_TRUE(arguments.ok()) << arguments.status();
  EXPECT_EQ(arguments->directory, tree_.Path("sources"));
  EXPECT_FALSE(arguments->directory_is_default);
  EXPECT_EQ(arguments->output, tree_.Path("result"));
}

TEST_F(ArgumentsTest, TakesEveryFlagInBothSpellings) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"--batch=8", "--timeout=3", "--max-file=2", "sources"},
                                                {"--batch", "8", "--timeout", "3", "sources", "--max-file", "2"}}) {
    const absl::StatusOr<Arguments> arguments = Parse(words);
    ASSERT_TRUE(arguments.ok()) << arguments.status();
    EXPECT_EQ(arguments->batch, 8u);
    EXPECT_EQ(arguments->timeout, absl::Seconds(3));
    EXPECT_EQ(arguments->max_file_bytes, size_t{2} << 20);
    EXPECT_EQ(arguments->directory, tree_.Path("sources"));
  }
}

TEST_F(ArgumentsTest, HelpWinsOverAnythingElse) {
  for (const char* help : {"--help", "-h"}) {
    const absl::StatusOr<Arguments> arguments = Parse({"/no/such/directory", help});
    ASSERT_TRUE(arguments.ok()) << arguments.status();
    EXPECT_TRUE(arguments->help);
  }
}

TEST_F(ArgumentsTest, AfterTwoDashesEverythingIsAPath) {
  tree_.MakeDirectory("--help");
  const absl::StatusOr<Arguments> arguments = Parse({"--", "--help"});
  ASSERT_TRUE(arguments.ok()) << arguments.status();
  EXPECT_EQ(arguments->directory, tree_.Path("--help"));
}

TEST_F(ArgumentsTest, RefusalsNameTheArgumentAndTheRemedy) {
  struct Case {
    std::vector<std::string> words;
    std::string named;
    std::string remedy;
  };
  const std::vector<Case> cases = {
      {{"--fast"}, "unknown flag --fast", "--help"},
      {{"-x"}, "unknown flag -x", "--help"},
      {{"--batch"}, "--batch needs a value", "--batch=VALUE"},
      {{"--batch=0"}, "--batch=0", "from 1 to 256"},
      {{"--batch=257"}, "--batch=257", "from 1 to 256"},
      {{"--batch=+8"}, "--batch=+8", "whole number"},
      {{"--batch="}, "--batch=", "whole number"},
      {{"--batch=8", "--batch=9"}, "--batch is given twice", "once"},
      {{"--timeout=0"}, "--timeout=0", "from 1"},
      {{"--timeout=99999999999999999999"}, "--timeout=99999999999999999999", "from 1"},
      {{"--timeout=1.5"}, "--timeout=1.5", "whole number"},
      {{"--max-file=-1"}, "--max-file=-1", "from 1"},
      {{"/no/such/directory"}, "/no/such/directory: No such file", "give a directory that exists"},
      {{"file"}, "file is not a directory", tree_.root()},
      {{""}, "empty word", "give its path"},
      {{"sources", "/usr"}, "two directories, sources and /usr", "give one"},
      {{"--output="}, "--output= is empty", "give the path"},
      {{"--output=sources"}, "is a directory", "sources/summary.txt"},
      {{"--output=new/"}, "--output=", "a directory that exists"},
      {{"--output=/no/such/directory/result"}, "/no/such/directory/result", "a directory that exists"},
  };
  for (const Case& bad : cases) {
    const absl::Status status = Parse(bad.words).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bad.words.front();
    EXPECT_NE(status.message().find(bad.named), std::string::npos) << status;
    EXPECT_NE(status.message().find(bad.remedy), std::string::npos) << status;
  }
}

TEST_F(ArgumentsTest, ADirectoryThatMayNotBeListedIsRefused) {
  if (geteuid() == 0) GTEST_SKIP() << "root may list everything";
  tree_.MakeDirectory("secret");
  std::filesystem::permissions(tree_.Path("secret"), std::filesystem::perms::none);
  const absl::Status status = Parse({"secret"}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_NE(status.message().find("run as a user who may"), std::string::npos) << status;
}

}  // namespace
}  // namespace agentos::quickstart
