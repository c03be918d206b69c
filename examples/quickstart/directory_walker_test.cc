#include "agentos/examples/quickstart/directory_walker.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "agentos/examples/quickstart/temporary_tree.h"
#include "gtest/gtest.h"

namespace agentos::quickstart {
namespace {

using Skip = DirectoryWalker::Skip;

// Everything the walker finds, below the root, sorted.
std::vector<std::string> WalkAll(DirectoryWalker* walker, const std::string& root) {
  std::vector<std::string> names;
  for (std::vector<FoundFile> files = walker->Next(7, 1 << 20); !files.empty(); files = walker->Next(7, 1 << 20)) {
    EXPECT_LE(files.size(), 7u);
    for (const FoundFile& file : files) names.push_back(file.path.substr(root.size() + 1));
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(DirectoryWalker, FindsRegularFilesOnly) {
  TemporaryTree tree;
  tree.Write("a", "1");
  tree.Write("sub/deep/b", "");
  tree.MakeDirectory("empty");
  std::filesystem::create_symlink(tree.Path("a"), tree.Path("link to a file"));
  std::filesystem::create_directory_symlink(tree.root(), tree.Path("sub/link to the root"));
  ASSERT_EQ(mkfifo(tree.Path("fifo").c_str(), 0600), 0);

  DirectoryWalker walker(tree.root(), Skip::kNothing);
  EXPECT_EQ(WalkAll(&walker, tree.root()), (std::vector<std::string>{"a", "sub/deep/b"}));
  EXPECT_EQ(walker.failures().count(), 0u);
}

TEST(DirectoryWalker, AnEmptyDirectoryHasNoFiles) {
  TemporaryTree tree;
  DirectoryWalker walker(tree.root(), Skip::kNothing);
  EXPECT_TRUE(walker.Next(10, 1).empty());
  EXPECT_TRUE(walker.Next(10, 1).empty());
}

TEST(DirectoryWalker, SkipsVersionControlAndBuildOutputWhenAsked) {
  TemporaryTree tree;
  tree.Write("source", "1");
  tree.Write(".git/config", "1");
  tree.Write("bazel-out/object", "1");
  tree.Write(".github/workflow", "1");

  DirectoryWalker sources(tree.root(), Skip::kVersionControlAndBuildOutput);
  EXPECT_EQ(WalkAll(&sources, tree.root()), (std::vector<std::string>{".github/workflow", "source"}));
  DirectoryWalker everything(tree.root(), Skip::kNothing);
  EXPECT_EQ(WalkAll(&everything, tree.root()).size(), 4u);
}

TEST(DirectoryWalker, FollowsALinkThatIsTheRootItself) {
  TemporaryTree tree;
  tree.Write("real/file", "1");
  std::filesystem::create_directory_symlink(tree.Path("real"), tree.Path("link"));
  DirectoryWalker walker(tree.Path("link"), Skip::kNothing);
  EXPECT_EQ(WalkAll(&walker, tree.Path("link")), std::vector<std::string>{"file"});
}

TEST(DirectoryWalker, EndsABatchWhenItsFilesAreLarge) {
  TemporaryTree tree;
  for (int i = 0; i < 10; ++i) tree.Write(std::to_string(i), std::string(1000, 'x'));
  DirectoryWalker walker(tree.root(), Skip::kNothing);
  EXPECT_EQ(walker.Next(100, 2500).size(), 3u);
  EXPECT_EQ(walker.Next(100, 1).size(), 1u);
  EXPECT_EQ(walker.Next(100, 1 << 20).size(), 6u);
}

TEST(DirectoryWalker, AVanishedDirectoryIsAFailureAndNotTheEnd) {
  TemporaryTree tree;
  tree.Write("stays/file", "1");
  tree.Write("goes/file", "1");
  tree.Write("top", "1");
  DirectoryWalker walker(tree.root(), Skip::kNothing);
  // The root's own files come first; its directories have been seen by then, or will be.
  ASSERT_EQ(walker.Next(1, 1 << 20).size(), 1u);
  std::filesystem::remove_all(tree.Path("goes"));
  const std::vector<std::string> rest = WalkAll(&walker, tree.root());
  EXPECT_EQ(rest, std::vector<std::string>{"stays/file"});
  EXPECT_LE(walker.failures().count(), 1u);
}

TEST(DirectoryWalker, APathThatNoSystemCallTakesIsAFailure) {
  TemporaryTree tree;
  const std::string name(200, 'd');
  const auto start = std::filesystem::current_path();
  std::filesystem::current_path(tree.root());
  // Made step by step: no path of this length can be named at once.
  for (int i = 0; i < 25; ++i) {
    ASSERT_EQ(mkdir(name.c_str(), 0700), 0);
    std::filesystem::current_path(name);
  }
  std::filesystem::current_path(start);
  DirectoryWalker walker(tree.root(), Skip::kNothing);
  EXPECT_TRUE(walker.Next(10, 1).empty());
  ASSERT_EQ(walker.failures().count(), 1u);
  EXPECT_NE(walker.failures().kept()[0].find("too long"), std::string::npos);
}

}  // namespace
}  // namespace agentos::quickstart
