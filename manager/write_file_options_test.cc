// WriteFile's options through the manager. What they do to the file is tested where it is done (executor/careful_write_test.cc);
// here, that they come along, that results and errors come back, and that other entries see whole files.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr operation::WriteFile::Options kAtomic = {.atomic = true};
constexpr operation::WriteFile::Options kDurable = {.durable = true};
constexpr operation::WriteFile::Options kBoth = {.atomic = true, .durable = true};

class WriteFileOptionsTest : public ManagerTest {
 protected:
  ino_t Inode() const {
    struct stat status = {};
    EXPECT_EQ(stat(Path("file").c_str(), &status), 0);
    return status.st_ino;
  }
};

TEST_P(WriteFileOptionsTest, P12WritesEverythingWithEveryOption) {
  for (const auto& options : {kAtomic, kDurable, kBoth}) {
    for (size_t size : {size_t{0}, size_t{10}, size_t{2'000'003}}) {
      const Done done = Run(Entry::WriteFile(kPid, Path("file"), Bytes(Content(size)), options, 9));
      EXPECT_TRUE(Succeeded(done, static_cast<int64_t>(size)));
      EXPECT_EQ(done.user_data, 9u);
      EXPECT_TRUE(Slurp(Path("file")) == Content(size));
    }
  }
}

TEST_P(WriteFileOptionsTest, OnlyAtomicPutsAnotherFileInItsPlace) {
  Spill(Path("file"), "old");
  const ino_t before = Inode();
  EXPECT_TRUE(Succeeded(Run(Entry::WriteFile(kPid, Path("file"), "plain", {}, 0))));
  EXPECT_TRUE(Succeeded(Run(Entry::WriteFile(kPid, Path("file"), "durable", kDurable, 0))));
  EXPECT_EQ(Inode(), before);
  // Its number stays taken while it is open.
  const Fd reader(open(Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(Succeeded(Run(Entry::WriteFile(kPid, Path("file"), "atomic", kAtomic, 0))));
  EXPECT_NE(Inode(), before);
  EXPECT_EQ(ReadAll(reader.get(), 100), "durable");
}

TEST_P(WriteFileOptionsTest, P12AfterAnErrorTheOldContentStands) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  const Done fifo = Run(Entry::WriteFile(kPid, Path("fifo"), "x", kAtomic, 0));
  EXPECT_TRUE(FailedWith(fifo, EINVAL));
  EXPECT_TRUE(absl::StrContains(fifo.status.error_message(), "fifo")) << fifo.status.error_message();
  EXPECT_TRUE(FailedWith(Run(Entry::WriteFile(kPid, Path(""), "x", kBoth, 0)), EISDIR));
  EXPECT_TRUE(FailedWith(Run(Entry::WriteFile(kPid, Path("missing/file"), "x", kBoth, 0)), ENOENT));
  EXPECT_TRUE(FailedWith(Run(Entry::WriteFile(kPid, "/dev/full", "x", kDurable, 0)), ENOSPC));
}

TEST_P(WriteFileOptionsTest, P9ACancelledOneIsDoneOrHasDoneNothing) {
  Spill(Path("file"), "old");
  const std::string content = Content(100'000);
  for (int round = 0; round < 20; ++round) {
    std::vector<Seq> seqs;
    for (int i = 0; i < 8; ++i) {
      seqs.push_back(Submit(Entry::WriteFile(kPid, Path(absl::StrCat("file", i)), Bytes(content), kAtomic, 0)));
    }
    for (size_t i = seqs.size(); i-- > 0;) {
      const absl::Status asked = manager().Cancel(kPid, seqs[i]);
      EXPECT_TRUE(asked.ok() || absl::IsNotFound(asked)) << asked;
    }
    for (size_t i = 0; i < seqs.size(); ++i) {
      const Done done = Wait(seqs[i]);
      const std::string path = Path(absl::StrCat("file", i));
      if (done.status.is_cancelled()) {
        EXPECT_NE(access(path.c_str(), F_OK), 0) << "cancelled and written";
      } else {
        EXPECT_TRUE(Succeeded(done, static_cast<int64_t>(content.size())));
        EXPECT_TRUE(Slurp(path) == content);
        ASSERT_EQ(unlink(path.c_str()), 0);
      }
    }
  }
  ASSERT_EQ(unlink(Path("file").c_str()), 0);
  // Nothing was left beside them.
  ASSERT_EQ(rmdir(Path("").c_str()), 0);
  ASSERT_EQ(mkdir(Path("").c_str(), 0755), 0);
}

TEST_P(WriteFileOptionsTest, P7AChainGoesOnOnlyWhenTheNewContentStands) {
  std::vector<Entry> good;
  good.push_back(Entry::WriteFile(kPid, Path("file"), "content", kBoth, 0).WithLink());
  good.push_back(Entry::ReadFile(kPid, Path("file"), 1));
  const std::vector<Done> read = RunBatch(std::move(good));
  EXPECT_TRUE(Succeeded(read[0], 7));
  EXPECT_EQ(read[1].result.data(), "content");

  std::vector<Entry> bad;
  bad.push_back(Entry::WriteFile(kPid, Path(""), "content", kBoth, 0).WithLink());
  bad.push_back(Entry::Unlink(kPid, Path("file"), 0, 1));
  const std::vector<Done> stopped = RunBatch(std::move(bad));
  EXPECT_TRUE(FailedWith(stopped[0], EISDIR));
  EXPECT_TRUE(WasCancelled(stopped[1]));
  EXPECT_EQ(Slurp(Path("file")), "content");
}

TEST_P(WriteFileOptionsTest, P12EveryReadFileSeesOneWholeVersion) {
  constexpr size_t kSize = 10'000;
  Spill(Path("file"), std::string(kSize, 'z'));
  for (int round = 0; round < 50; ++round) {
    std::vector<Entry> entries;
    for (int i = 0; i < 16; ++i) {
      const std::string content(kSize + static_cast<size_t>(i), static_cast<char>('a' + i));
      if (i % 2 == 0) entries.push_back(Entry::WriteFile(kPid, Path("file"), Bytes(content), kAtomic, 0));
      if (i % 2 == 1) entries.push_back(Entry::ReadFile(kPid, Path("file"), 1));
    }
    for (const Done& done : RunBatch(std::move(entries))) {
      ASSERT_TRUE(Succeeded(done));
      if (done.user_data == 0) continue;
      const absl::string_view content = done.result.data();
      ASSERT_GE(content.size(), kSize);
      ASSERT_EQ(content.find_first_not_of(content[0]), absl::string_view::npos) << "a mixture of two versions";
      ASSERT_EQ(content.size() - kSize, content[0] == 'z' ? 0 : static_cast<size_t>(content[0] - 'a'));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Threading, WriteFileOptionsTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
