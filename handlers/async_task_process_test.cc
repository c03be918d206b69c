// AsyncTaskManager::SpawnProcess: real programs, which end well, badly, late or not at all.

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/handlers/async_task_manager.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr Pid kPid = 7;
using Code = absl::StatusCode;

class AsyncTaskProcessTest : public testing::Test {
 protected:
  void SetUp() override { Make({}); }
  void TearDown() override {
    tasks_.reset();
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a program was not reaped";
    EXPECT_EQ(errno, ECHILD);
    EXPECT_EQ(OpenFds(), fds_);
  }

  void Make(AsyncTaskManagerOptions options) {
    tasks_.reset();
    options.grace = absl::Milliseconds(50);
    absl::StatusOr<std::unique_ptr<AsyncTaskManager>> tasks = AsyncTaskManager::Create(std::move(options));
    ASSERT_TRUE(tasks.ok()) << tasks.status();
    tasks_ = *std::move(tasks);
  }

  AsyncTaskId Start(ProcessRequest request) {
    const absl::StatusOr<AsyncTaskId> id = tasks_->SpawnProcess(kPid, std::move(request));
    EXPECT_TRUE(id.ok()) << id.status();
    return id.value_or(0);
  }
  AsyncTaskStatus Run(ProcessRequest request) {
    absl::StatusOr<AsyncTaskStatus> ended = tasks_->Wait(Start(std::move(request)));
    EXPECT_TRUE(ended.ok()) << ended.status();
    return *std::move(ended);
  }
  static ProcessRequest Shell(std::string script) {
    ProcessRequest request;
    request.argv = {"/bin/sh", "-c", std::move(script)};
    return request;
  }
  // A file that a program makes when it has come so far.
  void AwaitFile(const std::string& path) const {
    while (access(path.c_str(), F_OK) != 0) sched_yield();
  }

  TempDir directory_;
  const size_t fds_ = OpenFds();
  std::unique_ptr<AsyncTaskManager> tasks_;
};

TEST_F(AsyncTaskProcessTest, GivesOutputsExitCodeAndUsage) {
  const AsyncTaskStatus ended = Run(Shell("echo out; echo err >&2"));
  EXPECT_EQ(ended.state, AsyncTaskState::kSucceeded) << ended.status;
  EXPECT_EQ(ended.name, "/bin/sh");
  EXPECT_EQ(ended.output, "out\n");
  ASSERT_TRUE(ended.process.has_value());
  EXPECT_EQ(ended.process->exit_code, 0);
  EXPECT_EQ(ended.process->standard_output, "out\n");
  EXPECT_EQ(ended.process->standard_error, "err\n");
  EXPECT_FALSE(ended.process->output_truncated);
  EXPECT_GT(ended.process->max_memory, 0u);
}

TEST_F(AsyncTaskProcessTest, ReadsItsInputAndMayIgnoreIt) {
  ProcessRequest sort;
  sort.argv = {"sort"};
  sort.input = "b\na\n";
  EXPECT_EQ(Run(std::move(sort)).output, "a\nb\n");
  ProcessRequest ignore = Shell("exec true");
  ignore.input = std::string(10 << 20, 'x');
  EXPECT_EQ(Run(std::move(ignore)).state, AsyncTaskState::kSucceeded);
  EXPECT_EQ(Run(Shell("cat")).output, "");
}

TEST_F(AsyncTaskProcessTest, HasTheEnvironmentDirectoryAndLimitsItWasGiven) {
  ProcessRequest request = Shell("echo $NAME; pwd; ulimit -n; ulimit -t");
  request.environment = std::vector<std::string>{"NAME=value"};
  request.working_directory = "/";
  request.limits.open_files = 33;
  request.limits.cpu_time = absl::Milliseconds(1500);
  EXPECT_EQ(Run(std::move(request)).output, "value\n/\n33\n2\n");
}

TEST_F(AsyncTaskProcessTest, InheritsNoDescriptorsAndNoSignalMask) {
  // Not close-on-exec, as a careless library would open it.
  const Fd careless(open("/dev/null", O_RDONLY));
  const AsyncTaskStatus ended = Run(Shell("ls /proc/self/fd | wc -l; grep SigBlk /proc/self/status"));
  // 0, 1, 2, and the directory that ls reads.
  EXPECT_EQ(ended.output, "4\nSigBlk:\t0000000000000000\n");
}

TEST_F(AsyncTaskProcessTest, AnExitCodeOrASignalIsAFailureThatSaysSo) {
  const AsyncTaskStatus exited = Run(Shell("exit 3"));
  EXPECT_EQ(exited.state, AsyncTaskState::kFailed);
  EXPECT_EQ(exited.process->exit_code, 3);
  EXPECT_EQ(exited.status.message(), "/bin/sh exited with 3");
  const AsyncTaskStatus killed = Run(Shell("kill -SEGV $$"));
  EXPECT_EQ(killed.process->signal, SIGSEGV);
  EXPECT_EQ(killed.process->exit_code, -1);
  EXPECT_EQ(killed.status.message(), "/bin/sh was ended by SIGSEGV");
}

TEST_F(AsyncTaskProcessTest, WhatCannotBeStartedSaysWhy) {
  ProcessRequest missing;
  missing.argv = {"/no/such/program"};
  const AsyncTaskStatus ended = Run(std::move(missing));
  EXPECT_EQ(ended.state, AsyncTaskState::kFailed);
  EXPECT_TRUE(absl::IsNotFound(ended.status)) << ended.status;
  EXPECT_NE(ended.status.message().find("/no/such/program"), absl::string_view::npos) << ended.status;
  EXPECT_FALSE(ended.process.has_value());
  ProcessRequest nowhere = Shell("true");
  nowhere.working_directory = "/no/such/directory";
  EXPECT_NE(Run(std::move(nowhere)).status.message().find("chdir"), absl::string_view::npos);
}

TEST_F(AsyncTaskProcessTest, BadRequestsAreRefusedByField) {
  EXPECT_TRUE(Refused(tasks_->SpawnProcess(kPid, {}).status(), Code::kInvalidArgument, {"argv"}));
  ProcessRequest request = Shell("true");
  request.environment = std::vector<std::string>{"no equals sign"};
  EXPECT_TRUE(Refused(tasks_->SpawnProcess(kPid, std::move(request)).status(), Code::kInvalidArgument, {"no equals sign"}));
  request = Shell(std::string("a\0b", 3));
  EXPECT_TRUE(Refused(tasks_->SpawnProcess(kPid, std::move(request)).status(), Code::kInvalidArgument, {"NUL"}));
  request = Shell("true");
  request.timeout = absl::ZeroDuration();
  EXPECT_TRUE(Refused(tasks_->SpawnProcess(kPid, std::move(request)).status(), Code::kInvalidArgument, {"timeout"}));
}

TEST_F(AsyncTaskProcessTest, OutputBeyondTheLimitIsReadAndThrownAway) {
  ProcessRequest request = Shell("head -c 1000000 /dev/zero; echo end >&2");
  request.max_output = 1000;
  const AsyncTaskStatus ended = Run(std::move(request));
  EXPECT_EQ(ended.state, AsyncTaskState::kSucceeded);
  EXPECT_EQ(ended.output.size(), 1000u);
  EXPECT_TRUE(ended.process->output_truncated);
  EXPECT_EQ(ended.process->standard_error, "end\n");
}

TEST_F(AsyncTaskProcessTest, OneThatRunsTooLongIsStopped) {
  ProcessRequest request = Shell("echo begun; sleep 1000");
  request.timeout = absl::Milliseconds(100);
  const AsyncTaskStatus ended = Run(std::move(request));
  EXPECT_TRUE(absl::IsDeadlineExceeded(ended.status)) << ended.status;
  EXPECT_EQ(ended.state, AsyncTaskState::kFailed);
  EXPECT_EQ(ended.process->signal, SIGTERM);
}

TEST_F(AsyncTaskProcessTest, CancelTellsItAndThenKillsIt) {
  const std::string ready = directory_.Path("ready");
  const AsyncTaskId polite =
      Start(Shell(absl::StrCat("trap 'echo bye; exit 9' TERM; touch ", ready, "; while :; do sleep 0.01; done")));
  AwaitFile(ready);
  EXPECT_TRUE(tasks_->Cancel(polite).ok());
  const absl::StatusOr<AsyncTaskStatus> left = tasks_->Wait(polite);
  EXPECT_EQ(left->state, AsyncTaskState::kCancelled);
  EXPECT_EQ(left->process->exit_code, 9);
  EXPECT_EQ(left->output, "bye\n");

  const std::string stubborn_ready = directory_.Path("stubborn");
  const AsyncTaskId stubborn =
      Start(Shell(absl::StrCat("trap '' TERM; touch ", stubborn_ready, "; while :; do sleep 0.01; done")));
  AwaitFile(stubborn_ready);
  EXPECT_TRUE(tasks_->Cancel(stubborn).ok());
  EXPECT_EQ(tasks_->Wait(stubborn)->process->signal, SIGKILL);
}

TEST_F(AsyncTaskProcessTest, WhomItLeavesBehindInItsGroupGoesToo) {
  // The outputs stay open as long as the one in the background lives.
  const AsyncTaskStatus ended = Run(Shell("sleep 1000 & echo $!"));
  EXPECT_EQ(ended.state, AsyncTaskState::kSucceeded);
  EXPECT_FALSE(ended.process->output_truncated);
  const pid_t left = std::stoi(ended.output);
  while (kill(left, 0) == 0) sched_yield();
}

TEST_F(AsyncTaskProcessTest, ManyRunButNoMoreThanMay) {
  Make({.processes = 2});
  std::vector<AsyncTaskId> ids;
  for (int i = 0; i < 20; ++i) ids.push_back(Start(Shell(absl::StrCat("echo ", i))));
  EXPECT_LE(tasks_->Stats().running, 2u);
  for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(tasks_->Wait(ids[i])->output, absl::StrCat(i, "\n"));
}

TEST_F(AsyncTaskProcessTest, ShutdownEndsWhatRunsAndWhatWaits) {
  Make({.processes = 1});
  Start(Shell("sleep 1000"));
  Start(Shell("sleep 1000"));
  EXPECT_TRUE(tasks_->Shutdown().ok());
  for (const AsyncTaskStatus& task : tasks_->List(kPid)) EXPECT_EQ(task.state, AsyncTaskState::kCancelled);
}

TEST_F(AsyncTaskProcessTest, UsesTheRingsItIsGiven) {
  absl::StatusOr<std::unique_ptr<IoUringManager>> made = IoUringManager::Create();
  ASSERT_TRUE(made.ok());
  std::shared_ptr<IoUringManager> rings = *std::move(made);
  Make({.rings = rings, .ring_pid = 99});
  EXPECT_EQ(Run(Shell("echo out")).output, "out\n");
  EXPECT_GT(rings->Stats().total_completions, 0u);
  EXPECT_TRUE(rings->HasRing(99));
  Make({.rings = rings, .ring_pid = 99});
  // A ring that somebody has already is an error, not a surprise.
  ASSERT_TRUE(rings->CreateRing(99).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Run(Shell("echo out")).status));
  tasks_.reset();
}

}  // namespace
}  // namespace agentos
