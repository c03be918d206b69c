// Which executor runs, who may force it, and what happens where io_uring is not to be had (P15).

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr char kVariable[] = "AGENTOS_URING_EXECUTOR";

// What a manager's making answers where io_uring_setup fails with `error_number`.
std::string CreateWithout(unsigned system_call, int error_number, ExecutorKind kind, Threading threading) {
  return RunInChild([=] {
    if (std::string failed = Forbid(system_call, error_number); !failed.empty()) return failed;
    IoUringManagerOptions options;
    options.executor = kind;
    options.threading = threading;
    const size_t fds = OpenFds();
    const auto manager = IoUringManager::Create(options);
    if (manager.ok()) return absl::StrCat("a manager with ", (*manager)->Executor().name, ": ", (*manager)->Executor().reason);
    if (OpenFds() != fds) return std::string("descriptors leaked");
    return manager.status().ToString();
  });
}

class ExecutorChoiceTest : public testing::TestWithParam<Threading> {
 protected:
  void SetUp() override { unsetenv(kVariable); }
  void TearDown() override { unsetenv(kVariable); }

  static absl::StatusOr<std::unique_ptr<IoUringManager>> Make(ExecutorKind kind) {
    IoUringManagerOptions options;
    options.executor = kind;
    options.threading = GetParam();
    return IoUringManager::Create(options);
  }

  static void ExpectRuns(const absl::StatusOr<std::unique_ptr<IoUringManager>>& manager, ExecutorKind kind,
                         std::initializer_list<absl::string_view> because) {
    ASSERT_TRUE(manager.ok()) << manager.status();
    const ExecutorInfo info = (*manager)->Executor();
    EXPECT_EQ(info.kind, kind);
    EXPECT_EQ(info.name, kind == ExecutorKind::kIoUring ? "io_uring" : "threads");
    for (const absl::string_view reason : because) EXPECT_TRUE(absl::StrContains(info.reason, reason)) << info.reason;
    const absl::StatusOr<Seq> seq = (*manager)->Submit(kPid, Entry::Nop(kPid, 0));
    ASSERT_TRUE(seq.ok()) << seq.status();
    EXPECT_TRUE(Succeeded((*manager)->WaitCompletion(kPid, *seq).value_or(Done())));
  }
  static void ExpectIoUring(const absl::StatusOr<std::unique_ptr<IoUringManager>>& manager, const std::string& because) {
    ExpectRuns(manager, ExecutorKind::kIoUring, {because, "io_uring_setup"});
  }
  static void ExpectThreads(const absl::StatusOr<std::unique_ptr<IoUringManager>>& manager, const std::string& because) {
    ExpectRuns(manager, ExecutorKind::kThreadPool, {because, "epoll", "threads"});
  }
};

TEST_P(ExecutorChoiceTest, P15SaysWhichExecutorRunsAndWhy) {
  ExpectIoUring(Make(ExecutorKind::kAuto), "probing");
  ExpectIoUring(Make(ExecutorKind::kIoUring), "IoUringManagerOptions.executor");
  setenv(kVariable, "", 1);
  ExpectIoUring(Make(ExecutorKind::kAuto), "probing");
}

TEST_P(ExecutorChoiceTest, P15TheEnvironmentVariableWinsOverTheOption) {
  setenv(kVariable, "io_uring", 1);
  ExpectIoUring(Make(ExecutorKind::kAuto), absl::StrCat(kVariable, "=io_uring"));
  ExpectIoUring(Make(ExecutorKind::kThreadPool), absl::StrCat(kVariable, "=io_uring"));
}

TEST_P(ExecutorChoiceTest, P15NonsenseInTheEnvironmentIsInvalidArgumentThatQuotesIt) {
  for (const char* nonsense : {"nonsense", "IO_URING", "io_uring ", "thread_pool", "0", "auto"}) {
    setenv(kVariable, nonsense, 1);
    for (ExecutorKind kind : {ExecutorKind::kAuto, ExecutorKind::kIoUring}) {
      EXPECT_TRUE(Refused(Make(kind).status(), absl::StatusCode::kInvalidArgument,
                          {kVariable, absl::StrCat("\"", nonsense, "\""), "io_uring", "threads"}));
    }
  }
}

TEST_P(ExecutorChoiceTest, P15ThreadsCanBeForcedByTheOptionAndByTheEnvironment) {
  ExpectThreads(Make(ExecutorKind::kThreadPool), "IoUringManagerOptions.executor");
  setenv(kVariable, "threads", 1);
  for (ExecutorKind kind : {ExecutorKind::kAuto, ExecutorKind::kIoUring}) {
    ExpectThreads(Make(kind), absl::StrCat(kVariable, "=threads"));
  }
}

// Each errno that io_uring_setup fails with, and what the reason names beside it.
struct Refusal {
  int error_number;
  const char* status;
  std::initializer_list<const char*> named;
};
const Refusal kRefusals[] = {
    {EPERM, "PERMISSION_DENIED", {"EPERM", "seccomp", "kernel.io_uring_disabled", "allow"}},
    {ENOSYS, "UNIMPLEMENTED", {"ENOSYS", "no io_uring"}},
    {ENOMEM, "RESOURCE_EXHAUSTED", {"ENOMEM", "RLIMIT_MEMLOCK"}},
    {EMFILE, "RESOURCE_EXHAUSTED", {"EMFILE", "RLIMIT_NOFILE"}},
    {EIO, "", {"EIO"}},
};

TEST_P(ExecutorChoiceTest, P15WhereIoUringIsRefusedThreadsTakeOverAndTheReasonIsNamed) {
  for (const Refusal& refusal : kRefusals) {
    const std::string answer = CreateWithout(SYS_io_uring_setup, refusal.error_number, ExecutorKind::kAuto, GetParam());
    EXPECT_TRUE(absl::StrContains(answer, "a manager with threads")) << answer;
    EXPECT_TRUE(absl::StrContains(answer, "io_uring_setup: ")) << answer;
    for (const char* named : refusal.named) EXPECT_TRUE(absl::StrContains(answer, named)) << answer << " does not name " << named;
  }
}

TEST_P(ExecutorChoiceTest, P15WhereIoUringIsRefusedItCannotBeForced) {
  for (const Refusal& refusal : kRefusals) {
    const std::string answer = CreateWithout(SYS_io_uring_setup, refusal.error_number, ExecutorKind::kIoUring, GetParam());
    for (const char* named : {refusal.status, "io_uring_setup: ", "IoUringManagerOptions.executor"}) {
      EXPECT_TRUE(absl::StrContains(answer, named)) << answer << " does not name " << named;
    }
    for (const char* named : refusal.named) EXPECT_TRUE(absl::StrContains(answer, named)) << answer << " does not name " << named;
  }
}

// A profile may allow the set-up and forbid the rest.
TEST_P(ExecutorChoiceTest, P15WhereOnlyRegisteringIsForbiddenAManagerWorksWithoutIt) {
  const Threading threading = GetParam();
  const std::string answer = RunInChild([threading] {
    if (std::string failed = Forbid(SYS_io_uring_register, EPERM); !failed.empty()) return failed;
    IoUringManagerOptions options;
    options.threading = threading;
    const auto manager = IoUringManager::Create(options);
    if (!manager.ok()) return manager.status().ToString();
    const auto seq = (*manager)->Submit(kPid, Entry::ReadFile(kPid, "/proc/version", 0));
    if (!seq.ok()) return seq.status().ToString();
    const auto done = (*manager)->WaitCompletion(kPid, *seq);
    if (!done.ok()) return done.status().ToString();
    return done->result.data() == Slurp("/proc/version") ? std::string() : done->status.error_message();
  });
  EXPECT_EQ(answer, "");
}

TEST_P(ExecutorChoiceTest, P15WhereOnlyEnteringIsForbiddenThreadsTakeOver) {
  const std::string answer = CreateWithout(SYS_io_uring_enter, EPERM, ExecutorKind::kAuto, GetParam());
  for (const char* named : {"a manager with threads", "io_uring_enter", "EPERM"}) {
    EXPECT_TRUE(absl::StrContains(answer, named)) << answer << " does not name " << named;
  }
}

// A program with all kinds of operations, in a process that has no io_uring.
TEST_P(ExecutorChoiceTest, P15WithoutIoUringOperationsWork) {
  const Threading threading = GetParam();
  const TempDir dir;
  const std::string answer = RunInChild([&]() -> std::string {
    if (std::string failed = Forbid(SYS_io_uring_setup, EPERM); !failed.empty()) return failed;
    IoUringManagerOptions options;
    options.threading = threading;
    const auto manager = IoUringManager::Create(options);
    if (!manager.ok()) return manager.status().ToString();
    const auto run = [&](Entry entry) {
      const auto seq = (*manager)->Submit(kPid, std::move(entry));
      if (!seq.ok()) return Done();
      return (*manager)->WaitCompletion(kPid, *seq).value_or(Done());
    };
    if (!Succeeded(run(Entry::WriteFile(kPid, dir.Path("file"), "content", 0)), 7)) return "WriteFile";
    if (run(Entry::ReadFile(kPid, dir.Path("file"), 0)).result.data() != "content") return "ReadFile";
    const Pair sockets = MakeSocketPair(SOCK_STREAM);
    const auto pending = (*manager)->Submit(kPid, Entry::Recv(kPid, sockets.first.get(), 10, 0, 0));
    if (!Succeeded(run(Entry::Send(kPid, sockets.second.get(), Bytes("hello"), 0, 0)), 5)) return "Send";
    const auto received = (*manager)->WaitCompletion(kPid, pending.value_or(0));
    if (!received.ok() || received->result.data() != "hello") return "Recv";
    return "";
  });
  EXPECT_EQ(answer, "");
}

INSTANTIATE_TEST_SUITE_P(Threading, ExecutorChoiceTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
