#include "agentos/tools/call_text.h"

#include <string>

#include "agentos/proto/entry.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

std::string Call(const std::string& text) {
  proto::v1::Entry entry;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &entry)) << text;
  return CallAsText(entry);
}

TEST(CallText, SaysFileOperations) {
  EXPECT_EQ(Call("open { path: '/a b' flags: 0x80042 mode: 0644 }"), "Open(\"/a b\", O_RDWR|O_CREAT|O_CLOEXEC, 0644)");
  EXPECT_EQ(Call("open { path: 'x' beneath_fd: 4 }"), "Open(\"x\" beneath fd 4, O_RDONLY)");
  EXPECT_EQ(Call("open { path: 'x' flags: 0x40000000 }"), "Open(\"x\", O_RDONLY|0x40000000)");
  EXPECT_EQ(Call("read { fd: 5 size: 100 offset: -1 }"), "Read(fd 5, 100, at the position)");
  EXPECT_EQ(Call("read_into { fd: 5 size: 100 offset: 7 }"), "ReadInto(fd 5, 100, at 7)");
  EXPECT_EQ(Call("write { fd: 5 payload { size: 3 data: 'a\\n\\377' } }"), "Write(fd 5, \"a\\n\\xff\", 3 bytes, at 0)");
  EXPECT_EQ(Call("write { fd: 5 payload { size: 9 data: 'abc' } }"), "Write(fd 5, \"abc\"..., 9 bytes, at 0)");
  EXPECT_EQ(Call("write { fd: 5 payload { size: 3 } }"), "Write(fd 5, 3 bytes, at 0)");
  EXPECT_EQ(Call("write_file { path: '/x' payload { size: 3 } atomic: true durable: true }"),
            "WriteFile(\"/x\", 3 bytes, atomic, durable)");
  EXPECT_EQ(Call("read_file { path: '/x' }"), "ReadFile(\"/x\")");
  EXPECT_EQ(Call("lseek { fd: 5 offset: -3 whence: 2 }"), "Lseek(fd 5, -3, SEEK_END)");
  EXPECT_EQ(Call("lseek { fd: 5 whence: 9 }"), "Lseek(fd 5, 0, 9)");
  EXPECT_EQ(Call("statx { path: '/x' flags: 0x100 mask: 0x7ff }"), "Statx(\"/x\", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS)");
  EXPECT_EQ(Call("rename { from: 'a' to: 'b' flags: 1 }"), "Rename(\"a\", \"b\", RENAME_NOREPLACE)");
  EXPECT_EQ(Call("unlink { path: 'a' flags: 0x200 }"), "Unlink(\"a\", AT_REMOVEDIR)");
  EXPECT_EQ(Call("mkdir { path: 'a' mode: 0755 }"), "Mkdir(\"a\", 0755)");
  EXPECT_EQ(Call("fallocate { fd: 5 mode: 3 offset: 1 size: 2 }"),
            "Fallocate(fd 5, FALLOC_FL_KEEP_SIZE|FALLOC_FL_PUNCH_HOLE, at 1, 2)");
  EXPECT_EQ(Call("fallocate { fd: 5 mode: 0x20 size: 2 }"), "Fallocate(fd 5, FALLOC_FL_INSERT_RANGE, at 0, 2)");
  EXPECT_EQ(Call("ftruncate { fd: 5 size: 9 }"), "Ftruncate(fd 5, 9)");
  EXPECT_EQ(Call("splice { from_fd: 1 from_offset: -1 to_fd: 2 to_offset: 3 size: 4 flags: 1 }"),
            "Splice(fd 1, at the position, fd 2, at 3, 4, SPLICE_F_MOVE)");
  EXPECT_EQ(Call("copy_file_range { from_fd: 1 from_offset: -1 to_fd: 2 to_offset: 3 size: 4 }"),
            "CopyFileRange(fd 1, at the position, fd 2, at 3, 4)");
}

TEST(CallText, SaysSocketAndOtherOperations) {
  EXPECT_EQ(Call("send { fd: 5 payload { size: 3 } flags: 0x4000 }"), "Send(fd 5, 3 bytes, MSG_NOSIGNAL)");
  EXPECT_EQ(Call("send_to { fd: 5 payload { size: 3 } address: '1.2.3.4:5' }"), "SendTo(fd 5, 3 bytes, \"1.2.3.4:5\")");
  EXPECT_EQ(Call("recv { fd: 5 size: 9 flags: 2 }"), "Recv(fd 5, 9, MSG_PEEK)");
  EXPECT_EQ(Call("connect { fd: 5 address: 'unix:/x' }"), "Connect(fd 5, \"unix:/x\")");
  EXPECT_EQ(Call("socket { domain: 2 type: 0x80001 protocol: 6 }"), "Socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 6)");
  EXPECT_EQ(Call("shutdown { fd: 5 how: 1 }"), "Shutdown(fd 5, SHUT_WR)");
  EXPECT_EQ(Call("poll { fd: 5 events: 5 }"), "Poll(fd 5, POLLIN|POLLOUT)");
  EXPECT_EQ(Call("sleep { duration_ns: 1500000 }"), "Sleep(1.5ms)");
  EXPECT_EQ(Call("ipc_send { target_pid: 9 payload { size: 3 } }"), "IpcSend(pid 9, 3 bytes)");
  EXPECT_EQ(Call("nop {}"), "Nop()");
  EXPECT_EQ(Call(""), "Unknown()");
}

TEST(CallText, SaysModifiers) {
  EXPECT_EQ(Call("nop {} modifiers { timeout_ns: 1000000000 priority: PRIORITY_URGENT drain: true }"),
            "Nop() timeout 1s urgent drain");
}

// One that is added to entry.proto and not here would say nothing of its operands.
TEST(CallText, EveryOperationWithOperandsHasArguments) {
  const auto* oneof = proto::v1::Entry::descriptor()->FindOneofByName("operation");
  for (int i = 0; i < oneof->field_count(); ++i) {
    if (oneof->field(i)->message_type()->field_count() == 0) continue;
    proto::v1::Entry entry;
    entry.GetReflection()->MutableMessage(&entry, oneof->field(i));
    EXPECT_EQ(CallAsText(entry).find("()"), std::string::npos) << CallAsText(entry);
  }
}

TEST(CallText, LongStringsAreCut) {
  EXPECT_EQ(QuotedText("abcdef", 3), "\"abc\"...");
  EXPECT_EQ(QuotedText("abc", 3), "\"abc\"");
  EXPECT_EQ(QuotedText("\x1b[2J\"\\"), R"("\x1b[2J\"\\")");
}

TEST(CallText, TimesHaveThreeDigits) {
  EXPECT_EQ(ShortTime(0), "0ns");
  EXPECT_EQ(ShortTime(999), "999ns");
  EXPECT_EQ(ShortTime(1234), "1.23us");
  EXPECT_EQ(ShortTime(56.7e6), "56.7ms");
  EXPECT_EQ(ShortTime(7.5e9), "7.5s");
  EXPECT_EQ(ShortTime(999'499), "999us");
  EXPECT_EQ(ShortTime(999'500), "1ms") << "rounded up to the next unit";
  EXPECT_EQ(ShortTime(999'999'999), "1s");
  EXPECT_EQ(ShortTime(999.9), "1us");
  EXPECT_EQ(ShortTime(12'345e9), "12345s") << "no exponent, however long it is";
}

}  // namespace
}  // namespace agentos
