#include "agentos/ring/entry_validation.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/ring/socket_address.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Entry = SyscallSubmissionEntry;

constexpr Pid kPid = 7;
constexpr int kFd = 3;
constexpr int64_t kMaxOffset = std::numeric_limits<int64_t>::max();
constexpr int64_t kMaxTransfer = kMaxTransferSize;
constexpr size_t kMaxFileDataSize = size_t{1} << 40;

// Data of a size that no test could allocate: nothing but size() may be asked of it.
Bytes Claiming(size_t size) { return Bytes(PooledBuffer(), size); }

struct Good {
  const char* what;
  Entry entry;
};

struct Bad {
  Entry entry;
  // How the message begins: operation, field, value.
  std::string names;
  // What else it must say: what is allowed.
  std::string allowed;
};

void ExpectAccepted(const std::vector<Good>& table) {
  for (const Good& good : table) EXPECT_EQ(ValidateEntry(kPid, good.entry), absl::OkStatus()) << good.what;
}

void ExpectRefused(const std::vector<Bad>& table) {
  for (const Bad& bad : table) {
    const absl::Status status = ValidateEntry(kPid, bad.entry);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.names;
    EXPECT_TRUE(absl::StartsWith(status.message(), bad.names)) << status.message() << "\nshould begin with\n" << bad.names;
    EXPECT_TRUE(absl::StrContains(status.message(), bad.allowed)) << status.message() << "\nshould hold\n" << bad.allowed;
    EXPECT_LT(status.message().size(), 400u) << status.message();
  }
}

// Tables of entries, which cannot be copied out of an initializer list.
template <typename Row, typename... Rows>
std::vector<Row> Table(Rows... rows) {
  std::vector<Row> table;
  (table.push_back(std::move(rows)), ...);
  return table;
}

// Every operation with operands that are as they should be.
std::vector<Entry> OneOfEach(Pid pid) {
  std::vector<Entry> entries;
  entries.push_back(Entry::Nop(pid, 0));
  entries.push_back(Entry::ReadFile(pid, "file", 0));
  entries.push_back(Entry::WriteFile(pid, "file", "data", 0));
  entries.push_back(Entry::Open(pid, "file", O_RDONLY, 0, 0));
  entries.push_back(Entry::Close(pid, kFd, 0));
  entries.push_back(Entry::Read(pid, kFd, 1, 0, 0));
  entries.push_back(Entry::Write(pid, kFd, "data", 0, 0));
  entries.push_back(Entry::Fsync(pid, kFd, 0));
  entries.push_back(Entry::Lseek(pid, kFd, 0, SEEK_SET, 0));
  entries.push_back(Entry::Send(pid, kFd, "data", 0, 0));
  entries.push_back(Entry::Recv(pid, kFd, 1, 0, 0));
  entries.push_back(Entry::Accept(pid, kFd, 0));
  entries.push_back(Entry::Connect(pid, kFd, "127.0.0.1:80", 0));
  entries.push_back(Entry::SendTo(pid, kFd, "data", "127.0.0.1:80", 0, 0));
  entries.push_back(Entry::RecvFrom(pid, kFd, 1, 0, 0));
  entries.push_back(Entry::IpcSend(pid, pid, "data", 0));
  entries.push_back(Entry::IpcRecv(pid, 1, 0));
  entries.push_back(Entry::Statx(pid, "file", 0, STATX_BASIC_STATS, 0));
  entries.push_back(Entry::Rename(pid, "from", "to", 0, 0));
  entries.push_back(Entry::Unlink(pid, "file", 0, 0));
  entries.push_back(Entry::Mkdir(pid, "directory", 0755, 0));
  entries.push_back(Entry::Fallocate(pid, kFd, 0, 0, 1, 0));
  entries.push_back(Entry::Ftruncate(pid, kFd, 0, 0));
  entries.push_back(Entry::Splice(pid, kFd, -1, kFd, -1, 1, 0, 0));
  entries.push_back(Entry::Socket(pid, AF_INET, SOCK_STREAM, 0, 0));
  entries.push_back(Entry::Shutdown(pid, kFd, SHUT_RDWR, 0));
  entries.push_back(Entry::Poll(pid, kFd, POLLIN, 0));
  entries.push_back(Entry::Sleep(pid, absl::Seconds(1), 0));
  entries.push_back(Entry::ReadInto(pid, kFd, ResultBufferPool::NewUnpooled(8), 8, 0, 0));
  entries.push_back(Entry::RecvInto(pid, kFd, ResultBufferPool::NewUnpooled(8), 8, 0, 0));
  entries.push_back(Entry::AcceptMany(pid, kFd, 0));
  entries.push_back(Entry::RecvMany(pid, kFd, 0, 0));
  entries.push_back(Entry::CopyFileRange(pid, kFd, 0, kFd, 0, 1, 0));
  return entries;
}

struct OnFd {
  const char* name;
  std::function<Entry(int fd)> make;
};

std::vector<OnFd> EveryOperationOnAnFd() {
  return {
      {"Close", [](int fd) { return Entry::Close(kPid, fd, 0); }},
      {"Read", [](int fd) { return Entry::Read(kPid, fd, 1, 0, 0); }},
      {"Write", [](int fd) { return Entry::Write(kPid, fd, "x", 0, 0); }},
      {"Fsync", [](int fd) { return Entry::Fsync(kPid, fd, 0); }},
      {"Lseek", [](int fd) { return Entry::Lseek(kPid, fd, 0, SEEK_SET, 0); }},
      {"Send", [](int fd) { return Entry::Send(kPid, fd, "x", 0, 0); }},
      {"Recv", [](int fd) { return Entry::Recv(kPid, fd, 1, 0, 0); }},
      {"Accept", [](int fd) { return Entry::Accept(kPid, fd, 0); }},
      {"Connect", [](int fd) { return Entry::Connect(kPid, fd, "127.0.0.1:80", 0); }},
      {"SendTo", [](int fd) { return Entry::SendTo(kPid, fd, "x", "127.0.0.1:80", 0, 0); }},
      {"RecvFrom", [](int fd) { return Entry::RecvFrom(kPid, fd, 1, 0, 0); }},
      {"Fallocate", [](int fd) { return Entry::Fallocate(kPid, fd, 0, 0, 1, 0); }},
      {"Ftruncate", [](int fd) { return Entry::Ftruncate(kPid, fd, 0, 0); }},
      {"Shutdown", [](int fd) { return Entry::Shutdown(kPid, fd, SHUT_RD, 0); }},
      {"Poll", [](int fd) { return Entry::Poll(kPid, fd, POLLIN, 0); }},
  };
}

struct OnPath {
  const char* name;
  std::function<Entry(std::string path)> make;
  const char* field = "path";
};

std::vector<OnPath> EveryOperationOnAPath() {
  return {
      {"ReadFile", [](std::string path) { return Entry::ReadFile(kPid, std::move(path), 0); }},
      {"WriteFile", [](std::string path) { return Entry::WriteFile(kPid, std::move(path), "x", 0); }},
      {"Open", [](std::string path) { return Entry::Open(kPid, std::move(path), O_RDONLY, 0, 0); }},
      {"Statx", [](std::string path) { return Entry::Statx(kPid, std::move(path), 0, 0, 0); }},
      {"Rename", [](std::string path) { return Entry::Rename(kPid, std::move(path), "to", 0, 0); }, "from"},
      {"Rename", [](std::string path) { return Entry::Rename(kPid, "from", std::move(path), 0, 0); }, "to"},
      {"Unlink", [](std::string path) { return Entry::Unlink(kPid, std::move(path), 0, 0); }},
      {"Mkdir", [](std::string path) { return Entry::Mkdir(kPid, std::move(path), 0, 0); }},
  };
}

struct OfSize {
  const char* name;
  std::function<Entry(size_t size)> make;
};

std::vector<OfSize> EveryOperationWithASize() {
  return {
      {"Read", [](size_t size) { return Entry::Read(kPid, kFd, size, 0, 0); }},
      {"Recv", [](size_t size) { return Entry::Recv(kPid, kFd, size, 0, 0); }},
      {"RecvFrom", [](size_t size) { return Entry::RecvFrom(kPid, kFd, size, 0, 0); }},
      {"IpcRecv", [](size_t size) { return Entry::IpcRecv(kPid, size, 0); }},
      {"Splice", [](size_t size) { return Entry::Splice(kPid, kFd, -1, kFd, -1, size, 0, 0); }},
      {"CopyFileRange", [](size_t size) { return Entry::CopyFileRange(kPid, kFd, -1, kFd, -1, size, 0); }},
  };
}

std::vector<OfSize> EveryOperationThatTransfersData() {
  return {
      {"Write", [](size_t size) { return Entry::Write(kPid, kFd, Claiming(size), 0, 0); }},
      {"Send", [](size_t size) { return Entry::Send(kPid, kFd, Claiming(size), 0, 0); }},
      {"SendTo", [](size_t size) { return Entry::SendTo(kPid, kFd, Claiming(size), "127.0.0.1:80", 0, 0); }},
  };
}

struct WithFlags {
  const char* name;
  std::function<Entry(int flags)> make;
  const char* field = "flags";
};

// Tries every single bit, so that none of another system call's gets through.
void ExpectExactly(int known, const std::vector<WithFlags>& operations) {
  for (const auto& [name, make, field] : operations) {
    EXPECT_EQ(ValidateEntry(kPid, make(known)), absl::OkStatus()) << name;
    for (int bit = 0; bit < 32; ++bit) {
      const auto flags = static_cast<int>(uint32_t{1} << bit);
      const absl::Status status = ValidateEntry(kPid, make(flags));
      if ((flags & known) != 0) {
        EXPECT_EQ(status, absl::OkStatus()) << name << " bit " << bit;
        continue;
      }
      ExpectRefused(Table<Bad>(Bad{make(flags), absl::StrCat(name, ".", field, " is 0x"), "made of"}));
      const std::string hex = absl::StrCat("0x", absl::Hex(uint32_t{1} << bit));
      const absl::Status both = ValidateEntry(kPid, make(flags | known));
      EXPECT_TRUE(absl::StrContains(both.message(), absl::StrCat(" with the unknown bits ", hex, ":"))) << both;
    }
  }
}

TEST(EntryValidation, AcceptsEveryOperationWithGoodOperands) {
  const std::vector<Entry> entries = OneOfEach(kPid);
  // All but None.
  ASSERT_EQ(entries.size(), kOperationKinds - 1);
  for (const Entry& entry : entries) {
    EXPECT_EQ(ValidateEntry(kPid, entry), absl::OkStatus()) << OperationName(entry.kind());
  }
}

TEST(EntryValidation, RefusesTheEntryOfAnotherProcess) {
  for (const Entry& entry : OneOfEach(kPid + 1)) {
    const absl::Status status = ValidateEntry(kPid, entry);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message(),
              absl::StrCat(OperationName(entry.kind()), ".pid is 8: it must be 7, the process that the call names"));
  }
}

TEST(EntryValidation, TakesEveryValueOfPidForALegalOne) {
  for (Pid pid : {Pid{0}, Pid{1}, std::numeric_limits<Pid>::max()}) {
    EXPECT_EQ(ValidateEntry(pid, Entry::Nop(pid, 0)), absl::OkStatus()) << pid;
  }
}

TEST(EntryValidation, RefusesAnEntryThatAsksForNothing) {
  Entry moved_from = Entry::ReadFile(kPid, "file", 0);
  const Entry taken = std::move(moved_from);
  const Entry never_set;
  for (const Entry* entry : {static_cast<const Entry*>(&moved_from), &never_set}) {
    for (Pid pid : {kPid, entry->pid(), Pid{99}}) {
      const absl::Status status = ValidateEntry(pid, *entry);
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_TRUE(absl::StrContains(status.message(), "default-constructed or moved from")) << status;
    }
  }
  EXPECT_EQ(ValidateEntry(kPid, taken), absl::OkStatus());
}

TEST(EntryValidation, RefusesNegativeFds) {
  for (const auto& [name, make] : EveryOperationOnAnFd()) {
    for (int fd : {0, 1, std::numeric_limits<int>::max()}) {
      EXPECT_EQ(ValidateEntry(kPid, make(fd)), absl::OkStatus()) << name << " " << fd;
    }
    for (int fd : {-1, AT_FDCWD, std::numeric_limits<int>::min()}) {
      ExpectRefused(Table<Bad>(Bad{make(fd), absl::StrCat(name, ".fd is ", fd, ": "), "from 0 upward"}));
    }
  }
}

TEST(EntryValidation, RefusesPathsThatAreEmptyTooLongOrCutByANul) {
  const std::string longest(PATH_MAX - 1, 'p');
  for (const auto& [name, make, field] : EveryOperationOnAPath()) {
    const std::string names = absl::StrCat(name, ".", field, " is ");
    for (const std::string& path : {std::string("f"), std::string("/"), std::string("\xff\n "), longest}) {
      EXPECT_EQ(ValidateEntry(kPid, make(path)), absl::OkStatus()) << name;
    }
    ExpectRefused(Table<Bad>(
        Bad{make(""), names + "empty: ", "the name of a file"},
        Bad{make(longest + "p"), names + "4096 bytes long: ", "at most 4095"},
        Bad{make(std::string(size_t{1} << 20, 'p')), names + "1048576 bytes long: ", "at most 4095"},
        Bad{make(std::string("\0", 1)), names + "\"\" and a NUL byte at position 0", "free of NUL bytes"},
        Bad{make(std::string("a\0b", 3)), names + "\"a\" and a NUL byte at position 1", "free of NUL bytes"},
        Bad{make(std::string("ab\0", 3)), names + "\"ab\" and a NUL byte at position 2", "free of NUL bytes"},
        Bad{make(std::string(4000, '\n') + std::string("\0", 1)), names + "\"\\n\\n", "...\" and a NUL byte at position 4000"}));
  }
}

TEST(EntryValidation, RefusesSizesBeyondWhatOneCallMoves) {
  for (const auto& [name, make] : EveryOperationWithASize()) {
    for (size_t size : {size_t{1}, size_t{4096}, kMaxTransferSize}) {
      EXPECT_EQ(ValidateEntry(kPid, make(size)), absl::OkStatus()) << name << " " << size;
    }
    for (size_t size : {size_t{0}, kMaxTransferSize + 1, size_t{1} << 32, size_t{1} << 63, std::numeric_limits<size_t>::max()}) {
      ExpectRefused(Table<Bad>(Bad{make(size), absl::StrCat(name, ".size is ", size, ": "), "from 1 to 2147479552"}));
    }
  }
}

TEST(EntryValidation, TakesNoDataButNotMoreThanOneCallMoves) {
  for (const auto& [name, make] : EveryOperationThatTransfersData()) {
    for (size_t size : {size_t{0}, size_t{1}, kMaxTransferSize}) {
      EXPECT_EQ(ValidateEntry(kPid, make(size)), absl::OkStatus()) << name << " " << size;
    }
    for (size_t size : {kMaxTransferSize + 1, size_t{1} << 32, std::numeric_limits<size_t>::max()}) {
      ExpectRefused(Table<Bad>(Bad{make(size), absl::StrCat(name, ".data is ", size, " bytes long: "), "at most 2147479552"}));
    }
  }
}

TEST(EntryValidation, LetsWriteFileTakeMoreThanOneCallMoves) {
  for (size_t size : {size_t{0}, kMaxTransferSize + 1, kMaxFileDataSize}) {
    EXPECT_EQ(ValidateEntry(kPid, Entry::WriteFile(kPid, "file", Claiming(size), 0)), absl::OkStatus()) << size;
  }
  ExpectRefused(Table<Bad>(Bad{Entry::WriteFile(kPid, "file", Claiming(kMaxFileDataSize + 1), 0),
                               "WriteFile.data is 1099511627777 bytes long: ", "at most 1099511627776"}));
}

TEST(EntryValidation, LetsTheMailboxJudgeTheSizeOfAMessage) {
  ExpectAccepted(Table<Good>(Good{"empty", Entry::IpcSend(kPid, 1, Bytes(), 0)},
                             Good{"huge", Entry::IpcSend(kPid, 1, Claiming(kMaxFileDataSize), 0)}));
}

TEST(EntryValidation, RefusesOffsetsBelowTheCurrentPosition) {
  const char* const allowed = "it must be -1 (the file's own position) or from 0 upward";
  ExpectAccepted(Table<Good>(Good{"read here", Entry::Read(kPid, kFd, 1, kCurrentPosition, 0)},
                             Good{"read 0", Entry::Read(kPid, kFd, 1, 0, 0)},
                             Good{"write here", Entry::Write(kPid, kFd, "x", kCurrentPosition, 0)},
                             Good{"write 0", Entry::Write(kPid, kFd, "x", 0, 0)}));
  for (int64_t offset : {int64_t{-2}, int64_t{-7}, std::numeric_limits<int64_t>::min()}) {
    ExpectRefused(
        Table<Bad>(Bad{Entry::Read(kPid, kFd, 1, offset, 0), absl::StrCat("Read.offset is ", offset, ": "), allowed},
                   Bad{Entry::Write(kPid, kFd, "x", offset, 0), absl::StrCat("Write.offset is ", offset, ": "), allowed}));
  }
}

TEST(EntryValidation, RefusesOffsetsFromWhichTheTransferWouldOverflow) {
  ExpectAccepted(
      Table<Good>(Good{"read a byte", Entry::Read(kPid, kFd, 1, kMaxOffset - 1, 0)},
                  Good{"read most", Entry::Read(kPid, kFd, kMaxTransferSize, kMaxOffset - kMaxTransfer, 0)},
                  Good{"read most here", Entry::Read(kPid, kFd, kMaxTransferSize, kCurrentPosition, 0)},
                  Good{"write nothing", Entry::Write(kPid, kFd, Bytes(), kMaxOffset, 0)},
                  Good{"write a byte", Entry::Write(kPid, kFd, "x", kMaxOffset - 1, 0)},
                  Good{"write most", Entry::Write(kPid, kFd, Claiming(kMaxTransferSize), kMaxOffset - kMaxTransfer, 0)}));
  ExpectRefused(
      Table<Bad>(Bad{Entry::Read(kPid, kFd, 1, kMaxOffset, 0), absl::StrCat("Read.offset is ", kMaxOffset, ": "),
                     absl::StrCat("at most ", kMaxOffset - 1)},
                 Bad{Entry::Read(kPid, kFd, kMaxTransferSize, kMaxOffset - kMaxTransfer + 1, 0), "Read.offset is ",
                     absl::StrCat("at most ", kMaxOffset - kMaxTransfer)},
                 Bad{Entry::Write(kPid, kFd, "x", kMaxOffset, 0), "Write.offset is ", absl::StrCat("at most ", kMaxOffset - 1)},
                 Bad{Entry::Write(kPid, kFd, Claiming(kMaxTransferSize), kMaxOffset - kMaxTransfer + 1, 0), "Write.offset is ",
                     absl::StrCat("at most ", kMaxOffset - kMaxTransfer)}));
}

TEST(EntryValidation, KnowsTheFiveWaysToSeek) {
  for (int whence : {SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE}) {
    for (int64_t offset : {std::numeric_limits<int64_t>::min(), int64_t{-1}, int64_t{0}, kMaxOffset}) {
      EXPECT_EQ(ValidateEntry(kPid, Entry::Lseek(kPid, kFd, offset, whence, 0)), absl::OkStatus()) << whence << " " << offset;
    }
  }
  for (int whence : {-1, 5, 99, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()}) {
    ExpectRefused(Table<Bad>(Bad{Entry::Lseek(kPid, kFd, 0, whence, 0), absl::StrCat("Lseek.whence is ", whence, ": "),
                                 "SEEK_SET (0), SEEK_CUR (1)"}));
  }
}

TEST(EntryValidation, ConfinesToADirectoryByARelativePath) {
  const auto every_kind = [](int fd, const std::string& path) {
    std::vector<Entry> entries;
    entries.push_back(Entry::OpenBeneath(kPid, fd, path, O_RDONLY, 0, 0));
    entries.push_back(Entry::ReadFileBeneath(kPid, fd, path, 0));
    entries.push_back(Entry::WriteFileBeneath(kPid, fd, path, "x", 0));
    return entries;
  };
  // What leaves the directory is the kernel's to say.
  for (const char* path : {"file", "a/b", "..", "./x", "a//b"}) {
    for (const Entry& entry : every_kind(kFd, path)) EXPECT_EQ(ValidateEntry(kPid, entry), absl::OkStatus()) << path;
  }
  for (Entry& entry : every_kind(0, "file")) EXPECT_EQ(ValidateEntry(kPid, entry), absl::OkStatus());
  for (Entry& entry : every_kind(kFd, "/etc/passwd")) {
    const std::string name(OperationName(entry.kind()));
    ExpectRefused(Table<Bad>(Bad{std::move(entry), absl::StrCat(name, ".path is \"/etc/passwd\", absolute: "), "relative"}));
  }
  for (Entry& entry : every_kind(kFd, "/" + std::string(4000, 'x'))) {
    const std::string name(OperationName(entry.kind()));
    ExpectRefused(Table<Bad>(Bad{std::move(entry), absl::StrCat(name, ".path is \"/xxx"), "without the leading '/'"}));
  }
  for (int fd : {-1, -100, std::numeric_limits<int>::min()}) {
    for (Entry& entry : every_kind(fd, "file")) {
      const std::string name(OperationName(entry.kind()));
      ExpectRefused(Table<Bad>(Bad{std::move(entry), absl::StrCat(name, ".beneath_fd is ", fd, ": "), "from 0 upward"}));
    }
  }
  for (Entry& entry : every_kind(kFd, "")) {
    const std::string name(OperationName(entry.kind()));
    ExpectRefused(Table<Bad>(Bad{std::move(entry), absl::StrCat(name, ".path is empty: "), "the name of a file"}));
  }
  for (Entry& entry : every_kind(kFd, std::string("a\0b", 3))) {
    const std::string name(OperationName(entry.kind()));
    ExpectRefused(Table<Bad>(Bad{std::move(entry), absl::StrCat(name, ".path is \"a\" and a NUL byte"), "free of NUL bytes"}));
  }
}

TEST(EntryValidation, KnowsTheFlagsOfOpen) {
  // Without the two bits of the access mode, of which one alone is a mode and both are not.
  const int known = O_WRONLY | O_RDWR | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | O_ASYNC |
                    O_DIRECT | O_LARGEFILE | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE;
  const auto open = [](int flags) { return Entry::Open(kPid, "file", flags, 0, 0); };
  for (int flags : {O_RDONLY, O_WRONLY, O_RDWR, O_DSYNC, O_DIRECTORY, (known & ~O_ACCMODE) | O_RDWR}) {
    EXPECT_EQ(ValidateEntry(kPid, open(flags)), absl::OkStatus()) << flags;
  }
  for (int bit = 0; bit < 32; ++bit) {
    const auto flags = static_cast<int>(uint32_t{1} << bit);
    if ((flags & known) != 0) {
      EXPECT_EQ(ValidateEntry(kPid, open(flags)), absl::OkStatus()) << bit;
    } else {
      const std::string hex = absl::StrCat("0x", absl::Hex(uint32_t{1} << bit));
      ExpectRefused(Table<Bad>(
          Bad{open(flags), absl::StrCat("Open.flags is ", hex, " with the unknown bits ", hex, ": "), "the flags of open(2)"}));
    }
  }
  ExpectRefused(Table<Bad>(Bad{open(3), "Open.flags is 0x3 with the access mode 3: ", "O_RDONLY, O_WRONLY and O_RDWR"},
                           Bad{open(O_CREAT | O_ACCMODE), "Open.flags is 0x43 with the access mode 3: ", "O_RDWR"}));
}

TEST(EntryValidation, KnowsPermissionBits) {
  for (mode_t mode : {0u, 0644u, 0777u, 07777u}) {
    EXPECT_EQ(ValidateEntry(kPid, Entry::Open(kPid, "file", O_CREAT, mode, 0)), absl::OkStatus()) << mode;
  }
  ExpectRefused(
      Table<Bad>(Bad{Entry::Open(kPid, "file", O_CREAT, 010000, 0), "Open.mode is 010000: ", "from 0 to 07777"},
                 Bad{Entry::Open(kPid, "file", O_CREAT, 0100644, 0), "Open.mode is 0100644: ", "from 0 to 07777"},
                 Bad{Entry::Open(kPid, "file", O_CREAT, ~mode_t{0}, 0), "Open.mode is 037777777777: ", "from 0 to 07777"}));
}

TEST(EntryValidation, KnowsTheFlagsOfSending) {
  ExpectExactly(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_OOB | MSG_DONTROUTE | MSG_EOR | MSG_MORE | MSG_CONFIRM,
                {{"Send", [](int flags) { return Entry::Send(kPid, kFd, "x", flags, 0); }},
                 {"SendTo", [](int flags) { return Entry::SendTo(kPid, kFd, "x", "127.0.0.1:80", flags, 0); }}});
}

TEST(EntryValidation, KnowsTheFlagsOfReceiving) {
  ExpectExactly(MSG_WAITALL | MSG_PEEK | MSG_DONTWAIT | MSG_OOB,
                {{"Recv", [](int flags) { return Entry::Recv(kPid, kFd, 1, flags, 0); }},
                 {"RecvFrom", [](int flags) { return Entry::RecvFrom(kPid, kFd, 1, flags, 0); }}});
}

TEST(EntryValidation, KnowsTheFlagsOfTheFurtherOperations) {
  const auto statx = [](int flags) { return Entry::Statx(kPid, "file", flags, 0, 0); };
  const auto rename = [](int flags) { return Entry::Rename(kPid, "from", "to", static_cast<uint32_t>(flags), 0); };
  const auto unlink = [](int flags) { return Entry::Unlink(kPid, "file", flags, 0); };
  const auto fallocate = [](int mode) { return Entry::Fallocate(kPid, kFd, mode, 0, 1, 0); };
  const auto splice = [](int flags) { return Entry::Splice(kPid, kFd, -1, kFd, -1, 1, static_cast<uint32_t>(flags), 0); };
  const auto socket = [](int type) { return Entry::Socket(kPid, AF_INET, type, 0, 0); };
  const auto poll = [](int events) { return Entry::Poll(kPid, kFd, static_cast<uint32_t>(events), 0); };
  for (int sync : {AT_STATX_FORCE_SYNC, AT_STATX_DONT_SYNC}) {
    EXPECT_EQ(ValidateEntry(kPid, statx(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | sync)), absl::OkStatus());
  }
  ExpectRefused(
      Table<Bad>(Bad{statx(AT_EMPTY_PATH), "Statx.flags is 0x1000 with the unknown bits 0x1000: ", "AT_SYMLINK_NOFOLLOW"},
                 Bad{statx(AT_STATX_SYNC_TYPE), "Statx.flags is 0x6000, which asks for two things at once: ", "either"},
                 Bad{rename(RENAME_WHITEOUT), "Rename.flags is 0x4 with the unknown bits 0x4: ", "RENAME_NOREPLACE"},
                 Bad{rename(RENAME_NOREPLACE | RENAME_EXCHANGE), "Rename.flags is 0x3, which asks for two things", "either"}));
  for (int flags : {0, int{RENAME_NOREPLACE}, int{RENAME_EXCHANGE}}) {
    EXPECT_EQ(ValidateEntry(kPid, rename(flags)), absl::OkStatus()) << flags;
  }
  ExpectExactly(AT_REMOVEDIR, {{"Unlink", unlink}});
  ExpectExactly(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_ZERO_RANGE |
                    FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE,
                {{"Fallocate", fallocate, "mode"}});
  ExpectExactly(SPLICE_F_MOVE | SPLICE_F_MORE | SPLICE_F_NONBLOCK, {{"Splice", splice}});
  ExpectExactly(0xf | SOCK_NONBLOCK | SOCK_CLOEXEC, {{"Socket", socket, "type"}});
  ExpectExactly(POLLIN | POLLOUT | POLLPRI | POLLRDHUP, {{"Poll", poll, "events"}});
  for (const Entry& none : Table<Entry>(unlink(0), fallocate(0), splice(0), socket(0), poll(0), statx(0))) {
    EXPECT_EQ(ValidateEntry(kPid, none), absl::OkStatus()) << OperationName(none.kind());
  }
}

TEST(EntryValidation, KnowsTheOperandsOfTheFurtherOperations) {
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
  ExpectAccepted(Table<Good>(
      Good{"every field", Entry::Statx(kPid, "f", 0, ~uint32_t{STATX__RESERVED}, 0)},
      Good{"sticky", Entry::Mkdir(kPid, "d", 01777, 0)}, Good{"to the end", Entry::Fallocate(kPid, 0, 0, 0, kMaxOffset, 0)},
      Good{"the last byte", Entry::Fallocate(kPid, 0, 0, kMaxOffset - 1, 1, 0)},
      Good{"longest", Entry::Ftruncate(kPid, 0, kMaxOffset, 0)},
      Good{"both offsets", Entry::Splice(kPid, 0, 0, 0, kMaxOffset - 1, 1, 0, 0)},
      Good{"a protocol", Entry::Socket(kPid, 0, 0, std::numeric_limits<int>::max(), 0)},
      Good{"reading", Entry::Shutdown(kPid, 0, SHUT_RD, 0)}, Good{"writing", Entry::Shutdown(kPid, 0, SHUT_WR, 0)},
      Good{"no time", Entry::Sleep(kPid, absl::ZeroDuration(), 0)},
      Good{"the longest time", Entry::Sleep(kPid, absl::Seconds(std::numeric_limits<int64_t>::max()), 0)}));
  ExpectRefused(Table<Bad>(
      Bad{Entry::Statx(kPid, "f", 0, STATX__RESERVED, 0), "Statx.mask is 0x80000000: ", "STATX_"},
      Bad{Entry::Mkdir(kPid, "d", 040755, 0), "Mkdir.mode is 040755: ", "from 0 to 07777"},
      Bad{Entry::Fallocate(kPid, 0, 0, 0, 0, 0), "Fallocate.size is 0: ", "from 1 upward"},
      Bad{Entry::Fallocate(kPid, 0, 0, 0, kLeast, 0), absl::StrCat("Fallocate.size is ", kLeast), "from 1 upward"},
      Bad{Entry::Fallocate(kPid, 0, 0, -1, 1, 0), "Fallocate.offset is -1: ", "from 0 to"},
      Bad{Entry::Fallocate(kPid, 0, 0, 2, kMaxOffset - 1, 0), "Fallocate.offset is 2: ", "from 0 to 1,"},
      Bad{Entry::Ftruncate(kPid, 0, -1, 0), "Ftruncate.size is -1: ", "from 0 upward"},
      Bad{Entry::Splice(kPid, -1, -1, 0, -1, 1, 0, 0), "Splice.from_fd is -1: ", "a file descriptor"},
      Bad{Entry::Splice(kPid, 0, -1, -9, -1, 1, 0, 0), "Splice.to_fd is -9: ", "a file descriptor"},
      Bad{Entry::Splice(kPid, 0, -2, 0, -1, 1, 0, 0), "Splice.from_offset is -2: ", "-1 (the file's own position)"},
      Bad{Entry::CopyFileRange(kPid, -1, 0, 0, 0, 1, 0), "CopyFileRange.from_fd is -1: ", "a file descriptor"},
      Bad{Entry::CopyFileRange(kPid, 0, 0, 0, -2, 1, 0), "CopyFileRange.to_offset is -2: ", "-1 (the file's own position)"},
      Bad{Entry::Splice(kPid, 0, kMaxOffset, 0, -1, 1, 0, 0), "Splice.from_offset is 9223372036854775807: ", "at most"},
      Bad{Entry::Splice(kPid, 0, -1, 0, kLeast, 1, 0, 0), "Splice.to_offset is -9223372036854775808: ", "-1 (the file's"},
      Bad{Entry::Splice(kPid, 0, -1, 0, kMaxOffset, 1, 0, 0), "Splice.to_offset is 9223372036854775807: ", "at most"},
      Bad{Entry::Socket(kPid, -1, SOCK_STREAM, 0, 0), "Socket.domain is -1: ", "AF_INET"},
      Bad{Entry::Socket(kPid, AF_INET, SOCK_STREAM, -1, 0), "Socket.protocol is -1: ", "from 0"},
      Bad{Entry::Shutdown(kPid, 0, -1, 0), "Shutdown.how is -1: ", "SHUT_RD (0)"},
      Bad{Entry::Shutdown(kPid, 0, 3, 0), "Shutdown.how is 3: ", "SHUT_RDWR (2)"},
      Bad{Entry::Sleep(kPid, absl::Nanoseconds(-1), 0), "Sleep.duration is -1ns: ", "zero or longer"},
      Bad{Entry::Sleep(kPid, -absl::InfiniteDuration(), 0), "Sleep.duration is -inf: ", "zero or longer"},
      Bad{Entry::Sleep(kPid, absl::InfiniteDuration(), 0), "Sleep.duration is inf: ", "finite"}));
}

TEST(EntryValidation, P14RefusesAddressesWithTheirOwnReason) {
  for (const std::string& address :
       {std::string(), std::string("localhost:80"), std::string("1.2.3.4:080"), std::string(1 << 20, ' ')}) {
    const std::string reason(ParseSocketAddress(address).status().message());
    ASSERT_FALSE(reason.empty());
    EXPECT_EQ(ValidateEntry(kPid, Entry::Connect(kPid, kFd, address, 0)),
              absl::InvalidArgumentError(absl::StrCat("Connect.", reason)));
    EXPECT_EQ(ValidateEntry(kPid, Entry::SendTo(kPid, kFd, "x", address, 0, 0)),
              absl::InvalidArgumentError(absl::StrCat("SendTo.", reason)));
  }
  for (const char* address : {"[::1]:80", "unix:/tmp/socket", "unix:@name"}) {
    EXPECT_EQ(ValidateEntry(kPid, Entry::Connect(kPid, kFd, address, 0)), absl::OkStatus()) << address;
    EXPECT_EQ(ValidateEntry(kPid, Entry::SendTo(kPid, kFd, "x", address, 0, 0)), absl::OkStatus()) << address;
  }
}

TEST(EntryValidation, LeavesTheEntryAsItWas) {
  const Entry entry = Entry::WriteFile(kPid, std::string("a\0b", 3), "data", 42);
  EXPECT_FALSE(ValidateEntry(kPid, entry).ok());
  EXPECT_EQ(entry.kind(), OperationKind::kWriteFile);
  EXPECT_EQ(entry.user_data(), 42u);
  EXPECT_EQ(std::get<operation::WriteFile>(entry.operation()).data.view(), "data");
}

}  // namespace
}  // namespace agentos
