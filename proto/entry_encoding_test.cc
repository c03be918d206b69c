#include "agentos/proto/entry_encoding.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "agentos/proto/entry.pb.h"
#include "agentos/ring/submission_entry.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Entry = SyscallSubmissionEntry;

constexpr size_t kAll = std::numeric_limits<size_t>::max();

std::string Encode(const Entry& entry, size_t payload_bytes) {
  std::string bytes(MostEncodedBytes(entry, payload_bytes) + 1, '\x5a');
  const char* end = EncodeEntry(entry, payload_bytes, bytes.data());
  EXPECT_LT(end, bytes.data() + bytes.size()) << "more than it said";
  bytes.resize(static_cast<size_t>(end - bytes.data()));
  return bytes;
}

// What generated code makes of the same message; that the message is right is for entry_conversion_test.
std::string Canonical(const std::string& bytes) {
  proto::v1::Entry message;
  EXPECT_TRUE(message.ParseFromString(bytes));
  return message.SerializeAsString();
}

TEST(EntryEncoding, IsWhatGeneratedCodeWrites) {
  std::vector<Entry> entries;
  // The lengths around which one of a message within takes another byte.
  for (const size_t size : {0,   1,   100, 115, 116, 117, 118,  119,    120,    121,    122,   123,
                            124, 125, 126, 127, 128, 129, 4095, 16'370, 16'380, 16'384, 40'000}) {
    entries.push_back(Entry::WriteFile(7, std::string(size % 4096, 'p'), Bytes(std::string(size, 'd')), 1));
    entries.push_back(Entry::SendTo(7, 3, Bytes(std::string(size, 'd')), "127.0.0.1:1", 0, 1));
  }
  entries.push_back(Entry::Rename(7, std::string(4095, 'a'), std::string(4095, 'b'), 1, 2));
  entries.push_back(Entry::Read(7, -1, 0, -1, 0));
  entries.push_back(Entry::Nop(0, 0));
  for (const Entry& entry : entries) {
    for (const size_t payload : {size_t{0}, size_t{1}, size_t{127}, size_t{128}, kAll}) {
      const std::string bytes = Encode(entry, payload);
      EXPECT_EQ(bytes, Canonical(bytes));
    }
  }
}

TEST(EntryEncoding, TheLargestNumbersFit) {
  constexpr Pid kPid = std::numeric_limits<Pid>::max();
  constexpr uint64_t kUserData = std::numeric_limits<uint64_t>::max();
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
  Entry entry =
      Entry(kPid, operation::Splice{-1, kLeast, -1, kLeast, std::numeric_limits<size_t>::max(), 0xffffffffu}, kUserData);
  const std::string bytes =
      Encode(std::move(entry).WithTimeout(absl::Hours(20)).WithPriority(Priority::kBackground).WithHardLink().WithDrain(), kAll);
  EXPECT_EQ(bytes, Canonical(bytes));
  proto::v1::Entry message;
  ASSERT_TRUE(message.ParseFromString(bytes));
  EXPECT_EQ(message.pid(), kPid);
  EXPECT_EQ(message.user_data(), kUserData);
  EXPECT_EQ(message.splice().to_offset(), kLeast);
  EXPECT_EQ(message.modifiers().priority(), proto::v1::Modifiers::PRIORITY_BACKGROUND);
  EXPECT_EQ(message.modifiers().link(), proto::v1::Modifiers::LINK_ON_END);
  EXPECT_TRUE(message.modifiers().drain());
}

TEST(EntryEncoding, KeepsAsMuchOfAPayloadAsItIsTold) {
  const Entry entry = Entry::Write(7, 3, Bytes(std::string("0123456789")), 0, 0);
  for (const size_t payload : {0, 1, 9, 10, 11}) {
    proto::v1::Entry message;
    ASSERT_TRUE(message.ParseFromString(Encode(entry, payload)));
    EXPECT_EQ(message.write().payload().size(), 10u);
    EXPECT_EQ(message.write().payload().data(), std::string("0123456789").substr(0, payload));
  }
}

TEST(EntryEncoding, AnEmptyEntryHasNoOperation) {
  proto::v1::Entry message;
  ASSERT_TRUE(message.ParseFromString(Encode(Entry(), kAll)));
  EXPECT_EQ(message.operation_case(), proto::v1::Entry::OPERATION_NOT_SET);
}

}  // namespace
}  // namespace agentos
