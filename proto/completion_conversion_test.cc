#include "agentos/proto/completion_conversion.h"

#include <cctype>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "agentos/ring/bytes.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Done = SyscallCompletionEntry;

// "READ_FILE" as "ReadFile".
std::string CamelCase(const std::string& name) {
  std::string camel;
  bool upper = true;
  for (const char c : name) {
    if (c == '_') {
      upper = true;
      continue;
    }
    camel.push_back(static_cast<char>(upper ? c : std::tolower(c)));
    upper = false;
  }
  return camel;
}

Done RoundTrip(const Done& done, size_t payload_bytes = kAllPayloadBytes) {
  proto::v1::Completion read;
  EXPECT_TRUE(read.ParseFromString(ToProto(done, payload_bytes).SerializeAsString()));
  absl::StatusOr<Done> same = FromProto(read);
  EXPECT_TRUE(same.ok()) << same.status();
  return same.ok() ? *std::move(same) : Done();
}

TEST(CompletionConversion, NamesOperationsAsTheLibraryDoes) {
  const std::string prefix = "OPERATION_KIND_";
  for (size_t i = 0; i < kOperationKinds; ++i) {
    const auto kind = static_cast<OperationKind>(i);
    const std::string& name = proto::v1::OperationKind_Name(ToProto(kind));
    ASSERT_EQ(name.substr(0, prefix.size()), prefix);
    EXPECT_EQ(CamelCase(name.substr(prefix.size())), OperationName(kind));
    EXPECT_EQ(*FromProto(ToProto(kind)), kind);
  }
}

TEST(CompletionConversion, KeepsASuccess) {
  Done done;
  done.pid = 0xffffffff;
  done.seq = uint64_t{1} << 60;
  done.user_data = ~uint64_t{0};
  done.more = true;
  done.result = SyscallResult(-5, Bytes(std::string("a\0b", 3)), std::make_unique<std::string>("127.0.0.1:80"));
  const Done same = RoundTrip(done);
  EXPECT_EQ(same.pid, done.pid);
  EXPECT_EQ(same.seq, done.seq);
  EXPECT_EQ(same.user_data, done.user_data);
  EXPECT_TRUE(same.more);
  EXPECT_TRUE(same.status.is_success());
  EXPECT_EQ(same.result.value(), -5);
  EXPECT_EQ(same.result.data(), absl::string_view("a\0b", 3));
  EXPECT_EQ(same.result.peer_address(), "127.0.0.1:80");
}

TEST(CompletionConversion, KeepsAnErrorWithItsMessage) {
  Done done;
  done.status = SyscallCompletionStatus::Error(OperationKind::kReadFile, ENOENT, "/no \xff such file");
  done.result = SyscallResult(17);
  const Done same = RoundTrip(done);
  EXPECT_TRUE(same.status.is_error());
  EXPECT_EQ(same.status.error_number(), ENOENT);
  EXPECT_EQ(same.status.error_message(), done.status.error_message());
  EXPECT_EQ(same.status.ToStatus(), done.status.ToStatus());
  EXPECT_EQ(same.result.value(), 17);
}

TEST(CompletionConversion, KeepsWhatWasCancelled) {
  Done done;
  done.status = SyscallCompletionStatus::Cancelled(OperationKind::kAccept);
  const Done same = RoundTrip(done);
  EXPECT_TRUE(same.status.is_cancelled());
  EXPECT_EQ(same.status.error_message(), done.status.error_message());
}

TEST(CompletionConversion, KeepsAsMuchOfTheDataAsIsAskedFor) {
  Done done;
  done.result = SyscallResult(10, Bytes("0123456789"));
  const proto::v1::Completion message = ToProto(done, 4);
  EXPECT_EQ(message.payload().size(), 10u);
  EXPECT_EQ(message.payload().data(), "0123");
  const Done part = RoundTrip(done, 4);
  EXPECT_EQ(part.result.data(), "0123");
  EXPECT_EQ(part.result.value(), 10);
  EXPECT_EQ(RoundTrip(done, 0).result.data(), "");
}

TEST(CompletionConversion, ASuccessWithoutDataIsSmall) {
  Done done;
  done.pid = 1;
  done.seq = 100;
  done.user_data = 5;
  done.result = SyscallResult(100);
  EXPECT_LE(ToProto(done).ByteSizeLong(), 10u);
}

TEST(CompletionConversion, RefusesWhatContradictsItself) {
  const auto refusal = [](const proto::v1::Completion& message) {
    const absl::Status status = FromProto(message).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message().data(), status.message().size());
  };
  proto::v1::Completion message;
  message.set_error_number(-1);
  EXPECT_TRUE(absl::StrContains(refusal(message), "error_number is -1"));
  message.set_error_number(5);
  message.set_cancelled(true);
  EXPECT_TRUE(absl::StrContains(refusal(message), "what was cancelled has none"));
  message.clear_cancelled();
  message.set_operation(static_cast<proto::v1::OperationKind>(200));
  EXPECT_TRUE(absl::StrContains(refusal(message), "operation is 200"));
}

}  // namespace
}  // namespace agentos
