// Open, ReadFile and WriteFile beneath a directory, through the manager: no path leaves it, whoever executes it and whatever is
// renamed meanwhile. What they answer where the kernel cannot confine is in confinement_refused_test.cc.

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr operation::WriteFile::Options kAtomic = {.atomic = true};
constexpr operation::WriteFile::Options kDurable = {.durable = true};

class ConfinementTest : public ManagerTest {
 protected:
  void SetUp() override {
    ManagerTest::SetUp();
    ASSERT_EQ(mkdir(Path("root").c_str(), 0755), 0);
    ASSERT_EQ(mkdir(Path("root/a").c_str(), 0755), 0);
    ASSERT_EQ(mkdir(Path("outside").c_str(), 0755), 0);
    Spill(Path("secret"), "outside");
    Spill(Path("root/file"), "inside");
    root_ = Fd(open(Path("root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  void TearDown() override {
    root_.Reset();
    ManagerTest::TearDown();
  }

  // Every way to come to a file.
  std::vector<Entry> EveryKind(const std::string& path) const {
    std::vector<Entry> entries;
    entries.push_back(Entry::OpenBeneath(kPid, root_.get(), path, O_RDONLY, 0, 0));
    entries.push_back(Entry::OpenBeneath(kPid, root_.get(), path, O_WRONLY | O_CREAT, 0644, 1));
    entries.push_back(Entry::ReadFileBeneath(kPid, root_.get(), path, 2));
    entries.push_back(Entry::WriteFileBeneath(kPid, root_.get(), path, "x", {}, 3));
    entries.push_back(Entry::WriteFileBeneath(kPid, root_.get(), path, "x", kAtomic, 4));
    entries.push_back(Entry::WriteFileBeneath(kPid, root_.get(), path, "x", kDurable, 5));
    return entries;
  }

  Fd root_;
};

TEST_P(ConfinementTest, WorksBeneathTheDirectory) {
  ASSERT_EQ(symlink("../file", Path("root/a/link").c_str()), 0);
  for (const char* path : {"file", "a/../file", "a/link"}) {
    SCOPED_TRACE(path);
    Done opened = Run(Entry::OpenBeneath(kPid, root_.get(), path, O_RDONLY, 0, 7));
    ASSERT_TRUE(Succeeded(opened));
    EXPECT_EQ(opened.user_data, 7u);
    const Fd fd(static_cast<int>(opened.result.value()));
    EXPECT_EQ(ReadAll(fd.get(), 100), "inside");
    EXPECT_EQ(fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(Run(Entry::ReadFileBeneath(kPid, root_.get(), path, 0)).result.data(), "inside");
    for (const auto& options : {operation::WriteFile::Options(), kAtomic, kDurable}) {
      const std::string content = absl::StrCat(path, options.atomic, options.durable);
      EXPECT_TRUE(Succeeded(Run(Entry::WriteFileBeneath(kPid, root_.get(), path, Bytes(content), options, 0))));
      EXPECT_EQ(Slurp(Path("root/file")), content);
    }
    Spill(Path("root/file"), "inside");
  }
  EXPECT_TRUE(Succeeded(Run(Entry::WriteFileBeneath(kPid, root_.get(), "a/new", "new", 0)), 3));
  EXPECT_EQ(Slurp(Path("root/a/new")), "new");
}

TEST_P(ConfinementTest, NothingLeadsOut) {
  ASSERT_EQ(symlink("../secret", Path("root/relative").c_str()), 0);
  ASSERT_EQ(symlink(Path("secret").c_str(), Path("root/absolute").c_str()), 0);
  ASSERT_EQ(symlink("..", Path("root/up").c_str()), 0);
  ASSERT_EQ(symlink("../outside/new", Path("root/dangling").c_str()), 0);
  for (const char* path :
       {"..", "../secret", "a/../../secret", "relative", "absolute", "up/secret", "up/outside/new", "dangling"}) {
    SCOPED_TRACE(path);
    for (const Done& done : RunBatch(EveryKind(path))) {
      EXPECT_TRUE(FailedWith(done, EXDEV)) << done.user_data;
      EXPECT_TRUE(absl::StrContains(done.status.error_message(), absl::StrCat(path, " beneath fd ", root_.get())))
          << done.status.error_message();
    }
  }
  EXPECT_EQ(Slurp(Path("secret")), "outside");
  EXPECT_EQ(rmdir(Path("outside").c_str()), 0) << "something was made outside";
}

TEST_P(ConfinementTest, MagicLinksLeadNowhere) {
  const Fd secret(open(Path("secret").c_str(), O_RDWR | O_CLOEXEC));
  root_ = Fd(open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));
  for (const Done& done : RunBatch(EveryKind(absl::StrCat("fd/", secret.get())))) {
    EXPECT_TRUE(FailedWith(done, ELOOP)) << done.user_data;
  }
  EXPECT_EQ(Slurp(Path("secret")), "outside");
}

TEST_P(ConfinementTest, OtherErrorsAreTheKernels) {
  ASSERT_EQ(symlink("loop", Path("root/loop").c_str()), 0);
  for (const auto& [path, error_number] :
       {std::pair{"missing/file", ENOENT}, std::pair{"file/below", ENOTDIR}, std::pair{"loop", ELOOP}}) {
    for (const Done& done : RunBatch(EveryKind(path))) EXPECT_TRUE(FailedWith(done, error_number)) << path << done.user_data;
  }
  root_ = Fd(open(Path("secret").c_str(), O_RDONLY | O_CLOEXEC));
  for (const Done& done : RunBatch(EveryKind("file"))) EXPECT_TRUE(FailedWith(done, ENOTDIR)) << done.user_data;
  root_ = Fd();
  const int closed = ClosedFd();
  EXPECT_TRUE(FailedWith(Run(Entry::OpenBeneath(kPid, closed, "file", O_RDONLY, 0, 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::ReadFileBeneath(kPid, closed, "file", 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::WriteFileBeneath(kPid, closed, "file", "x", 0)), EBADF));
}

TEST_P(ConfinementTest, P2AnAbsolutePathAndABadDirectoryAreRefused) {
  for (Entry& entry : EveryKind(Path("root/file"))) {
    EXPECT_TRUE(Refused(manager().Submit(kPid, std::move(entry)).status(), absl::StatusCode::kInvalidArgument,
                        {"path", "absolute", "relative"}));
  }
  for (int fd : {-1, AT_FDCWD}) {
    EXPECT_TRUE(Refused(manager().Submit(kPid, Entry::OpenBeneath(kPid, fd, "file", O_RDONLY, 0, 0)).status(),
                        absl::StatusCode::kInvalidArgument, {"Open.beneath_fd", std::to_string(fd)}));
  }
}

// The classic way around a check by name: while "..", ".." is walked, the directory that they started from is somewhere else.
TEST_P(ConfinementTest, ADirectoryThatIsMovedAwayMeanwhileLeadsNowhere) {
  ASSERT_EQ(mkdir(Path("root/a/b").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(Path("outside/deep").c_str(), 0755), 0);
  // From root/a/b it is root/target, from outside/deep/moved/b outside/deep/target.
  Spill(Path("root/target"), "inside");
  Spill(Path("outside/deep/target"), "outside");
  std::atomic<bool> done{false};
  std::thread mover([this, &done] {
    const std::string in = Path("root/a");
    const std::string out = Path("outside/deep/moved");
    while (!done) {
      EXPECT_EQ(rename(in.c_str(), out.c_str()), 0);
      EXPECT_EQ(rename(out.c_str(), in.c_str()), 0);
    }
  });
  const std::string path = "a/b/../../target";
  const int rounds = kSanitized ? 30 : 150;
  size_t inside = 0;
  // The mover may not be running just now, and have left the directory outside.
  for (int round = 0; round < rounds || inside == 0; ++round) {
    std::vector<Entry> entries;
    for (int i = 0; i < 8; ++i) {
      entries.push_back(Entry::OpenBeneath(kPid, root_.get(), path, O_RDONLY, 0, 0));
      entries.push_back(Entry::ReadFileBeneath(kPid, root_.get(), path, 1));
    }
    entries.push_back(Entry::WriteFileBeneath(kPid, root_.get(), path, "inside", kAtomic, 2));
    entries.push_back(Entry::WriteFileBeneath(kPid, root_.get(), "a/b/../../made", "inside", 2));
    for (Done& entry : RunBatch(std::move(entries))) {
      if (entry.status.is_error()) {
        const int error_number = entry.status.error_number();
        EXPECT_TRUE(error_number == EXDEV || error_number == ENOENT) << entry.status.error_message();
        continue;
      }
      ++inside;
      if (entry.user_data == 0) {
        const Fd fd(static_cast<int>(entry.result.value()));
        EXPECT_EQ(ReadAll(fd.get(), 100), "inside");
      } else if (entry.user_data == 1) {
        EXPECT_EQ(entry.result.data(), "inside");
      }
    }
  }
  done = true;
  mover.join();
  EXPECT_EQ(Slurp(Path("outside/deep/target")), "outside");
  ASSERT_EQ(unlink(Path("outside/deep/target").c_str()), 0);
  EXPECT_EQ(rmdir(Path("outside/deep").c_str()), 0) << "something was made outside";
}

TEST_P(ConfinementTest, AnOpenOfAFifoWaitsForTheOtherEnd) {
  ASSERT_EQ(mkfifo(Path("root/fifo").c_str(), 0600), 0);
  const Seq reader = Submit(Entry::OpenBeneath(kPid, root_.get(), "fifo", O_RDONLY, 0, 0));
  EXPECT_TRUE(absl::IsDeadlineExceeded(manager().WaitCompletion(kPid, reader, absl::Milliseconds(20)).status()));
  EXPECT_EQ(Run(Entry::ReadFileBeneath(kPid, root_.get(), "file", 0)).result.data(), "inside") << "it holds up nobody";
  const Seq writer = Submit(Entry::OpenBeneath(kPid, root_.get(), "fifo", O_WRONLY, 0, 0));
  for (Seq seq : {reader, writer}) {
    const Done done = Wait(seq);
    if (!done.status.is_success()) ADD_FAILURE() << done.status.error_message();
    if (done.status.is_success()) close(static_cast<int>(done.result.value()));
  }
}

TEST_P(ConfinementTest, P9AnOpenThatWaitsIsCancelledAlsoByItsDirectory) {
  ASSERT_EQ(mkfifo(Path("root/fifo").c_str(), 0600), 0);
  const Seq first = Submit(Entry::OpenBeneath(kPid, root_.get(), "fifo", O_RDONLY, 0, 0));
  EXPECT_EQ(Reapable(), 0u);
  EXPECT_TRUE(manager().Cancel(kPid, first).ok());
  EXPECT_TRUE(WasCancelled(Wait(first)));
  const Seq second = Submit(Entry::OpenBeneath(kPid, root_.get(), "fifo", O_WRONLY, 0, 0));
  EXPECT_EQ(Reapable(), 0u);
  const absl::StatusOr<size_t> asked = manager().CancelFd(kPid, root_.get());
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_EQ(*asked, 1u);
  EXPECT_TRUE(WasCancelled(Wait(second)));
}

TEST_P(ConfinementTest, P8P11AnOpenThatWaitsEndsWithItsTimeoutOrItsRing) {
  ASSERT_EQ(mkfifo(Path("root/fifo").c_str(), 0600), 0);
  EXPECT_TRUE(FailedWith(Run(Entry::OpenBeneath(kPid, root_.get(), "fifo", O_RDONLY, 0, 0).WithTimeout(absl::Milliseconds(5))),
                         ETIMEDOUT));
  Submit(Entry::OpenBeneath(kPid, root_.get(), "fifo", O_RDONLY, 0, 0));
  Submit(Entry::OpenBeneath(kPid, root_.get(), "file", O_RDONLY, 0, 0));
  Submit(Entry::WriteFileBeneath(kPid, root_.get(), "file", "content", kAtomic, 0));
  EXPECT_TRUE(manager().DestroyRing(kPid).ok());
  EXPECT_EQ(FdsTo(Path("root/fifo")), 0u);
  EXPECT_EQ(FdsTo(Path("root/file")), 0u) << "an fd that nobody took";
}

// Whole files never wait for a FIFO, confined or not.
TEST_P(ConfinementTest, P12WholeFilesNeverHang) {
  ASSERT_EQ(mkfifo(Path("root/fifo").c_str(), 0600), 0);
  EXPECT_TRUE(Succeeded(Run(Entry::ReadFileBeneath(kPid, root_.get(), "fifo", 0)), 0));
  EXPECT_TRUE(FailedWith(Run(Entry::WriteFileBeneath(kPid, root_.get(), "fifo", "x", 0)), ENXIO));
  EXPECT_TRUE(FailedWith(Run(Entry::ReadFileBeneath(kPid, root_.get(), "a", 0)), EISDIR));
}

TEST_P(ConfinementTest, P7ChainsMixConfinedAndOther) {
  std::vector<Entry> chain;
  chain.push_back(Entry::WriteFileBeneath(kPid, root_.get(), "a/x", "content", kAtomic, 0).WithLink());
  chain.push_back(Entry::ReadFileBeneath(kPid, root_.get(), "a/x", 1).WithLink());
  chain.push_back(Entry::OpenBeneath(kPid, root_.get(), "../secret", O_RDONLY, 0, 2).WithLink());
  chain.push_back(Entry::Unlink(kPid, Path("secret"), 0, 3));
  const std::vector<Done> done = RunBatch(std::move(chain));
  EXPECT_TRUE(Succeeded(done[0], 7));
  EXPECT_EQ(done[1].result.data(), "content");
  EXPECT_TRUE(FailedWith(done[2], EXDEV));
  EXPECT_TRUE(WasCancelled(done[3]));
}

INSTANTIATE_TEST_SUITE_P(Threading, ConfinementTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
