// CopyTree, checked by diff -r.

#include "agentos/examples/tree_copy/tree_copy.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "agentos/handlers/async_ring_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class TreeCopyTest : public AsyncRingFixture {
 protected:
  // A tree with files of many sizes, empty directories, links, and names that shells stumble over.
  void MakeTree(const std::string& root) {
    std::filesystem::create_directories(absl::StrCat(root, "/a/b/c"));
    std::filesystem::create_directories(absl::StrCat(root, "/empty"));
    std::filesystem::create_directories(absl::StrCat(root, "/ strange\nname"));
    for (int i = 0; i < 600; ++i) {
      const char* directory = i % 3 == 0 ? "/a/b/" : i % 3 == 1 ? "/a/" : "/ strange\nname/";
      Spill(absl::StrCat(root, directory, i), Content(static_cast<size_t>(i * 37)));
    }
    Spill(absl::StrCat(root, "/large"), Content((3 << 20) + 5));
    Spill(absl::StrCat(root, "/script"), "#!/bin/sh\n");
    chmod(absl::StrCat(root, "/script").c_str(), 0755);
    std::filesystem::create_symlink("a/b", absl::StrCat(root, "/link"));
    std::filesystem::create_symlink("nowhere", absl::StrCat(root, "/dangling"));
  }

  TreeCopyResult Copy(const std::string& from, const std::string& to, TreeCopyOptions options = {}) {
    return ring().RunUntilComplete(CopyTree(ring(), from, to, std::move(options)));
  }

  static bool SameTrees(const std::string& a, const std::string& b) {
    return std::system(absl::StrCat("diff -r --no-dereference '", a, "' '", b, "'").c_str()) == 0;
  }
};

TEST_P(TreeCopyTest, TheCopyIsTheSameByDiff) {
  MakeTree(Path("from"));
  for (const size_t parallel : {1, 7, 256}) {
    SCOPED_TRACE(parallel);
    const std::string to = Path(absl::StrCat("to", parallel));
    const TreeCopyResult copied = Copy(Path("from"), to, {.parallel = parallel});
    EXPECT_TRUE(copied.status.ok()) << copied.status;
    EXPECT_TRUE(copied.problems.empty()) << copied.problems.front();
    EXPECT_EQ(copied.files, 602u);
    EXPECT_EQ(copied.directories, 6u);
    EXPECT_EQ(copied.links, 2u);
    EXPECT_TRUE(SameTrees(Path("from"), to));
    struct stat status {};
    ASSERT_EQ(stat(absl::StrCat(to, "/script").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0111, 0111u);
  }
}

TEST_P(TreeCopyTest, ReplacesWhatIsThere) {
  MakeTree(Path("from"));
  EXPECT_TRUE(Copy(Path("from"), Path("to")).status.ok());
  Spill(Path("to/a/1"), Content(100'000));
  EXPECT_TRUE(Copy(Path("from"), Path("to")).problems.empty());
  EXPECT_TRUE(SameTrees(Path("from"), Path("to")));
}

TEST_P(TreeCopyTest, WhatCannotBeCopiedIsNamedAndTheRestIs) {
  MakeTree(Path("from"));
  ASSERT_EQ(mkfifo(Path("from/fifo").c_str(), 0600), 0);
  std::filesystem::create_directories(Path("to/a/1"));
  const TreeCopyResult copied = Copy(Path("from"), Path("to"));
  EXPECT_TRUE(copied.status.ok());
  ASSERT_EQ(copied.problems.size(), 2u);
  EXPECT_EQ(copied.files, 601u);
}

TEST_P(TreeCopyTest, WhatCannotBeginSaysWhy) {
  Spill(Path("file"), "x");
  std::filesystem::create_directories(Path("from"));
  EXPECT_TRUE(absl::IsNotFound(Copy(Path("missing"), Path("to")).status));
  EXPECT_TRUE(absl::IsFailedPrecondition(Copy(Path("file"), Path("to")).status));
  EXPECT_TRUE(absl::IsInvalidArgument(Copy(Path("from"), Path("from/inner")).status));
  EXPECT_TRUE(absl::IsInvalidArgument(Copy(Path("from"), Path("from")).status));
}

TEST_P(TreeCopyTest, StopsBetweenBatches) {
  MakeTree(Path("from"));
  std::stop_source stop;
  const TreeCopyResult copied =
      Copy(Path("from"), Path("to"),
           {.parallel = 10, .progress = [&](const TreeCopyResult&) { stop.request_stop(); }, .stop = stop.get_token()});
  EXPECT_TRUE(absl::IsCancelled(copied.status));
  EXPECT_LT(copied.files, 600u);
}

INSTANTIATE_TEST_SUITE_P(Threading, TreeCopyTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
