// Confined operations where the kernel cannot confine: refused, never weakened. In children that have made the calls fail for
// themselves; this process must not have asked the kernel before, as a child would inherit the answer.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
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

absl::StatusOr<std::unique_ptr<IoUringManager>> Make(Threading threading) {
  IoUringManagerOptions options;
  options.threading = threading;
  return IoUringManager::Create(options);
}

// The completion's message, "" for a success. An fd in it is closed.
std::string MessageOf(IoUringManager& manager, Entry entry) {
  const bool opens = entry.kind() == OperationKind::kOpen;
  const absl::StatusOr<Seq> seq = manager.Submit(kPid, std::move(entry));
  if (!seq.ok()) return seq.status().ToString();
  const absl::StatusOr<Done> done = manager.WaitCompletion(kPid, *seq);
  if (!done.ok()) return done.status().ToString();
  if (opens && done->status.is_success()) const Fd closes(static_cast<int>(done->result.value()));
  return done->status.error_message();
}

class ConfinementRefusedTest : public testing::TestWithParam<Threading> {
 protected:
  void SetUp() override {
    Spill(directory_.Path("file"), "inside");
    ASSERT_EQ(mkfifo(directory_.Path("fifo").c_str(), 0600), 0);
    root_ = Fd(open(directory_.Path("").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }

  TempDir directory_;
  Fd root_;
};

TEST_P(ConfinementRefusedTest, P15IsENOSYSWhereOpenat2IsMissingForbiddenOrPassesOverTheFlag) {
  for (int error_number : {ENOSYS, EPERM, EINVAL, 0}) {
    const std::string answer = RunInChild([this, error_number]() -> std::string {
      const auto manager = Make(GetParam());
      if (!manager.ok()) return manager.status().ToString();
      if (std::string failed = Forbid(SYS_openat2, error_number); !failed.empty()) return failed;
      std::vector<Entry> entries;
      entries.push_back(Entry::OpenBeneath(kPid, root_.get(), "file", O_RDONLY, 0, 0));
      entries.push_back(Entry::OpenBeneath(kPid, root_.get(), "new", O_RDWR | O_CREAT, 0600, 0));
      entries.push_back(Entry::OpenBeneath(kPid, root_.get(), "fifo", O_RDONLY, 0, 0));
      entries.push_back(Entry::ReadFileBeneath(kPid, root_.get(), "file", 0));
      entries.push_back(Entry::WriteFileBeneath(kPid, root_.get(), "file", "x", 0));
      entries.push_back(Entry::WriteFileBeneath(kPid, root_.get(), "file", "x", {.atomic = true}, 0));
      entries.push_back(Entry::WriteFileBeneath(kPid, root_.get(), "new", "x", {.durable = true}, 0));
      for (Entry& entry : entries) {
        const std::string message = MessageOf(**manager, std::move(entry));
        if (!absl::StrContains(message, "ENOSYS")) return absl::StrCat("not refused: ", message);
      }
      // Others go on.
      if (std::string failed = MessageOf(**manager, Entry::ReadFile(kPid, directory_.Path("file"), 0)); !failed.empty())
        return failed;
      return MessageOf(**manager, Entry::WriteFile(kPid, directory_.Path("other"), "x", {.atomic = true}, 0));
    });
    EXPECT_EQ(answer, "") << error_number;
    EXPECT_EQ(Slurp(directory_.Path("file")), "inside");
    EXPECT_NE(access(directory_.Path("new").c_str(), F_OK), 0);
  }
}

// Where io_uring does not say which opcodes it has, a worker opens instead; a FIFO, which could keep the worker for ever, is
// refused.
TEST_P(ConfinementRefusedTest, P15WhereTheRingCannotSayAWorkerOpens) {
  const std::string answer = RunInChild([this]() -> std::string {
    if (std::string failed = Forbid(SYS_io_uring_register, EPERM); !failed.empty()) return failed;
    const auto manager = Make(GetParam());
    if (!manager.ok()) return manager.status().ToString();
    const size_t fds = OpenFds();
    for (int i = 0; i < 10; ++i) {
      if (std::string failed = MessageOf(**manager, Entry::OpenBeneath(kPid, root_.get(), "file", O_RDONLY, 0, 0));
          !failed.empty()) {
        return failed;
      }
    }
    if (OpenFds() != fds) return "descriptors leaked";
    const std::string leaves = MessageOf(**manager, Entry::OpenBeneath(kPid, root_.get(), "../x", O_RDONLY, 0, 0));
    if (!absl::StrContains(leaves, "EXDEV")) return absl::StrCat("led out: ", leaves);
    if ((*manager)->Executor().kind != ExecutorKind::kIoUring) return "";
    const std::string waits = MessageOf(**manager, Entry::OpenBeneath(kPid, root_.get(), "fifo", O_RDONLY, 0, 0));
    return absl::StrContains(waits, "ENOSYS") ? "" : absl::StrCat("the FIFO: ", waits);
  });
  EXPECT_EQ(answer, "");
}

INSTANTIATE_TEST_SUITE_P(Threading, ConfinementRefusedTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
