// Statx, Rename, Unlink, Mkdir, Fallocate, Ftruncate, Splice, Socket, Shutdown, Poll and Sleep through the manager, against what
// the plain system calls say.

#include <fcntl.h>
#include <linux/falloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr int64_t kFarthest = std::numeric_limits<int64_t>::max();

class FurtherOperationsTest : public ManagerTest {
 protected:
  Fd OpenFile(absl::string_view name, int flags) { return Fd(open(Path(name).c_str(), flags | O_CLOEXEC, 0644)); }

  // What the entry says of the file, after it has succeeded.
  struct statx StatusOf(absl::string_view name, int flags = 0, uint32_t mask = STATX_BASIC_STATS) {
    struct statx status = {};
    const Done done = Run(Entry::Statx(kPid, Path(name), flags, mask, 0));
    EXPECT_TRUE(Succeeded(done, 0));
    EXPECT_EQ(done.result.data().size(), sizeof(status));
    if (done.result.data().size() == sizeof(status)) std::memcpy(&status, done.result.data().data(), sizeof(status));
    return status;
  }
  uint64_t SizeOf(absl::string_view name) { return StatusOf(name).stx_size; }

  // The message of an error names the operation and what it was about.
  void ExpectError(Entry entry, int error_number, absl::string_view operation, absl::string_view context) {
    const Done done = Run(std::move(entry));
    EXPECT_TRUE(FailedWith(done, error_number)) << operation << " " << context;
    EXPECT_TRUE(absl::StartsWith(done.status.error_message(), absl::StrCat(operation, "(", context, ")")))
        << done.status.error_message();
  }

  Done Splice(int from, int to, size_t size, uint32_t flags = 0) {
    return Run(Entry::Splice(kPid, from, kCurrentPosition, to, kCurrentPosition, size, flags, 0));
  }
};

// Paths.

TEST_P(FurtherOperationsTest, StatxGivesWhatThePlainCallGives) {
  Spill(Path("file"), Content(12345));
  ASSERT_EQ(mkdir(Path("directory").c_str(), 0750), 0);
  ASSERT_EQ(symlink("file", Path("link").c_str()), 0);
  for (const char* name : {"file", "directory", "link", ""}) {
    for (int flags : {0, AT_SYMLINK_NOFOLLOW, AT_NO_AUTOMOUNT | AT_STATX_FORCE_SYNC, int{AT_STATX_DONT_SYNC}}) {
      struct statx expected = {};
      ASSERT_EQ(statx(AT_FDCWD, Path(name).c_str(), flags, STATX_BASIC_STATS | STATX_BTIME, &expected), 0);
      const struct statx status = StatusOf(name, flags, STATX_BASIC_STATS | STATX_BTIME);
      EXPECT_EQ(std::memcmp(&status, &expected, sizeof(status)), 0) << name << " " << flags;
    }
  }
  EXPECT_EQ(SizeOf("file"), 12345u);
  EXPECT_TRUE(S_ISREG(StatusOf("link").stx_mode));
  EXPECT_TRUE(S_ISLNK(StatusOf("link", AT_SYMLINK_NOFOLLOW).stx_mode));
}

TEST_P(FurtherOperationsTest, P12StatxOfManyAtOnceGivesEachItsOwn) {
  constexpr size_t kFiles = 100;
  std::vector<Entry> entries;
  for (size_t i = 0; i < kFiles; ++i) {
    Spill(Path(absl::StrCat(i)), Content(i));
    entries.push_back(Entry::Statx(kPid, Path(absl::StrCat(i)), 0, STATX_SIZE, i));
  }
  for (const Done& done : RunBatch(std::move(entries))) {
    struct statx status;
    ASSERT_EQ(done.result.data().size(), sizeof(status));
    std::memcpy(&status, done.result.data().data(), sizeof(status));
    EXPECT_EQ(status.stx_size, done.user_data);
  }
}

TEST_P(FurtherOperationsTest, RenameMovesReplacesRefusesAndExchanges) {
  Spill(Path("a"), "of a");
  Spill(Path("b"), "of b");
  EXPECT_TRUE(Succeeded(Run(Entry::Rename(kPid, Path("a"), Path("b"), RENAME_EXCHANGE, 0)), 0));
  EXPECT_EQ(Slurp(Path("a")), "of b");
  EXPECT_EQ(Slurp(Path("b")), "of a");
  ExpectError(Entry::Rename(kPid, Path("a"), Path("b"), RENAME_NOREPLACE, 0), EEXIST, "Rename",
              absl::StrCat(Path("a"), " to ", Path("b")));
  EXPECT_EQ(Slurp(Path("a")), "of b");
  EXPECT_TRUE(Succeeded(Run(Entry::Rename(kPid, Path("a"), Path("c"), RENAME_NOREPLACE, 0)), 0));
  EXPECT_EQ(Slurp(Path("c")), "of b");
  EXPECT_TRUE(Succeeded(Run(Entry::Rename(kPid, Path("c"), Path("b"), 0, 0)), 0));
  EXPECT_EQ(Slurp(Path("b")), "of b");
  EXPECT_NE(access(Path("c").c_str(), F_OK), 0);
}

TEST_P(FurtherOperationsTest, MkdirMakesWithModeAndUmaskAndUnlinkRemoves) {
  const mode_t before = umask(027);
  EXPECT_TRUE(Succeeded(Run(Entry::Mkdir(kPid, Path("directory"), 0777, 0)), 0));
  umask(before);
  EXPECT_EQ(StatusOf("directory").stx_mode, S_IFDIR | 0750);
  Spill(Path("file"), "");
  ASSERT_EQ(symlink("file", Path("link").c_str()), 0);
  EXPECT_TRUE(Succeeded(Run(Entry::Unlink(kPid, Path("link"), 0, 0)), 0));
  EXPECT_EQ(access(Path("file").c_str(), F_OK), 0) << "the link went, not what it leads to";
  EXPECT_TRUE(Succeeded(Run(Entry::Unlink(kPid, Path("file"), 0, 0)), 0));
  EXPECT_TRUE(Succeeded(Run(Entry::Unlink(kPid, Path("directory"), AT_REMOVEDIR, 0)), 0));
  EXPECT_NE(access(Path("file").c_str(), F_OK), 0);
  EXPECT_NE(access(Path("directory").c_str(), F_OK), 0);
}

TEST_P(FurtherOperationsTest, ErrorsOfPathsAreThoseOfTheSystemCallsAndNameThem) {
  Spill(Path("file"), "");
  ASSERT_EQ(mkdir(Path("full").c_str(), 0755), 0);
  Spill(Path("full/file"), "");
  ASSERT_EQ(symlink("loop", Path("loop").c_str()), 0);
  const std::string missing = Path("missing");
  const std::string below_file = Path("file/below");
  const std::string loop = Path("loop/below");
  const std::string too_long = Path(std::string(256, 'n'));
  const std::string file = Path("file");
  const std::string full = Path("full");
  const std::string new_name = Path("new");
  const struct {
    std::string path;
    int error_number;
  } kNames[] = {{Path("missing/name"), ENOENT}, {below_file, ENOTDIR}, {loop, ELOOP}, {too_long, ENAMETOOLONG}};
  for (const auto& [path, error] : kNames) {
    ExpectError(Entry::Statx(kPid, path, 0, STATX_BASIC_STATS, 0), error, "Statx", path);
    ExpectError(Entry::Rename(kPid, path, new_name, 0, 0), error, "Rename", absl::StrCat(path, " to ", new_name));
    ExpectError(Entry::Rename(kPid, file, path, 0, 0), error, "Rename", absl::StrCat(file, " to ", path));
    ExpectError(Entry::Unlink(kPid, path, 0, 0), error, "Unlink", path);
    ExpectError(Entry::Mkdir(kPid, path, 0755, 0), error, "Mkdir", path);
  }
  const Done failed = Run(Entry::Statx(kPid, missing, 0, STATX_BASIC_STATS, 3));
  EXPECT_TRUE(failed.result.data().empty());
  EXPECT_EQ(failed.user_data, 3u);
  ExpectError(Entry::Rename(kPid, file, full, 0, 0), EISDIR, "Rename", absl::StrCat(file, " to ", full));
  ExpectError(Entry::Rename(kPid, full, file, 0, 0), ENOTDIR, "Rename", absl::StrCat(full, " to ", file));
  ExpectError(Entry::Rename(kPid, full, Path("full/inside"), 0, 0), EINVAL, "Rename",
              absl::StrCat(full, " to ", Path("full/inside")));
  ExpectError(Entry::Rename(kPid, file, missing, RENAME_EXCHANGE, 0), ENOENT, "Rename", absl::StrCat(file, " to ", missing));
  ExpectError(Entry::Unlink(kPid, full, 0, 0), EISDIR, "Unlink", full);
  ExpectError(Entry::Unlink(kPid, full, AT_REMOVEDIR, 0), ENOTEMPTY, "Unlink", full);
  ExpectError(Entry::Unlink(kPid, file, AT_REMOVEDIR, 0), ENOTDIR, "Unlink", file);
  ExpectError(Entry::Mkdir(kPid, file, 0755, 0), EEXIST, "Mkdir", file);
  ExpectError(Entry::Mkdir(kPid, full, 0755, 0), EEXIST, "Mkdir", full);
}

TEST_P(FurtherOperationsTest, P7PathsCanBeChained) {
  std::vector<Entry> entries;
  entries.push_back(Entry::Mkdir(kPid, Path("d"), 0755, 0).WithLink());
  entries.push_back(Entry::WriteFile(kPid, Path("d/new"), Bytes("content"), 1).WithLink());
  entries.push_back(Entry::Rename(kPid, Path("d/new"), Path("d/file"), RENAME_NOREPLACE, 2).WithLink());
  entries.push_back(Entry::Sleep(kPid, absl::Milliseconds(1), 3).WithLink());
  entries.push_back(Entry::Statx(kPid, Path("d/file"), 0, STATX_SIZE, 4).WithLink());
  entries.push_back(Entry::Mkdir(kPid, Path("d"), 0755, 5).WithLink());
  entries.push_back(Entry::Unlink(kPid, Path("d/file"), 0, 6));
  const std::vector<Done> done = RunBatch(std::move(entries));
  ASSERT_EQ(done.size(), 7u);
  for (size_t i = 0; i < 5; ++i) EXPECT_TRUE(Succeeded(done[i])) << i;
  EXPECT_TRUE(FailedWith(done[5], EEXIST));
  EXPECT_TRUE(WasCancelled(done[6]));
  EXPECT_EQ(Slurp(Path("d/file")), "content");
}

// Files.

TEST_P(FurtherOperationsTest, FallocateGrowsKeepsPunchesAndMoves) {
  const Fd file = OpenFile("file", O_CREAT | O_RDWR);
  EXPECT_TRUE(Succeeded(Run(Entry::Fallocate(kPid, file.get(), 0, 4096, 8192, 0)), 0));
  EXPECT_EQ(SizeOf("file"), 12288u);
  EXPECT_GE(StatusOf("file").stx_blocks, 8192u / 512);
  EXPECT_TRUE(Succeeded(Run(Entry::Fallocate(kPid, file.get(), FALLOC_FL_KEEP_SIZE, 12288, 4096, 0)), 0));
  EXPECT_EQ(SizeOf("file"), 12288u);
  ASSERT_EQ(pwrite(file.get(), "abcd", 4, 100), 4);
  const int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  // Not every file system can.
  const Fd other = OpenFile("other", O_CREAT | O_RDWR);
  ASSERT_EQ(ftruncate(other.get(), 8192), 0);
  const int expected = fallocate(other.get(), kPunch, 101, 2) == 0 ? 0 : errno;
  const Done punched = Run(Entry::Fallocate(kPid, file.get(), kPunch, 101, 2, 0));
  EXPECT_EQ(punched.status.error_number(), expected);
  char bytes[4] = {};
  ASSERT_EQ(pread(file.get(), bytes, 4, 100), 4);
  if (expected == 0) {
    EXPECT_EQ(absl::string_view(bytes, 4), absl::string_view("a\0\0d", 4));
  }
}

TEST_P(FurtherOperationsTest, FtruncateShrinksAndGrows) {
  Spill(Path("file"), "0123456789");
  const Fd file = OpenFile("file", O_RDWR);
  EXPECT_TRUE(Succeeded(Run(Entry::Ftruncate(kPid, file.get(), 4, 0)), 0));
  EXPECT_EQ(Slurp(Path("file")), "0123");
  EXPECT_TRUE(Succeeded(Run(Entry::Ftruncate(kPid, file.get(), 6, 0)), 0));
  EXPECT_EQ(Slurp(Path("file")), std::string("0123\0\0", 6));
  EXPECT_TRUE(Succeeded(Run(Entry::Ftruncate(kPid, file.get(), 0, 0)), 0));
  EXPECT_EQ(SizeOf("file"), 0u);
  constexpr int64_t kLarge = int64_t{5} << 30;
  EXPECT_TRUE(Succeeded(Run(Entry::Ftruncate(kPid, file.get(), kLarge, 0)), 0));
  EXPECT_EQ(SizeOf("file"), static_cast<uint64_t>(kLarge));
}

TEST_P(FurtherOperationsTest, ErrorsOfFilesAreThoseOfTheSystemCalls) {
  const Fd file = OpenFile("file", O_CREAT | O_RDWR);
  const Fd reading = OpenFile("file", O_RDONLY);
  const Fd directory = OpenFile("", O_RDONLY | O_DIRECTORY);
  const Pair pipe = MakePipe();
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const Fd sealed(memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(fcntl(sealed.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE), 0);
  for (int fd :
       {ClosedFd(), reading.get(), directory.get(), pipe.first.get(), pipe.second.get(), sockets.first.get(), sealed.get()}) {
    SCOPED_TRACE(fd);
    ASSERT_NE(fallocate(fd, 0, 0, 4096), 0);
    ExpectError(Entry::Fallocate(kPid, fd, 0, 0, 4096, 0), errno, "Fallocate", absl::StrCat("fd ", fd));
    ASSERT_NE(ftruncate(fd, 4096), 0);
    ExpectError(Entry::Ftruncate(kPid, fd, 4096, 0), errno, "Ftruncate", absl::StrCat("fd ", fd));
  }
  const struct {
    int mode;
    int64_t offset;
    int64_t size;
  } kCases[] = {
      {FALLOC_FL_PUNCH_HOLE, 0, 4096},
      {0, kFarthest - 10, 5},
      {FALLOC_FL_KEEP_SIZE, kFarthest - 10, 5},
      {FALLOC_FL_COLLAPSE_RANGE, 1, 1},
      {FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE, 0, 4096},
      {FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE, 0, 4096},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(absl::StrCat(c.mode, " ", c.offset, " ", c.size));
    ASSERT_NE(fallocate(file.get(), c.mode, c.offset, c.size), 0);
    ExpectError(Entry::Fallocate(kPid, file.get(), c.mode, c.offset, c.size, 0), errno, "Fallocate",
                absl::StrCat("fd ", file.get()));
  }
  if (ftruncate(file.get(), kFarthest) != 0) {
    EXPECT_TRUE(FailedWith(Run(Entry::Ftruncate(kPid, file.get(), kFarthest, 0)), errno));
  }
}

// Splice.

TEST_P(FurtherOperationsTest, SpliceMovesBetweenFilesPipesAndSockets) {
  const std::string content = Content(40000);
  Spill(Path("file"), content);
  const Fd file = OpenFile("file", O_RDONLY);
  const Fd out = OpenFile("out", O_CREAT | O_RDWR);
  const Pair first = MakePipe();
  const Pair second = MakePipe();
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const int kFlags = SPLICE_F_MOVE | SPLICE_F_MORE;
  EXPECT_TRUE(
      Succeeded(Run(Entry::Splice(kPid, file.get(), 1000, first.second.get(), kCurrentPosition, 30000, kFlags, 0)), 30000));
  EXPECT_EQ(lseek(file.get(), 0, SEEK_CUR), 0) << "an offset given leaves the position alone";
  EXPECT_TRUE(Succeeded(Splice(first.first.get(), second.second.get(), 100000, kFlags), 30000));
  EXPECT_TRUE(Succeeded(Splice(second.first.get(), sockets.first.get(), 20000), 20000));
  EXPECT_EQ(ReadAll(sockets.second.get(), 20000), content.substr(1000, 20000));
  EXPECT_TRUE(Succeeded(Run(Entry::Splice(kPid, second.first.get(), kCurrentPosition, out.get(), 5, 100000, 0, 0)), 10000));
  EXPECT_EQ(Slurp(Path("out")), std::string(5, '\0') + content.substr(21000, 10000));
  ASSERT_EQ(write(sockets.second.get(), "socket", 6), 6);
  EXPECT_TRUE(Succeeded(Splice(sockets.first.get(), first.second.get(), 4096), 6));
  EXPECT_EQ(ReadAll(first.first.get(), 6), "socket");
}

TEST_P(FurtherOperationsTest, CopyFileRangeCopiesBetweenFilesAtOffsetsAndPositions) {
  const std::string content = Content(50000);
  Spill(Path("file"), content);
  Fd file = OpenFile("file", O_RDONLY);
  Fd out = OpenFile("out", O_CREAT | O_RDWR);
  EXPECT_TRUE(Succeeded(Run(Entry::CopyFileRange(kPid, file.get(), 1000, out.get(), 5, 30000, 0)), 30000));
  EXPECT_EQ(Slurp(Path("out")), std::string(5, '\0') + content.substr(1000, 30000));
  EXPECT_EQ(lseek(file.get(), 0, SEEK_CUR), 0) << "an offset given leaves the position alone";
  EXPECT_TRUE(Succeeded(Run(Entry::CopyFileRange(kPid, file.get(), -1, out.get(), -1, 10, 0)), 10));
  EXPECT_EQ(lseek(out.get(), 0, SEEK_CUR), 10);
  EXPECT_TRUE(Succeeded(Run(Entry::CopyFileRange(kPid, file.get(), 50000, out.get(), 0, 10, 0)), 0)) << "the end";
  // The files are those that the numbers stood for when the entry was submitted.
  const Seq seq = Submit(Entry::CopyFileRange(kPid, file.get(), 0, out.get(), 0, 50000, 0));
  file.Reset();
  out.Reset();
  EXPECT_TRUE(Succeeded(Wait(seq), 50000));
  EXPECT_EQ(Slurp(Path("out")), content);
}

TEST_P(FurtherOperationsTest, ErrorsOfCopyFileRangeAreThoseOfTheSystemCall) {
  Spill(Path("file"), "data");
  const Fd file = OpenFile("file", O_RDONLY);
  const Fd out = OpenFile("out", O_CREAT | O_RDWR);
  const Pair pipe = MakePipe();
  const auto copy = [&](int from, int to) { return Run(Entry::CopyFileRange(kPid, from, 0, to, 0, 4, 0)); };
  EXPECT_TRUE(FailedWith(copy(file.get(), file.get()), EBADF)) << "not open for writing";
  EXPECT_TRUE(FailedWith(copy(pipe.first.get(), out.get()), EINVAL));
  EXPECT_TRUE(FailedWith(copy(file.get(), 1'000'000), EBADF));
  EXPECT_TRUE(FailedWith(copy(1'000'000, out.get()), EBADF));
  EXPECT_TRUE(Succeeded(copy(file.get(), out.get()), 4)) << "the next one";
}

TEST_P(FurtherOperationsTest, SpliceAtTheFilesOwnPositionMovesIt) {
  Spill(Path("file"), "0123456789");
  const Fd file = OpenFile("file", O_RDONLY);
  const Pair pipe = MakePipe();
  EXPECT_TRUE(Succeeded(Splice(file.get(), pipe.second.get(), 4), 4));
  EXPECT_TRUE(Succeeded(Splice(file.get(), pipe.second.get(), 100), 6));
  EXPECT_TRUE(Succeeded(Splice(file.get(), pipe.second.get(), 100), 0)) << "the end";
  EXPECT_EQ(ReadAll(pipe.first.get(), 10), "0123456789");
}

TEST_P(FurtherOperationsTest, SpliceSaysTheEndAndThatNobodyReads) {
  const SigpipeCounter sigpipes;
  Pair from = MakePipe();
  Pair to = MakePipe();
  Pair sockets = MakeSocketPair(SOCK_STREAM);
  ASSERT_EQ(write(from.second.get(), "data", 4), 4);
  to.first.Reset();
  sockets.second.Reset();
  EXPECT_TRUE(FailedWith(Splice(from.first.get(), to.second.get(), 10), EPIPE));
  EXPECT_TRUE(FailedWith(Splice(from.first.get(), sockets.first.get(), 10), EPIPE));
  EXPECT_EQ(sigpipes.count(), 0);
  const Pair whole = MakePipe();
  EXPECT_EQ(ReadAll(from.first.get(), 4).size(), 4u);
  from.second.Reset();
  EXPECT_TRUE(Succeeded(Splice(from.first.get(), whole.second.get(), 10), 0));
}

TEST_P(FurtherOperationsTest, P13SpliceWaitsForEitherEndWhateverTheirFlagsAre) {
  for (int flags : {0, O_NONBLOCK}) {
    SCOPED_TRACE(flags);
    const Pair from = MakePipe(flags);
    const Pair to = MakeFullPipe(flags);
    const Seq seq = Submit(Entry::Splice(kPid, from.first.get(), -1, to.second.get(), -1, 100, 0, 0));
    EXPECT_EQ(Reapable(), 0u);
    ASSERT_EQ(write(from.second.get(), "data", 4), 4);
    EXPECT_EQ(Reapable(), 0u);
    EXPECT_EQ(ReadAll(to.first.get(), 4096).size(), 4096u);
    EXPECT_TRUE(Succeeded(Wait(seq), 4));
    EXPECT_EQ(ReadAll(to.first.get(), 4), "data");
  }
  const Pair sockets = MakeSocketPair(SOCK_STREAM | SOCK_NONBLOCK);
  const Pair pipe = MakePipe();
  const Seq seq = Submit(Entry::Splice(kPid, sockets.first.get(), -1, pipe.second.get(), -1, 100, 0, 0));
  EXPECT_EQ(Reapable(), 0u);
  ASSERT_EQ(write(sockets.second.get(), "data", 4), 4);
  EXPECT_TRUE(Succeeded(Wait(seq), 4));
}

TEST_P(FurtherOperationsTest, SpliceThatMustNotWaitIsEAGAIN) {
  const Pair from = MakePipe();
  const Pair to = MakePipe();
  const Pair full = MakeFullPipe();
  EXPECT_TRUE(FailedWith(Splice(from.first.get(), to.second.get(), 10, SPLICE_F_NONBLOCK), EAGAIN));
  ASSERT_EQ(write(from.second.get(), "data", 4), 4);
  EXPECT_TRUE(FailedWith(Splice(from.first.get(), full.second.get(), 10, SPLICE_F_NONBLOCK), EAGAIN));
  EXPECT_TRUE(Succeeded(Splice(from.first.get(), to.second.get(), 10, SPLICE_F_NONBLOCK), 4));
}

TEST_P(FurtherOperationsTest, ErrorsOfSpliceAreThoseOfTheSystemCall) {
  Spill(Path("file"), "content");
  const Fd file = OpenFile("file", O_RDWR);
  const Fd appending = OpenFile("file", O_RDWR | O_APPEND);
  const Fd directory = OpenFile("", O_RDONLY | O_DIRECTORY);
  const Pair pipe = MakePipe();
  ASSERT_EQ(write(pipe.second.get(), "data", 4), 4);
  const int closed = ClosedFd();
  const struct {
    int from;
    int64_t from_offset;
    int to;
    int64_t to_offset;
  } kCases[] = {
      {closed, -1, pipe.second.get(), -1},
      {file.get(), -1, closed, -1},
      {file.get(), -1, file.get(), -1},
      {pipe.first.get(), 0, file.get(), -1},
      {file.get(), 0, pipe.second.get(), 0},
      {pipe.first.get(), -1, pipe.second.get(), -1},
      {pipe.second.get(), -1, file.get(), -1},
      {file.get(), -1, pipe.first.get(), -1},
      {pipe.first.get(), -1, appending.get(), -1},
      {directory.get(), -1, pipe.second.get(), -1},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(&c - kCases);
    off_t from_offset = c.from_offset;
    off_t to_offset = c.to_offset;
    ASSERT_LT(splice(c.from, from_offset < 0 ? nullptr : &from_offset, c.to, to_offset < 0 ? nullptr : &to_offset, 10, 0), 0);
    ExpectError(Entry::Splice(kPid, c.from, c.from_offset, c.to, c.to_offset, 10, 0, 0), errno, "Splice",
                absl::StrCat("fd ", c.from, " to fd ", c.to));
  }
}

// Sockets.

TEST_P(FurtherOperationsTest, P14SocketsAreCloseOnExecAndOtherwiseAsAsked) {
  const struct {
    int domain;
    int type;
    int protocol;
  } kCases[] = {{AF_INET, SOCK_STREAM, 0},
                {AF_INET6, SOCK_DGRAM, 0},
                {AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0},
                {AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP}};
  for (const auto& c : kCases) {
    const Done done = Run(Entry::Socket(kPid, c.domain, c.type, c.protocol, 0));
    ASSERT_TRUE(Succeeded(done));
    const Fd socket(static_cast<int>(done.result.value()));
    EXPECT_EQ(fcntl(socket.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT_EQ(fcntl(socket.get(), F_GETFL) & O_NONBLOCK, (c.type & SOCK_NONBLOCK) != 0 ? O_NONBLOCK : 0);
    int value = 0;
    socklen_t size = sizeof(value);
    ASSERT_EQ(getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &value, &size), 0);
    EXPECT_EQ(value, c.domain);
    ASSERT_EQ(getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &value, &size), 0);
    EXPECT_EQ(value, c.type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC));
  }
}

TEST_P(FurtherOperationsTest, ErrorsOfSocketAreThoseOfTheSystemCall) {
  const struct {
    int domain;
    int type;
    int protocol;
  } kCases[] = {{AF_INET, 15, 0},   {999, SOCK_STREAM, 0},      {AF_INET, SOCK_STREAM, IPPROTO_UDP},
                {AF_INET, 0, 0},    {AF_UNIX, SOCK_STREAM, 99}, {std::numeric_limits<int>::max(), SOCK_STREAM, 0},
                {0, SOCK_STREAM, 0}};
  for (const auto& c : kCases) {
    SCOPED_TRACE(&c - kCases);
    ASSERT_LT(socket(c.domain, c.type, c.protocol), 0);
    ExpectError(Entry::Socket(kPid, c.domain, c.type, c.protocol, 0), errno, "Socket",
                absl::StrCat("domain ", c.domain, ", type ", c.type, ", protocol ", c.protocol));
  }
}

// The domain stands where other operations have their fd: one that is the number of a descriptor of the manager's own is none of
// it.
TEST_P(FurtherOperationsTest, P16ADomainIsNoDescriptor) {
  manager_.reset();
  // Lower numbers are taken, so that the manager's first descriptor gets this one.
  std::vector<Fd> fillers;
  do {
    fillers.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
  } while (fillers.back().get() < AF_INET6);
  if (fillers.back().get() != AF_INET6) GTEST_SKIP() << "somebody else has descriptor " << AF_INET6;
  fillers.pop_back();
  MakeManager(Options());
  EXPECT_TRUE(FailedWith(Run(Entry::Shutdown(kPid, AF_INET6, SHUT_RDWR, 0)), EBADF)) << "it is the manager's own";
  const Done done = Run(Entry::Socket(kPid, AF_INET6, SOCK_STREAM, 0, 0));
  ASSERT_TRUE(Succeeded(done));
  close(static_cast<int>(done.result.value()));
}

TEST_P(FurtherOperationsTest, P4DroppedAndUnreapedSocketsAreClosed) {
  RingOptions options;
  options.cq_size = 2;
  ASSERT_TRUE(manager().CreateRing(kPid, options).ok());
  const size_t before = OpenFds();
  for (int i = 0; i < 10; ++i) Submit(Entry::Socket(kPid, AF_UNIX, SOCK_STREAM, 0, 0));
  while (manager().Stats().total_completions < 10) {
    EXPECT_TRUE(manager().ReapCompletions(kPid, 0).ok());
  }
  EXPECT_EQ(manager().Stats().dropped, 8u);
  EXPECT_EQ(OpenFds(), before + 2);
  EXPECT_TRUE(manager().DestroyRing(kPid).ok());
  EXPECT_EQ(OpenFds(), before);
}

TEST_P(FurtherOperationsTest, ShutdownEndsTheSideThatIsNamed) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  EXPECT_TRUE(Succeeded(Run(Entry::Shutdown(kPid, sockets.first.get(), SHUT_WR, 0)), 0));
  EXPECT_TRUE(Succeeded(Run(Entry::Recv(kPid, sockets.second.get(), 10, 0, 0)), 0));
  EXPECT_TRUE(FailedWith(Run(Entry::Send(kPid, sockets.first.get(), Bytes("x"), 0, 0)), EPIPE));
  EXPECT_TRUE(Succeeded(Run(Entry::Send(kPid, sockets.second.get(), Bytes("back"), 0, 0)), 4));
  EXPECT_EQ(Run(Entry::Recv(kPid, sockets.first.get(), 10, 0, 0)).result.data(), "back");
  EXPECT_TRUE(Succeeded(Run(Entry::Shutdown(kPid, sockets.first.get(), SHUT_RD, 0)), 0));
  EXPECT_TRUE(FailedWith(Run(Entry::Send(kPid, sockets.second.get(), Bytes("x"), 0, 0)), EPIPE));

  const Pair both = MakeSocketPair(SOCK_STREAM);
  const Seq waiting = Submit(Entry::Recv(kPid, both.first.get(), 10, 0, 0));
  EXPECT_TRUE(Succeeded(Run(Entry::Shutdown(kPid, both.first.get(), SHUT_RDWR, 0)), 0));
  EXPECT_TRUE(Succeeded(Wait(waiting), 0));
}

TEST_P(FurtherOperationsTest, ErrorsOfShutdownAreThoseOfTheSystemCall) {
  const Pair pipe = MakePipe();
  const Fd file = OpenFile("file", O_CREAT | O_RDWR);
  const Fd unconnected = NewSocket(AF_INET, SOCK_STREAM);
  for (int fd : {ClosedFd(), pipe.first.get(), file.get(), unconnected.get()}) {
    ASSERT_NE(shutdown(fd, SHUT_RDWR), 0);
    ExpectError(Entry::Shutdown(kPid, fd, SHUT_RDWR, 0), errno, "Shutdown", absl::StrCat("fd ", fd));
  }
}

// Poll and Sleep.

TEST_P(FurtherOperationsTest, PollGivesTheEventsThatPollGives) {
  Pair pipe = MakePipe();
  Pair closed = MakePipe();
  closed.second.Reset();
  Pair deaf = MakePipe();
  deaf.first.Reset();
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const Pair half = MakeSocketPair(SOCK_STREAM);
  ASSERT_EQ(shutdown(half.second.get(), SHUT_WR), 0);
  const Fd file = OpenFile("file", O_CREAT | O_RDWR);
  ASSERT_EQ(write(sockets.second.get(), "x", 1), 1);
  const struct {
    int fd;
    short events;
  } kCases[] = {{pipe.second.get(), POLLOUT},
                {closed.first.get(), POLLIN},
                {closed.first.get(), 0},
                {deaf.second.get(), POLLOUT},
                {sockets.first.get(), POLLIN},
                {sockets.first.get(), POLLIN | POLLOUT | POLLPRI | POLLRDHUP},
                {sockets.second.get(), POLLIN | POLLOUT},
                {half.first.get(), POLLIN},
                {half.first.get(), POLLIN | POLLRDHUP},
                {half.first.get(), POLLOUT},
                {file.get(), POLLIN | POLLOUT}};
  for (const auto& c : kCases) {
    SCOPED_TRACE(&c - kCases);
    pollfd expected = {.fd = c.fd, .events = c.events, .revents = 0};
    ASSERT_EQ(poll(&expected, 1, 0), 1);
    EXPECT_TRUE(Succeeded(Run(Entry::Poll(kPid, c.fd, static_cast<uint32_t>(c.events), 0)), expected.revents));
  }
  // As operation.h says, and other than poll(2), which goes on waiting.
  EXPECT_TRUE(Succeeded(Run(Entry::Poll(kPid, half.first.get(), POLLPRI, 0)), POLLRDHUP));
  ExpectError(Entry::Poll(kPid, ClosedFd(), POLLIN, 0), EBADF, "Poll", absl::StrCat("fd ", ClosedFd()));
}

TEST_P(FurtherOperationsTest, PollWaitsForWhatItIsAsked) {
  const Pair pipe = MakePipe();
  const Pair full = MakeFullPipe();
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const Seq input = Submit(Entry::Poll(kPid, pipe.first.get(), POLLIN, 0));
  const Seq output = Submit(Entry::Poll(kPid, full.second.get(), POLLOUT, 0));
  const Seq hang_up = Submit(Entry::Poll(kPid, sockets.first.get(), POLLRDHUP, 0));
  EXPECT_EQ(Reapable(), 0u);
  ASSERT_EQ(write(pipe.second.get(), "x", 1), 1);
  EXPECT_TRUE(Succeeded(Wait(input), POLLIN));
  EXPECT_EQ(Reapable(), 0u);
  EXPECT_EQ(ReadAll(full.first.get(), 4096).size(), 4096u);
  EXPECT_TRUE(Succeeded(Wait(output), POLLOUT));
  ASSERT_EQ(write(sockets.second.get(), "x", 1), 1);
  EXPECT_EQ(Reapable(), 0u) << "input is not what was asked for";
  ASSERT_EQ(shutdown(sockets.second.get(), SHUT_WR), 0);
  EXPECT_TRUE(Succeeded(Wait(hang_up), POLLRDHUP));
  EXPECT_EQ(Reapable(), 0u) << "once";
}

TEST_P(FurtherOperationsTest, SleepEndsAfterItsTimeAndNotBefore) {
  EXPECT_TRUE(Succeeded(Run(Entry::Sleep(kPid, absl::ZeroDuration(), 0)), 0));
  EXPECT_TRUE(Succeeded(Run(Entry::Sleep(kPid, absl::Nanoseconds(1) / 4, 0)), 0));
  timespec before;
  timespec after;
  clock_gettime(CLOCK_MONOTONIC, &before);
  EXPECT_TRUE(Succeeded(Run(Entry::Sleep(kPid, absl::Milliseconds(20), 0)), 0));
  clock_gettime(CLOCK_MONOTONIC, &after);
  EXPECT_GE(absl::DurationFromTimespec(after) - absl::DurationFromTimespec(before), absl::Milliseconds(20));
}

TEST_P(FurtherOperationsTest, SleepsEndInTheOrderOfTheirTimes) {
  std::vector<Entry> entries;
  for (int i : {3, 1, 2, 0}) entries.push_back(Entry::Sleep(kPid, absl::Milliseconds(30 * i), static_cast<uint64_t>(i)));
  ASSERT_TRUE(manager().SubmitBatch(kPid, std::move(entries)).ok());
  const auto done = manager().WaitCompletions(kPid, 4, 4, absl::InfiniteDuration());
  ASSERT_TRUE(done.ok() && done->size() == 4u) << done.status();
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ((*done)[i].user_data, i);
    EXPECT_TRUE(Succeeded((*done)[i], 0));
  }
}

TEST_P(FurtherOperationsTest, P3WhatWaitsOutlivesTheThreadThatSubmittedIt) {
  if (GetParam() == Threading::kOneThread) GTEST_SKIP() << "one thread makes every call";
  const Pair polled = MakePipe();
  const Pair from = MakePipe();
  const Pair to = MakePipe();
  timespec before;
  timespec after;
  clock_gettime(CLOCK_MONOTONIC, &before);
  Seq sleep = 0;
  Seq poll = 0;
  Seq splice = 0;
  std::thread([&] {
    sleep = Submit(Entry::Sleep(kPid, absl::Milliseconds(50), 0));
    poll = Submit(Entry::Poll(kPid, polled.first.get(), POLLIN, 0));
    splice = Submit(Entry::Splice(kPid, from.first.get(), -1, to.second.get(), -1, 10, 0, 0));
  }).join();
  EXPECT_TRUE(Succeeded(Wait(sleep), 0));
  clock_gettime(CLOCK_MONOTONIC, &after);
  EXPECT_GE(absl::DurationFromTimespec(after) - absl::DurationFromTimespec(before), absl::Milliseconds(50));
  ASSERT_EQ(write(polled.second.get(), "data", 4), 4);
  EXPECT_TRUE(Succeeded(Wait(poll), POLLIN));
  ASSERT_EQ(write(from.second.get(), "data", 4), 4);
  EXPECT_TRUE(Succeeded(Wait(splice), 4));
}

// What waits, all at once.
class WaitingEntries {
 public:
  static constexpr size_t kFds = 8;

  std::vector<Entry> Make() const {
    std::vector<Entry> entries;
    entries.push_back(Entry::Sleep(kPid, absl::Hours(24), 0));
    entries.push_back(Entry::Sleep(kPid, absl::Seconds(std::numeric_limits<int64_t>::max()), 1));
    entries.push_back(Entry::Poll(kPid, empty_.first.get(), POLLIN, 2));
    entries.push_back(Entry::Poll(kPid, full_.second.get(), POLLOUT, 3));
    entries.push_back(Entry::Splice(kPid, empty_.first.get(), -1, other_.second.get(), -1, 10, 0, 4));
    entries.push_back(Entry::Splice(kPid, other_.first.get(), -1, full_.second.get(), -1, 10, 0, 5));
    entries.push_back(Entry::Splice(kPid, sockets_.first.get(), -1, other_.second.get(), -1, 10, 0, 6));
    return entries;
  }
  int empty_fd() const { return empty_.first.get(); }
  int full_fd() const { return full_.second.get(); }

 private:
  const Pair empty_ = MakePipe();
  const Pair full_ = MakeFullPipe();
  const Pair other_ = MakePipe();
  const Pair sockets_ = MakeSocketPair(SOCK_STREAM);
};

TEST_P(FurtherOperationsTest, P9WhatWaitsCanBeCancelledOneByOne) {
  const WaitingEntries waiting;
  const auto seqs = manager().SubmitBatch(kPid, waiting.Make());
  ASSERT_TRUE(seqs.ok());
  EXPECT_EQ(Reapable(), 0u);
  for (Seq seq : *seqs) {
    EXPECT_TRUE(manager().Cancel(kPid, seq).ok());
    EXPECT_TRUE(WasCancelled(Wait(seq))) << seq;
    EXPECT_EQ(Reapable(), 0u);
  }
}

TEST_P(FurtherOperationsTest, P9CancellingByFdReachesBothEndsOfASplice) {
  const WaitingEntries waiting;
  const auto seqs = manager().SubmitBatch(kPid, waiting.Make());
  ASSERT_TRUE(seqs.ok());
  EXPECT_EQ(manager().CancelFd(kPid, waiting.full_fd()).value_or(0), 2u);
  for (size_t i : {3, 5}) EXPECT_TRUE(WasCancelled(Wait((*seqs)[i])));
  EXPECT_EQ(manager().CancelFd(kPid, waiting.empty_fd()).value_or(0), 2u);
  for (size_t i : {2, 4}) EXPECT_TRUE(WasCancelled(Wait((*seqs)[i])));
  EXPECT_EQ(Reapable(), 0u);
  EXPECT_EQ(manager().CancelAll(kPid).value_or(0), 3u);
  for (size_t i : {0, 1, 6}) EXPECT_TRUE(WasCancelled(Wait((*seqs)[i])));
}

TEST_P(FurtherOperationsTest, P8WhatWaitsTimesOut) {
  const WaitingEntries waiting;
  std::vector<Entry> entries;
  for (Entry& entry : waiting.Make()) entries.push_back(std::move(entry).WithTimeout(absl::Milliseconds(5)));
  for (const Done& done : RunBatch(std::move(entries))) EXPECT_TRUE(FailedWith(done, ETIMEDOUT)) << done.user_data;
}

TEST_P(FurtherOperationsTest, P11DestroyingTheRingEndsWhatWaits) {
  const WaitingEntries waiting;
  ASSERT_TRUE(manager().SubmitBatch(kPid, waiting.Make()).ok());
  EXPECT_TRUE(manager().DestroyRing(kPid).ok());
  ASSERT_TRUE(manager().SubmitBatch(kPid, waiting.Make()).ok());
  manager_.reset();
  EXPECT_EQ(OpenFds(), fds_before_ + WaitingEntries::kFds);
}

TEST_P(FurtherOperationsTest, P16TheManagersOwnDescriptorsAreNotTouched) {
  const Pair pipe = MakePipe();
  ASSERT_EQ(write(pipe.second.get(), "data", 4), 4);
  const std::vector<int> own = ExecutorFds();
  for (const int fd : own) {
    SCOPED_TRACE(fd);
    EXPECT_TRUE(FailedWith(Run(Entry::Poll(kPid, fd, POLLIN, 0)), EBADF));
    EXPECT_TRUE(FailedWith(Splice(fd, pipe.second.get(), 8), EBADF));
    EXPECT_TRUE(FailedWith(Splice(pipe.first.get(), fd, 8), EBADF));
    EXPECT_TRUE(FailedWith(Run(Entry::Ftruncate(kPid, fd, 0, 0)), EBADF));
    EXPECT_TRUE(FailedWith(Run(Entry::Fallocate(kPid, fd, 0, 0, 1, 0)), EBADF));
    EXPECT_TRUE(FailedWith(Run(Entry::Shutdown(kPid, fd, SHUT_RDWR, 0)), EBADF));
  }
  EXPECT_FALSE(own.empty());
}

TEST_P(FurtherOperationsTest, StatsCountTheBytesOfASplice) {
  const Pair from = MakePipe();
  const Pair to = MakePipe();
  ASSERT_EQ(write(from.second.get(), "data", 4), 4);
  EXPECT_TRUE(Succeeded(Splice(from.first.get(), to.second.get(), 10), 4));
  const Done socket = Run(Entry::Socket(kPid, AF_UNIX, SOCK_STREAM, 0, 0));
  close(static_cast<int>(socket.result.value()));
  EXPECT_TRUE(Succeeded(Run(Entry::Poll(kPid, to.first.get(), POLLIN, 0)), POLLIN));
  EXPECT_EQ(manager().Stats().bytes, 4u) << "neither fds nor events are bytes";
}

INSTANTIATE_TEST_SUITE_P(Threading, FurtherOperationsTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
