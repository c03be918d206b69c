// Which executor runs, who may force it, and what a manager says that cannot have it (P15, as far as one executor goes).

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr char kVariable[] = "AGENTOS_URING_EXECUTOR";

// From here on this process's `system_call` fails with `error_number`; "" or why that cannot be had.
std::string Forbid(unsigned system_call, int error_number) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, system_call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error_number)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    return absl::StrCat("seccomp: ", std::strerror(errno));
  }
  return "";
}

// What a manager's making answers where io_uring_setup fails with `error_number`.
std::string CreateWithout(unsigned system_call, int error_number, ExecutorKind kind, Threading threading) {
  return RunInChild([=] {
    if (std::string failed = Forbid(system_call, error_number); !failed.empty()) return failed;
    IoUringManagerOptions options;
    options.executor = kind;
    options.threading = threading;
    const size_t fds = OpenFds();
    const auto manager = IoUringManager::Create(options);
    if (manager.ok()) return absl::StrCat("a manager with ", (*manager)->Executor().name);
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

  static void ExpectIoUring(const absl::StatusOr<std::unique_ptr<IoUringManager>>& manager, const std::string& because) {
    ASSERT_TRUE(manager.ok()) << manager.status();
    const ExecutorInfo info = (*manager)->Executor();
    EXPECT_EQ(info.kind, ExecutorKind::kIoUring);
    EXPECT_EQ(info.name, "io_uring");
    EXPECT_TRUE(absl::StrContains(info.reason, because)) << info.reason;
    EXPECT_TRUE(absl::StrContains(info.reason, "io_uring_setup")) << info.reason;
    const absl::StatusOr<Seq> seq = (*manager)->Submit(kPid, Entry::Nop(kPid, 0));
    ASSERT_TRUE(seq.ok()) << seq.status();
    EXPECT_TRUE(Succeeded((*manager)->WaitCompletion(kPid, *seq).value_or(Done())));
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

TEST_P(ExecutorChoiceTest, P15TheExecutorThatIsNotThereIsNamedWithWhoAskedForIt) {
  EXPECT_TRUE(Refused(Make(ExecutorKind::kThreadPool).status(), absl::StatusCode::kUnimplemented,
                      {"thread pool", "IoUringManagerOptions.executor"}));
  setenv(kVariable, "threads", 1);
  for (ExecutorKind kind : {ExecutorKind::kAuto, ExecutorKind::kIoUring}) {
    EXPECT_TRUE(
        Refused(Make(kind).status(), absl::StatusCode::kUnimplemented, {"thread pool", absl::StrCat(kVariable, "=threads")}));
  }
}

TEST_P(ExecutorChoiceTest, P15WhereSeccompForbidsIoUringTheCallTheErrnoAndTheRemedyAreNamed) {
  for (ExecutorKind kind : {ExecutorKind::kAuto, ExecutorKind::kIoUring}) {
    const std::string answer = CreateWithout(SYS_io_uring_setup, EPERM, kind, GetParam());
    for (const char* named : {"PERMISSION_DENIED", "io_uring_setup", "EPERM", "seccomp", "kernel.io_uring_disabled", "allow"}) {
      EXPECT_TRUE(absl::StrContains(answer, named)) << answer << " does not name " << named;
    }
  }
}

TEST_P(ExecutorChoiceTest, P15WhereTheKernelHasNoIoUringTheCallAndTheErrnoAreNamed) {
  for (ExecutorKind kind : {ExecutorKind::kAuto, ExecutorKind::kIoUring}) {
    const std::string answer = CreateWithout(SYS_io_uring_setup, ENOSYS, kind, GetParam());
    for (const char* named : {"UNIMPLEMENTED", "io_uring_setup", "ENOSYS", "no io_uring"}) {
      EXPECT_TRUE(absl::StrContains(answer, named)) << answer << " does not name " << named;
    }
  }
}

TEST_P(ExecutorChoiceTest, P15OtherErrnosAreNamedToo) {
  EXPECT_TRUE(absl::StrContains(CreateWithout(SYS_io_uring_setup, ENOMEM, ExecutorKind::kAuto, GetParam()), "RLIMIT_MEMLOCK"));
  EXPECT_TRUE(absl::StrContains(CreateWithout(SYS_io_uring_setup, EMFILE, ExecutorKind::kAuto, GetParam()), "RLIMIT_NOFILE"));
  EXPECT_TRUE(absl::StrContains(CreateWithout(SYS_io_uring_setup, EIO, ExecutorKind::kAuto, GetParam()), "EIO"));
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

TEST_P(ExecutorChoiceTest, P15WhereEnteringIsForbiddenAManagerIsRefusedOrEveryEntryEnds) {
  const std::string answer = CreateWithout(SYS_io_uring_enter, EPERM, ExecutorKind::kAuto, GetParam());
  EXPECT_TRUE(absl::StrContains(answer, "io_uring_enter") && absl::StrContains(answer, "EPERM")) << answer;
}

INSTANTIATE_TEST_SUITE_P(Threading, ExecutorChoiceTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
