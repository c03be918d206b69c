// What a confined open answers, by itself: every way out is closed, everything within is open.
//
// The kernel is asked once per process: the tests of the asking are in children of a process that has not asked (the first
// suite).

#include "agentos/executor/confined_open.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

TEST(AskingTest, IsRefusedWhereTheKernelCannot) {
  const Fd root(open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  // The last is a kernel that passes over the flag: ".." opens.
  for (int error_number : {ENOSYS, EPERM, EINVAL, EACCES, 0}) {
    const std::string answer = RunInChild([&root, error_number]() -> std::string {
      if (std::string failed = Forbid(SYS_openat2, error_number); !failed.empty()) return failed;
      for (int i = 0; i < 2; ++i) {
        if (WhyNotConfined() != ENOSYS) return "says that it confines";
        if (OpenBeneath(root.get(), "hostname", O_RDONLY | O_CLOEXEC, 0) != -ENOSYS) return "opens";
      }
      return "";
    });
    EXPECT_EQ(answer, "") << error_number;
  }
}

TEST(AskingTest, IsAskedAgainWhenDescriptorsHadRunOut) {
  const Fd root(open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const std::string answer = RunInChild([&root]() -> std::string {
    rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    const rlimit none = {0, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    const int error = WhyNotConfined();
    const int fd = OpenBeneath(root.get(), "hostname", O_RDONLY | O_CLOEXEC, 0);
    setrlimit(RLIMIT_NOFILE, &before);
    if (error == 0) return "asked before";
    if (error != EMFILE || fd != -EMFILE) return absl::StrCat("answers ", error, " and ", fd);
    return WhyNotConfined() == 0 ? "" : "has given up";
  });
  EXPECT_EQ(answer, "");
}

class ConfinedOpenTest : public testing::Test {
 protected:
  void SetUp() override {
    if (WhyNotConfined() != 0) GTEST_SKIP() << "this kernel does not confine";
    ASSERT_EQ(mkdir(Path("root").c_str(), 0755), 0);
    ASSERT_EQ(mkdir(Path("root/a").c_str(), 0755), 0);
    Spill(Path("secret"), "outside");
    Spill(Path("root/file"), "inside");
    root_ = Fd(open(Path("root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }

  std::string Path(absl::string_view name) const { return directory_.Path(name); }

  // The content, or "-errno".
  std::string Read(const std::string& path) const {
    const Fd fd(OpenBeneath(root_.get(), path.c_str(), O_RDONLY | O_CLOEXEC, 0));
    return fd.get() < 0 ? std::to_string(fd.get()) : ReadAll(fd.get(), 100);
  }

  TempDir directory_;
  Fd root_;
};

TEST_F(ConfinedOpenTest, OpensWhatLiesBeneath) {
  ASSERT_EQ(symlink("../file", Path("root/a/within").c_str()), 0);
  for (const char* path : {"file", "./file", "a/../file", "a//..//file", "a/within", "a/../a/within"}) {
    EXPECT_EQ(Read(path), "inside") << path;
  }
}

TEST_F(ConfinedOpenTest, NothingLeadsOut) {
  ASSERT_EQ(symlink("../secret", Path("root/relative").c_str()), 0);
  ASSERT_EQ(symlink(Path("secret").c_str(), Path("root/absolute").c_str()), 0);
  ASSERT_EQ(symlink(Path("root/file").c_str(), Path("root/absolute_within").c_str()), 0);
  ASSERT_EQ(symlink("..", Path("root/up").c_str()), 0);
  const std::string leaves = std::to_string(-EXDEV);
  for (const char* path : {"..", "../secret", "a/../../secret", "a/../../root/file", "/etc/passwd", "relative", "absolute",
                           "absolute_within", "up/secret", "up", "up/root/file"}) {
    EXPECT_EQ(Read(path), leaves) << path;
  }
  EXPECT_EQ(OpenBeneath(root_.get(), "../new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), -EXDEV);
  EXPECT_NE(access(Path("new").c_str(), F_OK), 0);
}

TEST_F(ConfinedOpenTest, MagicLinksLeadNowhere) {
  const Fd proc(open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const Fd secret(open(Path("secret").c_str(), O_RDONLY | O_CLOEXEC));
  for (const std::string& path : {absl::StrCat("fd/", secret.get()), std::string("root/etc/passwd"), std::string("exe"),
                                  std::string("cwd"), absl::StrCat("fd/", root_.get(), "/file")}) {
    EXPECT_EQ(OpenBeneath(proc.get(), path.c_str(), O_RDONLY | O_CLOEXEC, 0), -ELOOP) << path;
  }
  const Fd plain(OpenBeneath(proc.get(), "status", O_RDONLY | O_CLOEXEC, 0));
  EXPECT_GE(plain.get(), 0) << "what is no link is open";
}

TEST_F(ConfinedOpenTest, ErrorsAreTheKernels) {
  ASSERT_EQ(symlink("loop", Path("root/loop").c_str()), 0);
  EXPECT_EQ(Read("missing"), std::to_string(-ENOENT));
  EXPECT_EQ(Read("file/below"), std::to_string(-ENOTDIR));
  EXPECT_EQ(Read("loop"), std::to_string(-ELOOP));
  EXPECT_EQ(OpenBeneath(ClosedFd(), "file", O_RDONLY, 0), -EBADF);
  const Fd file(open(Path("secret").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(OpenBeneath(file.get(), "file", O_RDONLY, 0), -ENOTDIR);
  EXPECT_EQ(OpenBeneath(root_.get(), "file", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), -EEXIST);
}

// openat2 refuses what open(2) passes over.
TEST_F(ConfinedOpenTest, FlagsMeanWhatTheyMeanToOpen) {
  struct stat status;
  const Fd made(OpenBeneath(root_.get(), "made", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(fstat(made.get(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  // A mode, and nothing to make.
  EXPECT_EQ(Read("file"), "inside");
  const Fd reader(OpenBeneath(root_.get(), "file", O_RDONLY | O_CLOEXEC, 0644));
  EXPECT_GE(reader.get(), 0);
  // Beside O_PATH open(2) looks at few flags.
  const Fd held(OpenBeneath(root_.get(), "file", O_PATH | O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  EXPECT_GE(held.get(), 0);
  EXPECT_EQ(Slurp(Path("root/file")), "inside");
  const Fd directory(OpenBeneath(root_.get(), "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0755));
  EXPECT_GE(directory.get(), 0);
  const Fd nameless(OpenBeneath(root_.get(), "a", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  EXPECT_TRUE(nameless.get() >= 0 || nameless.get() == -EOPNOTSUPP) << nameless.get();
}

}  // namespace
}  // namespace agentos
