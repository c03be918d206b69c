#include "agentos/handlers/syscall.h"

#include <fcntl.h>

#include <cerrno>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agentos/ring/submission_entry.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

TEST(SyscallTest, EveryOneKnowsItsNameAndWhereItsTimeGoes) {
  struct Expected {
    Syscall syscall;
    const char* name;
    bool io_bound;
  };
  std::vector<Expected> all;
  const auto add = [&](Syscall syscall, const char* name, bool io_bound) { all.push_back({std::move(syscall), name, io_bound}); };
  add(Syscall::ReadFile("/p"), "ReadFile", true);
  add(Syscall::WriteFile("/p", "data"), "WriteFile", true);
  add(Syscall::Open("/p", O_RDONLY, 0), "Open", true);
  add(Syscall::Close(3), "Close", false);
  add(Syscall::Read(3, 10, 0), "Read", true);
  add(Syscall::Write(3, "data", 0), "Write", true);
  add(Syscall::Fsync(3), "Fsync", true);
  add(Syscall::Lseek(3, 0, SEEK_SET), "Lseek", false);
  add(Syscall::Send(3, "data", 0), "Send", true);
  add(Syscall::Recv(3, 10, 0), "Recv", true);
  add(Syscall::Accept(3), "Accept", true);
  add(Syscall::Connect(3, "unix:@a"), "Connect", true);
  add(Syscall::SendTo(3, "data", "unix:@a", 0), "SendTo", true);
  add(Syscall::RecvFrom(3, 10, 0), "RecvFrom", true);
  add(Syscall::IpcSend(8, "data"), "IpcSend", true);
  add(Syscall::IpcRecv(10), "IpcRecv", true);
  add(Syscall::Sleep(absl::Seconds(1)), "Sleep", false);
  add(Syscall::GetProcessInfo(8), "ProcessInfo", false);
  add(Syscall::Named("Llm", "prompt"), "Llm", false);
  for (const Expected& expected : all) {
    EXPECT_EQ(expected.syscall.name(), expected.name);
    EXPECT_EQ(expected.syscall.is_io_bound(), expected.io_bound) << expected.name;
    const absl::StatusOr<SyscallSubmissionEntry> entry = expected.syscall.ToEntry(7, 5);
    ASSERT_EQ(entry.ok(), expected.syscall.operation() != nullptr) << expected.name;
    if (!entry.ok()) continue;
    EXPECT_EQ(entry->pid(), 7u);
    EXPECT_EQ(entry->user_data(), 5u);
    EXPECT_EQ(entry->kind(), KindOf(*expected.syscall.operation()));
  }
}

TEST(SyscallTest, EntriesHaveOperandsOfTheirOwn) {
  const Syscall write = Syscall::Write(3, "data", 9);
  for (int i = 0; i < 2; ++i) {
    const absl::StatusOr<SyscallSubmissionEntry> entry = write.ToEntry(7, 0);
    ASSERT_TRUE(entry.ok());
    const auto& op = std::get<operation::Write>(entry->operation());
    EXPECT_EQ(op.fd, 3);
    EXPECT_EQ(op.data.view(), "data");
    EXPECT_EQ(op.offset, 9);
  }
}

TEST(SyscallTest, WhatHasNotOneAnswerIsRefused) {
  EXPECT_TRUE(Refused(Syscall(Operation(operation::AcceptMany{3})).ToEntry(7, 0).status(), absl::StatusCode::kInvalidArgument,
                      {"AcceptMany"}));
  EXPECT_TRUE(Refused(Syscall(Operation(operation::ReadInto{})).ToEntry(7, 0).status(), absl::StatusCode::kInvalidArgument,
                      {"ReadInto"}));
}

TEST(SyscallTest, AnswersAreSuccessesErrorsAndDenials) {
  const SyscallAnswer success = SyscallAnswer::Success(4, "data", "1.2.3.4:5");
  EXPECT_TRUE(success.is_success());
  EXPECT_EQ(success.value(), 4);
  EXPECT_EQ(success.data(), "data");
  EXPECT_EQ(success.peer_address(), "1.2.3.4:5");
  EXPECT_EQ(success.message(), "");
  EXPECT_TRUE(success.ToStatus().ok());
  const SyscallAnswer error = SyscallAnswer::Error("gone", ENOENT);
  EXPECT_TRUE(error.is_error());
  EXPECT_EQ(error.message(), "gone");
  EXPECT_TRUE(absl::IsNotFound(error.ToStatus()));
  const SyscallAnswer denied = SyscallAnswer::PermissionDenied("not yours");
  EXPECT_TRUE(denied.is_permission_denied());
  EXPECT_EQ(denied.message(), "not yours");
  EXPECT_TRUE(absl::IsPermissionDenied(denied.ToStatus()));
  const SyscallAnswer pending = SyscallAnswer::Pending(77);
  EXPECT_TRUE(pending.is_pending());
  EXPECT_EQ(pending.task(), 77u);
  EXPECT_TRUE(absl::IsUnavailable(pending.ToStatus()));
}

TEST(SyscallTest, CompletionsBecomeAnswers) {
  SyscallCompletionEntry done;
  done.status = SyscallCompletionStatus::Error(OperationKind::kReadFile, EPERM, "/etc/shadow");
  const SyscallAnswer denied = SyscallAnswer::Of(std::move(done));
  EXPECT_TRUE(denied.is_permission_denied());
  EXPECT_EQ(denied.error_number(), EPERM);
  SyscallCompletionEntry cancelled;
  cancelled.status = SyscallCompletionStatus::Cancelled(OperationKind::kRecv);
  EXPECT_EQ(SyscallAnswer::Of(std::move(cancelled)).error_number(), ECANCELED);
  EXPECT_EQ(SyscallAnswer::Of(absl::InvalidArgumentError("bad")).error_number(), EINVAL);
  EXPECT_TRUE(SyscallAnswer::Of(absl::OkStatus()).is_success());
}

}  // namespace
}  // namespace agentos
