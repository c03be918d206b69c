#include "agentos/examples/quickstart/run.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agentos/examples/quickstart/temporary_tree.h"
#include "gtest/gtest.h"

namespace agentos::quickstart {
namespace {

size_t OpenFds() {
  const std::filesystem::directory_iterator fds("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(fds), end(fds)));
}

std::string Content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class QuickstartTest : public testing::Test {
 protected:
  QuickstartTest() {
    tree_.MakeDirectory("read");
    tree_.MakeDirectory("work");
    surroundings_ = {
        .working_directory = tree_.root(), .workspace_directory = tree_.Path("read"), .temporary_directory = tree_.Path("work")};
  }

  int RunWith(const std::vector<std::string>& words) {
    out_.str("");
    err_.str("");
    return quickstart::Run(words, surroundings_, {&out_, &err_, false});
  }

  void ExpectOut(const std::string& text) { EXPECT_NE(out_.str().find(text), std::string::npos) << text << "\n" << out_.str(); }

  TemporaryTree tree_;
  Surroundings surroundings_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(QuickstartTest, ReadsATreeThroughBothRingsAndShowsTheRest) {
  uint64_t bytes = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string content = absl::StrCat("line\n", std::string(static_cast<size_t>(i), 'x'));
    tree_.Write(absl::StrCat("read/", i % 7, "/", i), content);
    bytes += content.size();
  }
  tree_.Write("read/empty file", "");
  tree_.MakeDirectory("read/empty directory");
  std::filesystem::create_directory_symlink(tree_.root(), tree_.Path("read/link"));

  const size_t fds = OpenFds();
  ASSERT_EQ(RunWith({"--output=result", "--batch=16"}), kExitDone) << out_.str() << err_.str();
  EXPECT_EQ(OpenFds(), fds);
  EXPECT_EQ(err_.str(), "");
  ExpectOut("1,001 files, ");
  ExpectOut("process 2 read the same back");
  ExpectOut("sent 36 bytes and got the same back");
  ExpectOut("received \"good day\" from pid:1");
  ExpectOut("No such file or directory (ENOENT)");
  ExpectOut("ops per second");
  ExpectOut("Entries per kernel entry: ");
  ExpectOut("IoUringManager::Stats():");
  EXPECT_EQ(Content(tree_.Path("result")), absl::StrCat("directory: ", tree_.Path("read"), "\nfiles read: 1001\nbytes: ", bytes,
                                                        "\nlines: 1000\nfailures: 0\n"));
}

TEST_F(QuickstartTest, ReadsAnEmptyDirectory) {
  ASSERT_EQ(RunWith({}), kExitDone) << out_.str() << err_.str();
  ExpectOut("0 files, 0 B, 0 lines");
  ExpectOut(absl::StrCat("to ", tree_.Path("work"), "/agentos_quickstart."));
}

TEST_F(QuickstartTest, AFileThatCannotBeReadIsListedAndNotTheEnd) {
  tree_.Write("read/large", std::string((size_t{1} << 20) + 1, 'x'));
  tree_.Write("read/at the limit", std::string(size_t{1} << 20, 'x'));
  tree_.Write("read/with a \x1b[31m name", std::string(size_t{2} << 20, 'x'));
  ASSERT_EQ(RunWith({"--max-file=1", "--output=result"}), kExitDone) << out_.str() << err_.str();
  ExpectOut("1 file, 1.0 MiB");
  ExpectOut("2 failures:");
  ExpectOut("EFBIG");
  EXPECT_EQ(out_.str().find('\x1b'), std::string::npos);
  EXPECT_NE(Content(tree_.Path("result")).find("failures: 2\n  ReadFile("), std::string::npos);
}

TEST_F(QuickstartTest, ReadsFilesOfProc) { ASSERT_EQ(RunWith({"/proc/self/net"}), kExitDone) << out_.str() << err_.str(); }

TEST_F(QuickstartTest, OverwritesTheResultFile) {
  tree_.Write("result", std::string(10000, 'x'));
  ASSERT_EQ(RunWith({"--output=result"}), kExitDone) << out_.str() << err_.str();
  EXPECT_EQ(Content(tree_.Path("result")).find("xxxx"), std::string::npos);
}

TEST_F(QuickstartTest, AStepThatFailsIsShownAndTheOthersGoOn) {
  surroundings_.temporary_directory = "/no/such/directory";
  EXPECT_EQ(RunWith({}), kExitStepFailed);
  ExpectOut("Write result  FAILED: ");
  ExpectOut("received \"good day\" from pid:1");
}

TEST_F(QuickstartTest, BadArgumentsGoToStderrWithExitCode2) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--fast"}, {"/no/such/directory"}, {"read", "work"}, {"--batch=0"}, {""}}) {
    EXPECT_EQ(RunWith(words), kExitBadArguments) << words.front();
    EXPECT_EQ(out_.str(), "");
    EXPECT_TRUE(err_.str().starts_with("quickstart: ")) << err_.str();
  }
}

TEST_F(QuickstartTest, HelpGoesToStdout) {
  EXPECT_EQ(RunWith({"--help"}), kExitDone);
  EXPECT_EQ(err_.str(), "");
  for (const char* text : {"Usage: ", "--output", "--batch", "--timeout", "--max-file", "DIRECTORY", "Exit code"})
    ExpectOut(text);
}

}  // namespace
}  // namespace agentos::quickstart
