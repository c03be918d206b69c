#include "agentos/ring/completion_entry.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agentos/ring/result_buffer_pool.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

static_assert(std::is_default_constructible_v<SyscallCompletionEntry>);
static_assert(!std::is_copy_constructible_v<SyscallCompletionEntry> && !std::is_copy_assignable_v<SyscallCompletionEntry>);
static_assert(std::is_nothrow_move_constructible_v<SyscallCompletionEntry> &&
              std::is_nothrow_move_assignable_v<SyscallCompletionEntry>);

// Longer than a std::string keeps inside itself, so that its data() tells whether it was copied.
const char kLong[] = "a text that no std::string keeps inside itself, because it is far too long for that";

using Status = SyscallCompletionStatus;

TEST(CompletionStatus, IsASuccessByDefault) {
  const Status status;
  EXPECT_TRUE(status.is_success());
  EXPECT_FALSE(status.is_error());
  EXPECT_FALSE(status.is_cancelled());
  EXPECT_EQ(status.error_number(), 0);
  EXPECT_EQ(status.error_message(), "");
  EXPECT_EQ(status.ToStatus(), absl::OkStatus());
}

TEST(CompletionStatus, NamesTheOperationTheObjectAndTheCauseOfAnError) {
  const Status status = Status::Error(OperationKind::kReadFile, EACCES, "/etc/shadow");
  EXPECT_FALSE(status.is_success());
  EXPECT_TRUE(status.is_error());
  EXPECT_FALSE(status.is_cancelled());
  EXPECT_EQ(status.error_number(), EACCES);
  EXPECT_EQ(status.error_message(), "ReadFile(/etc/shadow): Permission denied (EACCES)");
  EXPECT_EQ(status.ToStatus(), absl::PermissionDeniedError("ReadFile(/etc/shadow): Permission denied (EACCES)"));
}

TEST(CompletionStatus, DoesWithoutAnObject) {
  EXPECT_EQ(Status::Error(OperationKind::kFsync, EIO, "").error_message(), "Fsync(): Input/output error (EIO)");
}

TEST(CompletionStatus, KeepsACopyOfTheObject) {
  std::string path = "/tmp/file";
  const Status status = Status::Error(OperationKind::kOpen, ENOENT, path);
  path = "/etc/pass";
  EXPECT_EQ(status.error_message(), "Open(/tmp/file): No such file or directory (ENOENT)");
}

TEST(CompletionStatus, NamesAnErrnoThatHasNoName) {
  EXPECT_EQ(Status::Error(OperationKind::kRead, 9999, "fd 3").error_message(), "Read(fd 3): Unknown error 9999 (unknown errno)");
  EXPECT_EQ(Status::Error(OperationKind::kRead, 9999, "fd 3").ToStatus().code(), absl::StatusCode::kUnknown);
}

TEST(CompletionStatus, IsCancelledWithoutAnErrno) {
  const Status status = Status::Cancelled(OperationKind::kRecv);
  EXPECT_FALSE(status.is_success());
  EXPECT_FALSE(status.is_error());
  EXPECT_TRUE(status.is_cancelled());
  EXPECT_EQ(status.error_number(), 0);
  EXPECT_EQ(status.error_message(), "Recv: cancelled");
  EXPECT_EQ(status.ToStatus(), absl::CancelledError("Recv: cancelled"));
}

TEST(CompletionStatus, MapsAnErrnoToTheCodeThatAbseilGivesIt) {
  const struct {
    int error_number;
    absl::StatusCode code;
  } kTable[] = {
      {ETIMEDOUT, absl::StatusCode::kDeadlineExceeded},
      {ENOENT, absl::StatusCode::kNotFound},
      {EACCES, absl::StatusCode::kPermissionDenied},
      {EEXIST, absl::StatusCode::kAlreadyExists},
      {EINVAL, absl::StatusCode::kInvalidArgument},
      {ENOMEM, absl::StatusCode::kResourceExhausted},
      {ENOSPC, absl::StatusCode::kResourceExhausted},
      {EBADF, absl::StatusCode::kFailedPrecondition},
      {EPIPE, absl::StatusCode::kFailedPrecondition},
      {ECONNREFUSED, absl::StatusCode::kUnavailable},
      // The system call's own ECANCELED: an error all the same, and not one that the caller asked for.
      {ECANCELED, absl::StatusCode::kCancelled},
  };
  for (const auto& [error_number, code] : kTable) {
    const Status status = Status::Error(OperationKind::kRead, error_number, "fd 3");
    EXPECT_TRUE(status.is_error()) << error_number;
    EXPECT_FALSE(status.is_cancelled()) << error_number;
    EXPECT_EQ(status.ToStatus(), absl::Status(code, status.error_message())) << error_number;
  }
}

TEST(CompletionStatus, P12MapsAFileOverTheLimitToResourceExhausted) {
  const Status status = Status::Error(OperationKind::kReadFile, EFBIG, "/var/log/huge");
  EXPECT_EQ(status.error_number(), EFBIG);
  EXPECT_EQ(status.ToStatus(), absl::ResourceExhaustedError("ReadFile(/var/log/huge): File too large (EFBIG)"));
}

TEST(CompletionStatus, BecomesASuccessAgainInPlace) {
  Status error = Status::Error(OperationKind::kOpen, ENOENT, "file");
  Status cancelled = Status::Cancelled(OperationKind::kOpen);
  for (Status* status : {&error, &cancelled}) {
    status->SetSuccess();
    EXPECT_TRUE(status->is_success());
    EXPECT_EQ(status->error_number(), 0);
    EXPECT_EQ(status->error_message(), "");
    EXPECT_EQ(status->ToStatus(), absl::OkStatus());
  }
}

TEST(CompletionResult, IsNothingByDefault) {
  SyscallResult result;
  EXPECT_EQ(result.value(), 0);
  EXPECT_EQ(result.data(), "");
  EXPECT_EQ(result.peer_address(), "");
  EXPECT_EQ(result.TakeData(), "");
  EXPECT_TRUE(result.TakeBytes().empty());
}

TEST(CompletionResult, CarriesEveryValue) {
  for (int64_t value : {int64_t{0}, int64_t{7}, INT64_MAX}) EXPECT_EQ(SyscallResult(value).value(), value);
}

TEST(CompletionResult, ShowsItsDataWithoutACopy) {
  std::string text = kLong;
  const char* const place = text.data();
  const SyscallResult result(3, std::move(text));
  EXPECT_EQ(result.value(), 3);
  EXPECT_EQ(result.data(), kLong);
  EXPECT_EQ(result.data().data(), place);
}

TEST(CompletionResult, GivesDataThatWasAStringAwayWithoutACopy) {
  std::string text = kLong;
  const char* const place = text.data();
  SyscallResult result(0, std::move(text));
  const std::string taken = result.TakeData();
  EXPECT_EQ(taken, kLong);
  EXPECT_EQ(taken.data(), place);
  EXPECT_EQ(result.data(), "");
}

TEST(CompletionResult, GivesItsBytesAwayAlignedAndWithoutACopy) {
  ResultBufferPool* const pool = ResultBufferPool::Create();
  PooledBuffer buffer = pool->Acquire(4096);
  const char* const place = buffer.data();
  std::memcpy(buffer.data(), "abc", 3);
  SyscallResult result(3, Bytes(std::move(buffer), 3));
  // The result outlives what its bytes came from.
  pool->Close();
  const Bytes taken = result.TakeBytes();
  EXPECT_EQ(taken.view(), "abc");
  EXPECT_EQ(taken.data(), place);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(taken.data()) % 4096, 0u);
  EXPECT_EQ(result.data(), "");
}

TEST(CompletionResult, GivesPooledDataAwayAsAString) {
  ResultBufferPool* const pool = ResultBufferPool::Create();
  PooledBuffer buffer = pool->Acquire(16);
  std::memcpy(buffer.data(), "a\0c", 3);
  SyscallResult result(3, Bytes(std::move(buffer), 3));
  EXPECT_EQ(result.TakeData(), std::string("a\0c", 3));
  EXPECT_EQ(result.data(), "");
  pool->Close();
}

TEST(CompletionResult, TellsAPeerFromNone) {
  EXPECT_EQ(SyscallResult(0, Bytes(), nullptr).peer_address(), "");
  EXPECT_EQ(SyscallResult(0, Bytes(), std::make_unique<std::string>("1.2.3.4:80")).peer_address(), "1.2.3.4:80");
}

TEST(CompletionResult, TakesNewPartsInPlace) {
  SyscallResult result(1, "old", std::make_unique<std::string>("old peer"));
  Bytes data = std::string(kLong);
  const char* const place = data.data();
  std::unique_ptr<std::string> peer = std::make_unique<std::string>("new peer");
  result.Set(2, data, peer);
  EXPECT_EQ(result.value(), 2);
  EXPECT_EQ(result.data().data(), place);
  EXPECT_EQ(result.peer_address(), "new peer");
  EXPECT_TRUE(data.empty());
  EXPECT_EQ(peer, nullptr);

  result.Set(3, data, peer);
  EXPECT_EQ(result.value(), 3);
  EXPECT_EQ(result.data(), "");
  EXPECT_EQ(result.peer_address(), "");
}

TEST(CompletionEntry, IsAnEmptyPlaceByDefault) {
  const SyscallCompletionEntry entry;
  EXPECT_EQ(entry.seq, 0u);
  EXPECT_EQ(entry.pid, 0u);
  EXPECT_EQ(entry.user_data, 0u);
  EXPECT_FALSE(entry.more);
  EXPECT_TRUE(entry.status.is_success());
}

TEST(CompletionEntry, MovesWithAllItHolds) {
  SyscallCompletionEntry source;
  source.seq = 5;
  source.pid = 7;
  source.user_data = 9;
  source.status = Status::Error(OperationKind::kSend, EPIPE, "fd 3");
  source.result = SyscallResult(2, std::string(kLong), std::make_unique<std::string>("peer"));
  const char* const place = source.result.data().data();
  const SyscallCompletionEntry made = std::move(source);
  EXPECT_EQ(made.seq, 5u);
  EXPECT_EQ(made.pid, 7u);
  EXPECT_EQ(made.user_data, 9u);
  EXPECT_EQ(made.status.error_message(), "Send(fd 3): Broken pipe (EPIPE)");
  EXPECT_EQ(made.result.value(), 2);
  EXPECT_EQ(made.result.data().data(), place);
  EXPECT_EQ(made.result.peer_address(), "peer");
}

}  // namespace
}  // namespace agentos
