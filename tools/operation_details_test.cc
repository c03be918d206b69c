#include "agentos/tools/operation_details.h"

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agentos/ring/operation.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

proto::v1::Entry EntryOf(const std::string& text) {
  proto::v1::Entry entry;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &entry)) << text;
  return entry;
}

std::string Operands(const std::string& text) {
  std::vector<std::string> parts;
  for (const OperationDetail& detail : OperandsOf(EntryOf(text))) {
    parts.push_back(std::visit(
        [&](const auto& value) {
          if constexpr (std::is_same_v<std::decay_t<decltype(value)>, bool>) {
            return absl::StrCat(detail.name, "=", value ? "true" : "false");
          } else {
            return absl::StrCat(detail.name, "=", value);
          }
        },
        detail.value));
  }
  return absl::StrJoin(parts, " ");
}

TEST(OperationDetailsTest, EveryOperationHasTheNameThatTheRingHasForIt) {
  const auto* oneof = proto::v1::Entry::descriptor()->FindOneofByName("operation");
  std::vector<std::string> names;
  for (int i = 0; i < oneof->field_count(); ++i) {
    proto::v1::Entry entry;
    entry.GetReflection()->MutableMessage(&entry, oneof->field(i));
    names.push_back(OperationNameOf(entry));
  }
  for (size_t kind = 1; kind < kOperationKinds; ++kind) {
    const std::string name(OperationName(static_cast<OperationKind>(kind)));
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
  }
  EXPECT_EQ(names.size(), kOperationKinds - 1);
  EXPECT_EQ(OperationNameOf({}), "Unknown");
}

TEST(OperationDetailsTest, OperandsAreListedAlsoWhenTheyAreZero) {
  EXPECT_EQ(Operands("read { fd: 5 size: 4096 }"), "fd=5 size=4096 offset=0");
  EXPECT_EQ(Operands("read { fd: 5 size: 18446744073709551615 offset: -1 }"), "fd=5 size=18446744073709551615 offset=-1");
  EXPECT_EQ(Operands("nop {}"), "");
  EXPECT_EQ(Operands(""), "");
}

TEST(OperationDetailsTest, WhatIsOptionalIsListedWhenItIsThere) {
  EXPECT_EQ(Operands("read_file { path: '/a' }"), "path=/a");
  EXPECT_EQ(Operands("read_file { path: '/a\\377' beneath_fd: 0 }"), "path=/a\\xff beneath_fd=0");
  EXPECT_EQ(Operands("nop {} modifiers { timeout_ns: 5 link: LINK_ON_END drain: true }"),
            "timeout_ns=5 link=LINK_ON_END drain=true");
}

TEST(OperationDetailsTest, AnEnumOfANewerVersionIsItsNumber) {
  proto::v1::Entry entry;
  entry.mutable_modifiers()->set_priority(static_cast<proto::v1::Modifiers::Priority>(77));
  const std::vector<OperationDetail> details = OperandsOf(entry);
  ASSERT_EQ(details.size(), 1U);
  EXPECT_EQ(std::get<std::string>(details[0].value), "77");
}

TEST(OperationDetailsTest, APayloadIsItsSizeAndItsBeginning) {
  EXPECT_EQ(Operands("write { fd: 1 payload { size: 3 data: 'abc' } offset: 7 }"), "fd=1 size=3 data=abc offset=7");
  EXPECT_EQ(Operands("write { fd: 1 payload { size: 4 data: 'abc' } }"), "fd=1 size=4 data=abc... offset=0");
  EXPECT_EQ(Operands("write { fd: 1 payload { size: 100 } }"), "fd=1 size=100 offset=0");
  EXPECT_EQ(Operands(absl::StrCat("send { fd: 1 payload { size: 1000 data: '", std::string(500, 'x'), "' } }")),
            absl::StrCat("fd=1 size=1000 data=", std::string(64, 'x'), "... flags=0"));
}

TEST(OperationDetailsTest, TheTargetIsWhatAPersonWouldLookFor) {
  EXPECT_EQ(TargetOf(EntryOf("open { path: '/etc/passwd' }")), "/etc/passwd");
  EXPECT_EQ(TargetOf(EntryOf("read { fd: 5 }")), "fd 5");
  EXPECT_EQ(TargetOf(EntryOf("connect { fd: 5 address: '[::1]:80' }")), "[::1]:80");
  EXPECT_EQ(TargetOf(EntryOf("connect { fd: 5 }")), "fd 5");
  EXPECT_EQ(TargetOf(EntryOf("rename { from: 'a' to: 'b' }")), "a -> b");
  EXPECT_EQ(TargetOf(EntryOf("splice { from_fd: 1 to_fd: 2 }")), "fd 1 -> fd 2");
  EXPECT_EQ(TargetOf(EntryOf("ipc_send { target_pid: 9 }")), "pid 9");
  EXPECT_EQ(TargetOf(EntryOf("sleep { duration_ns: 9 }")), "");
  EXPECT_EQ(TargetOf({}), "");
}

TEST(OperationDetailsTest, TheValueOfAnOpenIsNoNumberOfBytes) {
  EXPECT_TRUE(MovesBytes(EntryOf("read {}")));
  EXPECT_TRUE(MovesBytes(EntryOf("recv_many {}")));
  EXPECT_FALSE(MovesBytes(EntryOf("open {}")));
  EXPECT_FALSE(MovesBytes(EntryOf("lseek {}")));
  EXPECT_FALSE(MovesBytes({}));
}

TEST(OperationDetailsTest, AResultIsOneWord) {
  TracedOperation operation;
  EXPECT_EQ(ResultOf(operation), "never ended");
  operation.ended = true;
  operation.value = 4096;
  EXPECT_EQ(ResultOf(operation), "4096");
  operation.error_number = ENOENT;
  EXPECT_EQ(ResultOf(operation), "ENOENT");
  operation.error_number = -12345;
  EXPECT_EQ(ResultOf(operation), "errno -12345");
  operation.cancelled = true;
  EXPECT_EQ(ResultOf(operation), "cancelled");
}

}  // namespace
}  // namespace agentos
