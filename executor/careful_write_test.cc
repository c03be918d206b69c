// WriteFile with options by plain calls: what stands after a success, after every error, and who sees what meanwhile.

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "agentos/executor/plain_file_calls.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr operation::WriteFile::Options kAtomic = {.atomic = true};
constexpr operation::WriteFile::Options kDurable = {.durable = true};
constexpr operation::WriteFile::Options kBoth = {.atomic = true, .durable = true};

FileCallResult Write(const std::string& path, absl::string_view data, const operation::WriteFile::Options& options) {
  return WriteWholeFile({.path = path.c_str()}, data, options);
}

std::vector<std::string> NamesIn(const std::string& directory) {
  std::vector<std::string> names;
  DIR* dir = opendir(directory.c_str());
  while (const dirent* entry = readdir(dir)) {
    if (absl::string_view(entry->d_name) != "." && absl::string_view(entry->d_name) != "..") names.emplace_back(entry->d_name);
  }
  closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

mode_t ModeOf(const std::string& path) {
  struct stat status = {};
  EXPECT_EQ(lstat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

ino_t InodeOf(const std::string& path) {
  struct stat status = {};
  EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
  return status.st_ino;
}

class CarefulWriteTest : public testing::Test {
 protected:
  void SetUp() override { fds_before_ = OpenFds(); }
  void TearDown() override { EXPECT_EQ(OpenFds(), fds_before_) << "descriptors leaked"; }

  std::string Path(absl::string_view name) const { return directory_.Path(name); }
  std::vector<std::string> Names() const { return NamesIn(Path("")); }

  // The old content stands, and nothing lies beside it.
  void ExpectUntouched(const FileCallResult& result, int error_number, const std::string& name, absl::string_view content) {
    EXPECT_EQ(result.error_number, error_number) << std::strerror(result.error_number);
    EXPECT_EQ(result.value, 0);
    EXPECT_EQ(Slurp(Path(name)), content);
    for (const std::string& left : Names()) EXPECT_FALSE(absl::EndsWith(left, ".tmp")) << left;
  }

  TempDir directory_;
  size_t fds_before_ = 0;
};

TEST_F(CarefulWriteTest, P12WritesEverythingWithEveryOption) {
  for (const auto& options : {kAtomic, kDurable, kBoth}) {
    for (size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{3'000'001}}) {
      const FileCallResult result = Write(Path("file"), Content(size), options);
      EXPECT_EQ(result.error_number, 0);
      EXPECT_EQ(result.value, static_cast<int64_t>(size));
      EXPECT_TRUE(Slurp(Path("file")) == Content(size));
      EXPECT_EQ(Names(), std::vector<std::string>{"file"});
    }
    ASSERT_EQ(unlink(Path("file").c_str()), 0);
  }
}

TEST_F(CarefulWriteTest, AtomicPutsAnotherFileInItsPlaceAndDurableKeepsIt) {
  Spill(Path("file"), "old");
  const ino_t before = InodeOf(Path("file"));
  EXPECT_EQ(Write(Path("file"), "durable", kDurable).error_number, 0);
  EXPECT_EQ(InodeOf(Path("file")), before);
  EXPECT_EQ(Write(Path("file"), "atomic", kAtomic).error_number, 0);
  EXPECT_NE(InodeOf(Path("file")), before);
  EXPECT_EQ(Slurp(Path("file")), "atomic");
}

TEST_F(CarefulWriteTest, AtomicLeavesTheOldContentToThoseWhoHaveItOpen) {
  Spill(Path("file"), "old content");
  ASSERT_EQ(link(Path("file").c_str(), Path("other name").c_str()), 0);
  const Fd reader(open(Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(Write(Path("file"), "new", kAtomic).value, 3);
  EXPECT_EQ(ReadAll(reader.get(), 100), "old content");
  EXPECT_EQ(Slurp(Path("other name")), "old content");
  EXPECT_EQ(Slurp(Path("file")), "new");
}

TEST_F(CarefulWriteTest, AtomicTakesOverThePermissionsOfTheOldFile) {
  for (mode_t mode : {mode_t{0600}, mode_t{0640}, mode_t{0777}, mode_t{04755}}) {
    Spill(Path("file"), "old");
    ASSERT_EQ(chmod(Path("file").c_str(), mode), 0);
    EXPECT_EQ(Write(Path("file"), "new", kAtomic).error_number, 0);
    EXPECT_EQ(ModeOf(Path("file")), mode & 0777);
  }
}

TEST_F(CarefulWriteTest, ANewFileHas0644AndTheUmask) {
  for (const auto& options : {kAtomic, kDurable, kBoth}) {
    for (mode_t mask : {mode_t{0}, mode_t{027}, mode_t{077}}) {
      const mode_t before = umask(mask);
      EXPECT_EQ(Write(Path("file"), "x", options).error_number, 0);
      umask(before);
      EXPECT_EQ(ModeOf(Path("file")), 0644u & ~mask);
      ASSERT_EQ(unlink(Path("file").c_str()), 0);
    }
  }
}

TEST_F(CarefulWriteTest, FollowsLinksToTheFileAndLeavesThem) {
  ASSERT_EQ(mkdir(Path("a").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(Path("b").c_str(), 0755), 0);
  Spill(Path("b/file"), "old");
  ASSERT_EQ(symlink("../b/second", Path("a/first").c_str()), 0);
  ASSERT_EQ(symlink(Path("b/file").c_str(), Path("b/second").c_str()), 0);
  ASSERT_EQ(symlink("a", Path("same").c_str()), 0);
  for (const auto& options : {kAtomic, kDurable, kBoth}) {
    const std::string content = absl::StrCat(options.atomic, options.durable);
    EXPECT_EQ(Write(Path("same/first"), content, options).error_number, 0);
    EXPECT_EQ(Slurp(Path("b/file")), content);
  }
  char target[64];
  EXPECT_EQ(readlink(Path("a/first").c_str(), target, sizeof(target)), 11);
  EXPECT_GT(readlink(Path("b/second").c_str(), target, sizeof(target)), 0);
  EXPECT_EQ(NamesIn(Path("a")), std::vector<std::string>{"first"});
  EXPECT_EQ(NamesIn(Path("b")), (std::vector<std::string>{"file", "second"}));
}

TEST_F(CarefulWriteTest, MakesTheFileThatALinkLeadsTo) {
  for (const auto& options : {kAtomic, kDurable}) {
    ASSERT_EQ(symlink("target", Path("link").c_str()), 0);
    EXPECT_EQ(Write(Path("link"), "content", options).error_number, 0);
    EXPECT_EQ(Slurp(Path("target")), "content");
    EXPECT_EQ(Names(), (std::vector<std::string>{"link", "target"}));
    ASSERT_EQ(unlink(Path("link").c_str()), 0);
    ASSERT_EQ(unlink(Path("target").c_str()), 0);
  }
}

TEST_F(CarefulWriteTest, TakesPathsThatAreRelativeToTheWorkingDirectory) {
  const Fd before(open(".", O_PATH | O_CLOEXEC));
  ASSERT_EQ(chdir(Path("").c_str()), 0);
  for (const auto& options : {kAtomic, kDurable, kBoth}) {
    EXPECT_EQ(Write("file", "content", options).error_number, 0);
    EXPECT_EQ(Slurp(Path("file")), "content");
    ASSERT_EQ(unlink("file"), 0);
  }
  ASSERT_EQ(fchdir(before.get()), 0);
}

TEST_F(CarefulWriteTest, RefusesWhatHasNoPlaceForTheFile) {
  ASSERT_EQ(symlink("loop", Path("loop").c_str()), 0);
  Spill(Path("file"), "old");
  for (const auto& options : {kAtomic, kDurable, kBoth}) {
    EXPECT_EQ(Write(Path("missing/file"), "x", options).error_number, ENOENT);
    EXPECT_EQ(Write(Path("file/below"), "x", options).error_number, ENOTDIR);
    EXPECT_EQ(Write(Path("loop"), "x", options).error_number, ELOOP);
    EXPECT_EQ(Write(Path(std::string(256, 'n')), "x", options).error_number, ENAMETOOLONG);
    EXPECT_EQ(Write("/", "x", options).error_number, EISDIR);
    for (const char* name : {"", ".", "..", "missing/", "./."}) {
      EXPECT_EQ(Write(Path(name), "x", options).error_number, EISDIR) << name;
    }
    EXPECT_EQ(Write(Path("missing/.."), "x", options).error_number, ENOENT);
  }
  EXPECT_EQ(Names(), (std::vector<std::string>{"file", "loop"}));
}

TEST_F(CarefulWriteTest, AtomicReplacesNothingButRegularFiles) {
  ASSERT_EQ(mkdir(Path("directory").c_str(), 0755), 0);
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  ASSERT_EQ(symlink("/dev/null", Path("null").c_str()), 0);
  EXPECT_EQ(Write(Path("directory"), "x", kAtomic).error_number, EISDIR);
  EXPECT_EQ(Write(Path("fifo"), "x", kAtomic).error_number, EINVAL);
  EXPECT_EQ(Write(Path("null"), "x", kAtomic).error_number, EINVAL);
  struct stat status;
  ASSERT_EQ(stat("/dev/null", &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
  EXPECT_EQ(Names(), (std::vector<std::string>{"directory", "fifo", "null"}));
}

TEST_F(CarefulWriteTest, DurableReportsWhatCannotBeFlushed) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(Write(Path("fifo"), "x", kDurable).error_number, ENXIO) << "a FIFO that nobody reads";
  const Fd reader(open(Path("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const FileCallResult result = Write(Path("fifo"), "hello", kDurable);
  EXPECT_EQ(result.error_number, EINVAL);
  EXPECT_EQ(result.value, 5);
  EXPECT_EQ(ReadAll(reader.get(), 5), "hello");
  EXPECT_EQ(Write("/dev/full", "x", kDurable).error_number, ENOSPC);
}

TEST_F(CarefulWriteTest, AtomicKeepsTheOldContentWhenTheFileMayNotBeThatLarge) {
  Spill(Path("file"), "old");
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler_before = signal(SIGXFSZ, SIG_IGN);
  const rlimit little = {60'000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &little), 0);
  const FileCallResult replacing = Write(Path("file"), Content(100'000), kAtomic);
  const FileCallResult making = Write(Path("new"), Content(100'000), kBoth);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler_before);
  ExpectUntouched(replacing, EFBIG, "file", "old");
  EXPECT_EQ(making.error_number, EFBIG);
  EXPECT_EQ(Names(), std::vector<std::string>{"file"});
}

// In a child with a mount namespace of its own, so that nothing outside sees the file system, and the child's end takes it away.
TEST_F(CarefulWriteTest, AtomicKeepsTheOldContentOnAFullDisk) {
  const std::string directory = Path("");
  const std::string answer = RunInChild([directory]() -> std::string {
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
      return absl::StrCat("skip: unshare: ", std::strerror(errno));
    }
    mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    if (mount("tmpfs", directory.c_str(), "tmpfs", 0, "size=64k") != 0) {
      return absl::StrCat("skip: mount: ", std::strerror(errno));
    }
    const std::string file = absl::StrCat(directory, "/file");
    if (Write(file, "old", kAtomic).error_number != 0) return "the first write failed";
    for (const auto& options : {kAtomic, kBoth}) {
      for (const std::string& path : {file, absl::StrCat(directory, "/new")}) {
        const FileCallResult result = Write(path, Content(1'000'000), options);
        if (result.error_number != ENOSPC) return absl::StrCat(path, ": ", std::strerror(result.error_number));
        if (result.value != 0) return absl::StrCat(path, ": counts ", result.value, " bytes");
        if (Slurp(file) != "old") return "the old content is gone";
        if (NamesIn(directory) != std::vector<std::string>{"file"}) return "something was left beside it";
      }
    }
    // The room is there again.
    if (Write(file, Content(30'000), kBoth).error_number != 0) return "no room was left";
    const FileCallResult plain = Write(file, Content(1'000'000), kDurable);
    if (plain.error_number != ENOSPC || plain.value == 0) return "a plain write should have come half-way";
    return Slurp(file) == Content(1'000'000).substr(0, static_cast<size_t>(plain.value)) ? "" : "half-way is something else";
  });
  if (absl::StartsWith(answer, "skip: ")) GTEST_SKIP() << answer;
  EXPECT_EQ(answer, "");
}

// Root may do everything: a child gives up what makes it so.
TEST_F(CarefulWriteTest, AtomicNeedsTheRightToWriteTheFileAndItsDirectory) {
  for (const char* name : {"closed", "open"}) {
    ASSERT_EQ(mkdir(Path(name).c_str(), 0755), 0);
    Spill(Path(absl::StrCat(name, "/file")), "old");
  }
  Spill(Path("open/protected"), "old");
  ASSERT_EQ(chmod(Path("open/protected").c_str(), 0444), 0);
  ASSERT_EQ(chmod(Path("closed").c_str(), 0555), 0);
  const std::string answer = RunInChild([this]() -> std::string {
    __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct none[2] = {};
    if (syscall(SYS_capset, &header, none) != 0) return absl::StrCat("capset: ", std::strerror(errno));
    for (const auto& options : {kAtomic, kBoth}) {
      if (Write(Path("open/protected"), "new", options).error_number != EACCES)
        return "a file that may not be written was replaced";
      if (Write(Path("open/file"), "new", options).error_number != 0) return "a file that may be written was not replaced";
      if (Write(Path("closed/file"), "new", options).error_number != EACCES) return "wrote into a closed directory";
      if (Write(Path("closed/new"), "new", options).error_number != EACCES) return "made a file in a closed directory";
    }
    // In place, the file's own permissions count.
    if (Write(Path("closed/file"), "in place", kDurable).error_number != 0) return "the file alone was to be written";
    if (Write(Path("open/protected"), "in place", kDurable).error_number != EACCES) return "a protected file was written";
    // A directory that may not be read cannot be flushed, but written.
    if (chmod(Path("open").c_str(), 0333) != 0) return "chmod";
    const int unreadable = Write(Path("open/file"), "unread", kAtomic).error_number;
    const int unflushable = Write(Path("open/file"), "both", kBoth).error_number;
    if (chmod(Path("open").c_str(), 0755) != 0) return "chmod";
    if (unreadable != 0) return "a directory that is not read need not be readable";
    return unflushable == EACCES ? "" : "a directory was flushed that may not be read";
  });
  EXPECT_EQ(answer, "");
  EXPECT_EQ(Slurp(Path("open/protected")), "old");
  EXPECT_EQ(Slurp(Path("open/file")), "unread");
  EXPECT_EQ(Slurp(Path("closed/file")), "in place");
  EXPECT_EQ(NamesIn(Path("closed")), std::vector<std::string>{"file"});
  EXPECT_EQ(NamesIn(Path("open")), (std::vector<std::string>{"file", "protected"}));
  ASSERT_EQ(chmod(Path("closed").c_str(), 0755), 0);
}

TEST_F(CarefulWriteTest, EveryReadSeesOneWholeVersionWhileTwoThreadsReplaceTheFile) {
  constexpr int kTimes = 500;
  constexpr size_t kSize = 20'000;
  const std::string path = Path("file");
  Spill(path, std::string(kSize, 'z'));
  std::atomic<int> writers{2};
  const auto write = [&](char first) {
    for (int i = 0; i < kTimes; ++i) {
      // Lengths differ too.
      const std::string content(kSize + static_cast<size_t>(i), static_cast<char>(first + i % 10));
      const FileCallResult result = Write(path, content, kAtomic);
      EXPECT_EQ(result.error_number, 0) << std::strerror(result.error_number);
    }
    --writers;
  };
  std::thread one(write, 'a');
  std::thread two(write, 'A');
  size_t reads = 0;
  for (; writers > 0; ++reads) {
    const FileCallResult read = ReadWholeFile({.path = path.c_str()}, size_t{1} << 20, PooledBuffer());
    ASSERT_EQ(read.error_number, 0);
    const absl::string_view content = read.data.view();
    ASSERT_GE(content.size(), kSize);
    ASSERT_EQ(content.find_first_not_of(content[0]), absl::string_view::npos) << "a mixture of two versions";
    const size_t version = content[0] == 'z' ? 0 : static_cast<size_t>((content[0] | 0x20) - 'a');
    ASSERT_EQ((content.size() - kSize) % 10, version);
  }
  one.join();
  two.join();
  EXPECT_GT(reads, 0u);
  EXPECT_EQ(Names(), std::vector<std::string>{"file"});
}

}  // namespace
}  // namespace agentos
