#include "agentos/proto/entry_conversion.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/ring/entry_validation.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Entry = SyscallSubmissionEntry;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;

constexpr Pid kPid = 7;
constexpr uint64_t kUserData = 0xfedcba9876543210;

// Every operation, with no operand that is what a message without it would say.
std::vector<Entry> OneOfEach() {
  const std::string path = "/a \xff path";
  std::vector<Entry> all;
  const auto add = [&all](auto operation) { all.emplace_back(kPid, std::move(operation), kUserData); };
  add(operation::Nop{});
  add(operation::ReadFile{path, 3});
  add(operation::WriteFile{path, "data", {.atomic = true, .durable = true}, 3});
  add(operation::Open{path, 0x42, 0644, 3});
  add(operation::Close{5});
  add(operation::Read{5, 4096, -1});
  add(operation::Write{5, "data", int64_t{1} << 40});
  add(operation::Fsync{5});
  add(operation::Lseek{5, -100, 2});
  add(operation::Send{5, "data", 0x40});
  add(operation::Recv{5, 100, 2});
  add(operation::Accept{5});
  add(operation::Connect{5, "127.0.0.1:80"});
  add(operation::SendTo{5, "data", "[::1]:80", 0x40});
  add(operation::RecvFrom{5, 100, 2});
  add(operation::IpcSend{9, "data"});
  add(operation::IpcRecv{100});
  add(operation::Statx{path, 0x100, 0x7ff});
  add(operation::Rename{path, "/to", 1});
  add(operation::Unlink{path, 0x200});
  add(operation::Mkdir{path, 0755});
  add(operation::Fallocate{5, 3, 10, 20});
  add(operation::Ftruncate{5, 10});
  add(operation::Splice{5, -1, 6, 30, 100, 4});
  add(operation::Socket{2, 1, 6});
  add(operation::Shutdown{5, 2});
  add(operation::Poll{5, 1});
  add(operation::Sleep{absl::Nanoseconds(123'456'789)});
  add(operation::ReadInto{5, ResultBufferPool::NewUnpooled(512), 512, 1024});
  add(operation::RecvInto{5, ResultBufferPool::NewUnpooled(512), 512, 2});
  add(operation::AcceptMany{5});
  // Its flags are always 0 so far; the message can say more.
  add(operation::RecvMany{5, 2});
  add(operation::CopyFileRange{5, -1, 6, 30, 100});
  return all;
}

// Fields of a message and those in it that are as if nobody had set them.
std::vector<std::string> UnsetFields(const Message& message, const std::string& prefix = "") {
  std::vector<std::string> unset;
  const auto* reflection = message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = message.GetDescriptor()->field(i);
    const std::string name = absl::StrCat(prefix, field->name());
    if (!reflection->HasField(message, field)) {
      unset.push_back(name);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      for (std::string& inner : UnsetFields(reflection->GetMessage(message, field), name + "."))
        unset.push_back(std::move(inner));
    }
  }
  return unset;
}

// The message of the operation alone.
const Message& OperationOf(const proto::v1::Entry& message) {
  const auto* oneof = message.GetDescriptor()->FindOneofByName("operation");
  const auto* reflection = message.GetReflection();
  return reflection->GetMessage(message, reflection->GetOneofFieldDescriptor(message, oneof));
}

TEST(EntryConversion, KeepsEveryOperandOfEveryOperation) {
  const std::vector<Entry> all = OneOfEach();
  ASSERT_EQ(all.size(), kOperationKinds - 1);
  std::set<int> cases;
  for (const Entry& entry : all) {
    SCOPED_TRACE(std::string(OperationName(entry.kind()).data(), OperationName(entry.kind()).size()));
    const proto::v1::Entry message = ToProto(entry);
    EXPECT_EQ(message.pid(), kPid);
    EXPECT_EQ(message.user_data(), kUserData);
    EXPECT_FALSE(message.has_modifiers());
    cases.insert(message.operation_case());
    EXPECT_EQ(UnsetFields(OperationOf(message)), std::vector<std::string>()) << "an operand was not described";
    const absl::StatusOr<Entry> same = FromProto(message);
    ASSERT_TRUE(same.ok()) << same.status();
    EXPECT_EQ(same->kind(), entry.kind());
    EXPECT_TRUE(MessageDifferencer::Equals(ToProto(*same), message)) << ToProto(*same).DebugString() << message.DebugString();
  }
  EXPECT_EQ(cases.size(), all.size());
}

TEST(EntryConversion, TheOperationsOfTheMessageAreThoseOfTheLibrary) {
  const auto* oneof = proto::v1::Entry::GetDescriptor()->FindOneofByName("operation");
  EXPECT_EQ(static_cast<size_t>(oneof->field_count()), kOperationKinds - 1);
  for (const Entry& entry : OneOfEach()) {
    const absl::string_view name = OperationName(entry.kind());
    EXPECT_EQ(OperationOf(ToProto(entry)).GetDescriptor()->name(), std::string(name.data(), name.size()));
  }
}

TEST(EntryConversion, SurvivesTheWire) {
  for (const Entry& entry : OneOfEach()) {
    const proto::v1::Entry message = ToProto(entry);
    proto::v1::Entry read;
    ASSERT_TRUE(read.ParseFromString(message.SerializeAsString()));
    EXPECT_TRUE(MessageDifferencer::Equals(read, message));
  }
}

TEST(EntryConversion, KeepsEveryModifier) {
  const auto round_trip = [](Entry entry) {
    const proto::v1::Entry message = ToProto(entry);
    EXPECT_TRUE(message.has_modifiers());
    absl::StatusOr<Entry> same = FromProto(message);
    EXPECT_TRUE(same.ok()) << same.status();
    EXPECT_EQ(same->timeout_ns(), entry.timeout_ns());
    EXPECT_EQ(same->priority(), entry.priority());
    EXPECT_EQ(same->link(), entry.link());
    EXPECT_EQ(same->drain(), entry.drain());
  };
  const auto nop = [] { return Entry::Nop(kPid, 0); };
  for (const absl::Duration timeout :
       {absl::Nanoseconds(1), absl::Microseconds(1234567), absl::Seconds(1), absl::Hours(99'999)}) {
    round_trip(nop().WithTimeout(timeout));
  }
  round_trip(nop().WithPriority(Priority::kBackground));
  round_trip(nop().WithPriority(Priority::kUrgent));
  round_trip(nop().WithLink());
  round_trip(nop().WithHardLink());
  round_trip(nop().WithDrain());
  round_trip(nop().WithTimeout(absl::Seconds(3)).WithPriority(Priority::kUrgent).WithLink().WithDrain());
}

TEST(EntryConversion, KeepsAsMuchOfThePayloadAsIsAskedFor) {
  const Entry entry = Entry::Write(kPid, 5, "0123456789", 0, 0);
  for (const size_t most : {size_t{0}, size_t{4}, size_t{9}}) {
    const proto::v1::Entry message = ToProto(entry, most);
    EXPECT_EQ(message.write().payload().size(), 10u);
    EXPECT_EQ(message.write().payload().data(), std::string("0123456789").substr(0, most));
    const absl::Status status = FromProto(message).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat("Write.payload: ", most, " of its 10 bytes"))) << status;
  }
  EXPECT_TRUE(FromProto(ToProto(entry, 10)).ok());
  EXPECT_TRUE(FromProto(ToProto(Entry::Write(kPid, 5, "", 0, 0), 0)).ok());
}

TEST(EntryConversion, RefusesWhatIsNoEntry) {
  const auto refusal = [](const proto::v1::Entry& message) {
    const absl::StatusOr<Entry> entry = FromProto(message);
    EXPECT_EQ(entry.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(entry.status().message().data(), entry.status().message().size());
  };
  EXPECT_TRUE(absl::StrContains(refusal({}), "no operation"));
  EXPECT_TRUE(absl::StrContains(refusal(ToProto(Entry())), "no operation"));
  // What a newer version may write, and this one reads as an unknown field.
  proto::v1::Entry newer;
  ASSERT_TRUE(newer.ParseFromString(std::string("\xc2\x3e\x00", 3)));
  EXPECT_TRUE(absl::StrContains(refusal(newer), "no operation"));

  proto::v1::Entry priority = ToProto(Entry::Nop(kPid, 0));
  priority.mutable_modifiers()->set_priority(static_cast<proto::v1::Modifiers::Priority>(9));
  EXPECT_TRUE(absl::StrContains(refusal(priority), "modifiers.priority is 9"));
  proto::v1::Entry link = ToProto(Entry::Nop(kPid, 0));
  link.mutable_modifiers()->set_link(static_cast<proto::v1::Modifiers::Link>(-1));
  EXPECT_TRUE(absl::StrContains(refusal(link), "modifiers.link is -1"));
  proto::v1::Entry huge = ToProto(OneOfEach()[28]);
  ASSERT_TRUE(huge.has_read_into());
  huge.mutable_read_into()->set_size(std::numeric_limits<uint64_t>::max());
  EXPECT_TRUE(absl::StrContains(refusal(huge), "ReadInto.size is 18446744073709551615"));
}

TEST(EntryConversion, WhatSubmitWouldRefuseIsConvertedAndRefusedThere) {
  proto::v1::Entry message;
  message.set_pid(kPid);
  message.mutable_read()->set_fd(-3);
  absl::StatusOr<Entry> entry = FromProto(message);
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_FALSE(ValidateEntry(kPid, *entry).ok());
  message.mutable_modifiers()->set_timeout_ns(-5);
  entry = FromProto(message);
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_LT(entry->timeout_ns(), 0);
}

TEST(EntryConversion, ProtocReadsIt) {
  const std::string path = absl::StrCat(testing::TempDir(), "/entry.bin");
  std::ofstream(path) << ToProto(Entry::Read(kPid, 5, 4096, 10, 99)).SerializeAsString();
  const std::string command = absl::StrCat("protoc --proto_path=. --decode=agentos.proto.v1.Entry proto/entry.proto < ", path);
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string text;
  for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) text.push_back(static_cast<char>(c));
  EXPECT_EQ(pclose(pipe), 0);
  EXPECT_EQ(text, "pid: 7\nuser_data: 99\nread {\n  fd: 5\n  size: 4096\n  offset: 10\n}\n");
}

}  // namespace
}  // namespace agentos
