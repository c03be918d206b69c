// Open, Close, Read, Write, Fsync and Lseek through the manager, against what the plain system calls say.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class FileOperationsTest : public ManagerTest {
 protected:
  Fd OpenFile(absl::string_view name, int flags, mode_t mode = 0644) {
    const Done done = Run(Entry::Open(kPid, Path(name), flags, mode, 0));
    EXPECT_TRUE(Succeeded(done));
    return Fd(done.status.is_success() ? static_cast<int>(done.result.value()) : -1);
  }
};

TEST_P(FileOperationsTest, OpenCreatesWithModeAndUmask) {
  const mode_t before = umask(027);
  const Fd fd = OpenFile("file", O_CREAT | O_EXCL | O_RDWR, 0666);
  umask(before);
  struct stat status;
  ASSERT_EQ(fstat(fd.get(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
  EXPECT_TRUE(FailedWith(Run(Entry::Open(kPid, Path("file"), O_CREAT | O_EXCL | O_RDWR, 0666, 0)), EEXIST));
}

TEST_P(FileOperationsTest, P14OpenedFdsAreCloseOnExecAndOtherwiseAsAsked) {
  Spill(Path("file"), "content");
  const Fd fd = OpenFile("file", O_RDWR | O_APPEND);
  EXPECT_EQ(fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  EXPECT_EQ(fcntl(fd.get(), F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR | O_APPEND);
  const Fd nonblocking = OpenFile("file", O_RDONLY | O_NONBLOCK);
  EXPECT_EQ(fcntl(nonblocking.get(), F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
}

TEST_P(FileOperationsTest, OpenErrorsAreThoseOfTheSystemCallAndNameThePath) {
  Spill(Path("file"), "");
  ASSERT_EQ(symlink("file", Path("link").c_str()), 0);
  ASSERT_EQ(symlink("loop", Path("loop").c_str()), 0);
  const struct {
    std::string path;
    int flags;
    int error_number;
  } kCases[] = {
      {Path("missing"), O_RDONLY, ENOENT},
      {Path("missing/file"), O_RDONLY | O_CREAT, ENOENT},
      {Path("file/below"), O_RDONLY, ENOTDIR},
      {Path("file"), O_RDONLY | O_DIRECTORY, ENOTDIR},
      {Path(""), O_WRONLY, EISDIR},
      {Path("link"), O_RDONLY | O_NOFOLLOW, ELOOP},
      {Path("loop"), O_RDONLY, ELOOP},
      {Path(std::string(256, 'n')), O_RDONLY, ENAMETOOLONG},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(absl::StrCat(c.path, " ", c.flags));
    EXPECT_TRUE(open(c.path.c_str(), c.flags, 0644) < 0 && errno == c.error_number);
    const Done done = Run(Entry::Open(kPid, c.path, c.flags, 0644, 9));
    EXPECT_TRUE(FailedWith(done, c.error_number));
    EXPECT_EQ(done.user_data, 9u);
    EXPECT_TRUE(absl::StrContains(done.status.error_message(), "Open"));
    EXPECT_TRUE(absl::StrContains(done.status.error_message(), c.path));
  }
}

TEST_P(FileOperationsTest, CloseClosesOnceAndThenTheFdIsBad) {
  Pair ends = MakePipe();
  const int fd = dup(ends.first.get());
  EXPECT_TRUE(Succeeded(Run(Entry::Close(kPid, fd, 0)), 0));
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
  EXPECT_TRUE(FailedWith(Run(Entry::Close(kPid, fd, 0)), EBADF));
}

TEST_P(FileOperationsTest, FdsThatAreNotOpenAreEBADF) {
  const int fd = ClosedFd();
  EXPECT_TRUE(FailedWith(Run(Entry::Close(kPid, fd, 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::Read(kPid, fd, 1, 0, 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::Read(kPid, fd, 1, kCurrentPosition, 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::Write(kPid, fd, Bytes("x"), 0, 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::Write(kPid, fd, Bytes("x"), kCurrentPosition, 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::Fsync(kPid, fd, 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::Lseek(kPid, fd, 0, SEEK_SET, 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::Close(kPid, std::numeric_limits<int>::max(), 0)), EBADF));
}

TEST_P(FileOperationsTest, FdsOfTheWrongKindGetTheErrnoOfThePlainCall) {
  Spill(Path("file"), "content");
  const Fd reading = OpenFile("file", O_RDONLY);
  const Fd writing = OpenFile("file", O_WRONLY);
  const Fd path_only = OpenFile("file", O_PATH);
  const Fd directory(open(Path("").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const Pair ends = MakePipe();
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  char byte = 'x';

  EXPECT_TRUE(read(writing.get(), &byte, 1) < 0 && errno == EBADF);
  EXPECT_TRUE(FailedWith(Run(Entry::Read(kPid, writing.get(), 1, 0, 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::Read(kPid, writing.get(), 1, kCurrentPosition, 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::Write(kPid, reading.get(), Bytes("x"), 0, 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::Write(kPid, reading.get(), Bytes("x"), kCurrentPosition, 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::Read(kPid, path_only.get(), 1, 0, 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::Read(kPid, ends.second.get(), 1, kCurrentPosition, 0)), EBADF));
  EXPECT_TRUE(FailedWith(Run(Entry::Write(kPid, ends.first.get(), Bytes("x"), kCurrentPosition, 0)), EBADF));

  EXPECT_TRUE(read(directory.get(), &byte, 1) < 0 && errno == EISDIR);
  EXPECT_TRUE(FailedWith(Run(Entry::Read(kPid, directory.get(), 1, 0, 0)), EISDIR));
  EXPECT_TRUE(FailedWith(Run(Entry::Read(kPid, directory.get(), 1, kCurrentPosition, 0)), EISDIR));
  EXPECT_TRUE(FailedWith(Run(Entry::Write(kPid, directory.get(), Bytes("x"), 0, 0)), EBADF));

  EXPECT_TRUE(FailedWith(Run(Entry::Lseek(kPid, ends.first.get(), 0, SEEK_SET, 0)), ESPIPE));
  EXPECT_TRUE(FailedWith(Run(Entry::Lseek(kPid, sockets.first.get(), 0, SEEK_SET, 0)), ESPIPE));

  EXPECT_TRUE(fsync(ends.first.get()) < 0 && errno == EINVAL);
  EXPECT_TRUE(FailedWith(Run(Entry::Fsync(kPid, ends.first.get(), 0)), EINVAL));
  EXPECT_TRUE(FailedWith(Run(Entry::Fsync(kPid, sockets.first.get(), 0)), EINVAL));
}

TEST_P(FileOperationsTest, ErrorsOfTheDeviceReachTheCaller) {
  const Fd full(open("/dev/full", O_RDWR | O_CLOEXEC));
  ASSERT_GE(full.get(), 0);
  const Done done = Run(Entry::Write(kPid, full.get(), Bytes("x"), kCurrentPosition, 0));
  EXPECT_TRUE(FailedWith(done, ENOSPC));
  EXPECT_TRUE(absl::IsResourceExhausted(done.status.ToStatus()));
  EXPECT_EQ(done.result.value(), 0);

  const Fd file = OpenFile("file", O_CREAT | O_RDWR);
  constexpr int64_t kFarthest = std::numeric_limits<int64_t>::max() - 1;
  const bool is_too_far = pwrite(file.get(), "x", 1, kFarthest) < 0;
  if (is_too_far) {
    const int expected = errno;
    EXPECT_EQ(expected, EFBIG);
    EXPECT_TRUE(FailedWith(Run(Entry::Write(kPid, file.get(), Bytes("x"), kFarthest, 0)), expected));
  }
  EXPECT_TRUE(Succeeded(Run(Entry::Read(kPid, file.get(), 1, kFarthest - 1, 0)), 0));
}

TEST_P(FileOperationsTest, LseekGivesTheNewOffsetAndTheErrnoOfThePlainCall) {
  Spill(Path("file"), Content(1000));
  const Fd fd = OpenFile("file", O_RDWR);
  EXPECT_TRUE(Succeeded(Run(Entry::Lseek(kPid, fd.get(), 300, SEEK_SET, 0)), 300));
  EXPECT_TRUE(Succeeded(Run(Entry::Lseek(kPid, fd.get(), -100, SEEK_CUR, 0)), 200));
  EXPECT_TRUE(Succeeded(Run(Entry::Lseek(kPid, fd.get(), 5, SEEK_END, 0)), 1005));
  EXPECT_TRUE(Succeeded(Run(Entry::Lseek(kPid, fd.get(), 0, SEEK_DATA, 0)), 0));
  EXPECT_TRUE(Succeeded(Run(Entry::Lseek(kPid, fd.get(), 0, SEEK_HOLE, 0)), 1000));
  EXPECT_TRUE(FailedWith(Run(Entry::Lseek(kPid, fd.get(), -1, SEEK_SET, 0)), EINVAL));
  EXPECT_TRUE(FailedWith(Run(Entry::Lseek(kPid, fd.get(), 1000, SEEK_DATA, 0)), ENXIO));
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_CUR), 1000) << "a failed lseek moves nothing";
}

TEST_P(FileOperationsTest, WritesAndReadsAtOffsetsWithoutMovingThePosition) {
  const Fd fd = OpenFile("file", O_CREAT | O_RDWR);
  EXPECT_TRUE(Succeeded(Run(Entry::Write(kPid, fd.get(), Bytes("world"), 6, 0)), 5));
  EXPECT_TRUE(Succeeded(Run(Entry::Write(kPid, fd.get(), Bytes("hello "), 0, 0)), 6));
  EXPECT_TRUE(Succeeded(Run(Entry::Write(kPid, fd.get(), Bytes(""), 0, 0)), 0));
  EXPECT_TRUE(Succeeded(Run(Entry::Fsync(kPid, fd.get(), 0)), 0));
  const Done done = Run(Entry::Read(kPid, fd.get(), 100, 4, 0));
  EXPECT_TRUE(Succeeded(done, 7));
  EXPECT_EQ(done.result.data(), "o world");
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_CUR), 0);
  EXPECT_EQ(Slurp(Path("file")), "hello world");
}

TEST_P(FileOperationsTest, AppendingFilesAreAppendedToWhateverTheOffset) {
  Spill(Path("file"), "begin");
  const Fd fd = OpenFile("file", O_WRONLY | O_APPEND);
  EXPECT_TRUE(Succeeded(Run(Entry::Write(kPid, fd.get(), Bytes(" and"), 0, 0)), 4));
  EXPECT_TRUE(Succeeded(Run(Entry::Write(kPid, fd.get(), Bytes(" end"), kCurrentPosition, 0)), 4));
  EXPECT_EQ(Slurp(Path("file")), "begin and end");
}

TEST_P(FileOperationsTest, ReadsWithoutTheCacheAsTheirBuffersAreAligned) {
  Spill(Path("file"), Content(16384));
  const Done opened = Run(Entry::Open(kPid, Path("file"), O_RDONLY | O_DIRECT, 0, 0));
  if (opened.status.error_number() == EINVAL) GTEST_SKIP() << "this file system has no O_DIRECT";
  ASSERT_TRUE(Succeeded(opened));
  const Fd fd(static_cast<int>(opened.result.value()));
  for (size_t size : {size_t{4096}, size_t{8192}, size_t{16384}}) {
    const Done done = Run(Entry::Read(kPid, fd.get(), size, 0, 0));
    EXPECT_TRUE(Succeeded(done, static_cast<int64_t>(size)));
    EXPECT_TRUE(done.result.data() == Content(size));
  }
}

TEST_P(FileOperationsTest, P13ReadsOfFilesAreShortOnlyAtTheEnd) {
  constexpr size_t kSize = (4 << 20) + 123;
  const std::string content = Content(kSize);
  Spill(Path("file"), content);
  const Fd fd = OpenFile("file", O_RDONLY);
  for (size_t offset : {size_t{0}, size_t{1}, size_t{4095}, size_t{65537}, kSize - 5000, kSize - 1, kSize, kSize + 1}) {
    for (size_t size : {size_t{1}, size_t{4096}, size_t{65536}, size_t{65537}, size_t{1} << 20, kSize, 2 * kSize}) {
      SCOPED_TRACE(absl::StrCat(size, " at ", offset));
      const std::string expected = content.substr(std::min(offset, kSize), size);
      const Done done = Run(Entry::Read(kPid, fd.get(), size, static_cast<int64_t>(offset), 0));
      EXPECT_TRUE(Succeeded(done, static_cast<int64_t>(expected.size())));
      EXPECT_TRUE(done.result.data() == expected);
    }
  }
}

TEST_P(FileOperationsTest, P13ReadsAtTheCurrentPositionOfOneBatchComeInOrderAndDoNotOverlap) {
  constexpr size_t kPart = 5000;
  constexpr size_t kReads = 64;
  const std::string content = Content(kPart * kReads - 777);
  Spill(Path("file"), content);
  const Fd fd = OpenFile("file", O_RDONLY);
  std::vector<Entry> entries;
  for (size_t i = 0; i < kReads + 2; ++i) entries.push_back(Entry::Read(kPid, fd.get(), kPart, kCurrentPosition, i));
  std::string all;
  for (const Done& done : RunBatch(std::move(entries))) {
    EXPECT_TRUE(Succeeded(done));
    const std::string expected = content.substr(std::min(all.size(), content.size()), kPart);
    EXPECT_TRUE(done.result.data() == expected) << "read " << done.user_data;
    all += expected;
  }
  EXPECT_EQ(all.size(), content.size());
}

TEST_P(FileOperationsTest, P13WritesAndSeeksAtTheCurrentPositionOfOneBatchKeepTheirOrder) {
  const Fd fd = OpenFile("file", O_CREAT | O_RDWR);
  std::vector<Entry> entries;
  std::string expected;
  for (int i = 0; i < 50; ++i) {
    const std::string part = absl::StrCat("part ", i, std::string(static_cast<size_t>(i) * 97, '.'));
    entries.push_back(Entry::Write(kPid, fd.get(), Bytes(part), kCurrentPosition, 0));
    expected += part;
  }
  entries.push_back(Entry::Lseek(kPid, fd.get(), 5, SEEK_SET, 0));
  entries.push_back(Entry::Read(kPid, fd.get(), 20, kCurrentPosition, 0));
  entries.push_back(Entry::Lseek(kPid, fd.get(), 0, SEEK_CUR, 0));
  entries.push_back(Entry::Lseek(kPid, fd.get(), -20, SEEK_END, 0));
  entries.push_back(Entry::Read(kPid, fd.get(), 100, kCurrentPosition, 0));
  const std::vector<Done> done = RunBatch(std::move(entries));
  ASSERT_EQ(done.size(), 55u);
  EXPECT_EQ(Slurp(Path("file")), expected);
  EXPECT_TRUE(Succeeded(done[50], 5));
  EXPECT_EQ(done[51].result.data(), expected.substr(5, 20));
  EXPECT_TRUE(Succeeded(done[52], 25));
  EXPECT_TRUE(Succeeded(done[53], static_cast<int64_t>(expected.size()) - 20));
  EXPECT_EQ(done[54].result.data(), expected.substr(expected.size() - 20));
}

TEST_P(FileOperationsTest, P13AReadThatFailsLetsTheNextOneAtTheCurrentPositionGo) {
  const Fd fd = OpenFile("file", O_CREAT | O_WRONLY);
  std::vector<Entry> entries;
  entries.push_back(Entry::Read(kPid, fd.get(), 10, kCurrentPosition, 0));
  entries.push_back(Entry::Lseek(kPid, fd.get(), -1, SEEK_SET, 0));
  entries.push_back(Entry::Write(kPid, fd.get(), Bytes("done"), kCurrentPosition, 0));
  const std::vector<Done> done = RunBatch(std::move(entries));
  ASSERT_EQ(done.size(), 3u);
  EXPECT_TRUE(FailedWith(done[0], EBADF));
  EXPECT_TRUE(FailedWith(done[1], EINVAL));
  EXPECT_TRUE(Succeeded(done[2], 4));
}

TEST_P(FileOperationsTest, P13PipesReturnAsSoonAsDataIsThere) {
  for (int flags : {0, O_NONBLOCK}) {
    SCOPED_TRACE(flags);
    Pair ends = MakePipe(flags);
    const Seq seq = Submit(Entry::Read(kPid, ends.first.get(), 65536, kCurrentPosition, 0));
    EXPECT_EQ(Reapable(), 0u);
    ASSERT_EQ(write(ends.second.get(), "abc", 3), 3);
    const Done done = Wait(seq);
    EXPECT_TRUE(Succeeded(done, 3));
    EXPECT_EQ(done.result.data(), "abc");

    const Seq last = Submit(Entry::Read(kPid, ends.first.get(), 65536, kCurrentPosition, 0));
    EXPECT_EQ(Reapable(), 0u);
    ends.second.Reset();
    EXPECT_TRUE(Succeeded(Wait(last), 0));
  }
}

TEST_P(FileOperationsTest, P13WaitingReadsOfAPipeGetTheDataInOrder) {
  for (int flags : {0, O_NONBLOCK}) {
    SCOPED_TRACE(flags);
    const Pair ends = MakePipe(flags);
    std::vector<Seq> seqs;
    for (int i = 0; i < 8; ++i) seqs.push_back(Submit(Entry::Read(kPid, ends.first.get(), 2, kCurrentPosition, 0)));
    ASSERT_EQ(write(ends.second.get(), "0a1b2c3d4e5f6g7h", 16), 16);
    std::string all;
    for (Seq seq : seqs) all += std::string(Wait(seq).result.data());
    EXPECT_EQ(all, "0a1b2c3d4e5f6g7h");
  }
}

TEST_P(FileOperationsTest, P13AReadAndAWriteOfOneSocketDoNotWaitForEachOther) {
  const Pair ends = MakeSocketPair(SOCK_STREAM);
  const Seq reading = Submit(Entry::Read(kPid, ends.first.get(), 10, kCurrentPosition, 0));
  EXPECT_TRUE(Succeeded(Run(Entry::Write(kPid, ends.first.get(), Bytes("ping"), kCurrentPosition, 0)), 4));
  EXPECT_TRUE(FailedWith(Run(Entry::Lseek(kPid, ends.first.get(), 0, SEEK_CUR, 0)), ESPIPE));
  ASSERT_EQ(ReadAll(ends.second.get(), 4), "ping");
  ASSERT_EQ(write(ends.second.get(), "pong", 4), 4);
  EXPECT_EQ(Wait(reading).result.data(), "pong");
}

TEST_P(FileOperationsTest, P13WritesToASlowReaderFinish) {
  const std::string content = Content(3'000'000);
  for (int flags : {0, O_NONBLOCK}) {
    SCOPED_TRACE(flags);
    const Pair ends = MakePipe();
    ASSERT_GE(fcntl(ends.second.get(), F_SETPIPE_SZ, 4096), 0);
    ASSERT_EQ(fcntl(ends.second.get(), F_SETFL, flags), 0);
    std::string read;
    std::thread reader([&] { read = ReadAll(ends.first.get(), content.size()); });
    const Done done = Run(Entry::Write(kPid, ends.second.get(), Bytes(content), kCurrentPosition, 0));
    reader.join();
    EXPECT_TRUE(Succeeded(done, static_cast<int64_t>(content.size())));
    EXPECT_TRUE(read == content);
  }
}

TEST_P(FileOperationsTest, P13AWriteToAFullPipeWaitsForRoom) {
  for (int flags : {0, O_NONBLOCK}) {
    SCOPED_TRACE(flags);
    const Pair ends = MakeFullPipe(flags);
    const Seq seq = Submit(Entry::Write(kPid, ends.second.get(), Bytes("last"), kCurrentPosition, 0));
    EXPECT_EQ(Reapable(), 0u);
    ASSERT_EQ(ReadAll(ends.first.get(), 4096), std::string(4096, 'f'));
    EXPECT_TRUE(Succeeded(Wait(seq), 4));
    EXPECT_EQ(ReadAll(ends.first.get(), 4), "last");
  }
}

TEST_P(FileOperationsTest, P13WritesWithoutAReaderAreEPIPEAndRaiseNoSignal) {
  const SigpipeCounter sigpipes;
  for (int flags : {0, O_NONBLOCK}) {
    SCOPED_TRACE(flags);
    Pair pipe = MakePipe(flags);
    pipe.first.Reset();
    EXPECT_TRUE(FailedWith(Run(Entry::Write(kPid, pipe.second.get(), Bytes("x"), kCurrentPosition, 0)), EPIPE));
    Pair sockets = MakeSocketPair(SOCK_STREAM | flags);
    sockets.first.Reset();
    EXPECT_TRUE(FailedWith(Run(Entry::Write(kPid, sockets.second.get(), Bytes("x"), kCurrentPosition, 0)), EPIPE));
    EXPECT_TRUE(FailedWith(Run(Entry::Write(kPid, sockets.second.get(), Bytes("x"), 0, 0)), EPIPE));
  }
  EXPECT_EQ(sigpipes.count(), 0);
}

TEST_P(FileOperationsTest, P13AReaderThatGoesAwayHalfWayIsEPIPEWithWhatWentBefore) {
  const SigpipeCounter sigpipes;
  for (int flags : {0, O_NONBLOCK}) {
    SCOPED_TRACE(flags);
    Pair pipe = MakePipe(flags);
    ASSERT_GE(fcntl(pipe.second.get(), F_SETPIPE_SZ, 4096), 0);
    const Seq seq = Submit(Entry::Write(kPid, pipe.second.get(), Bytes(Content(100'000)), kCurrentPosition, 0));
    ASSERT_EQ(ReadAll(pipe.first.get(), 4096).size(), 4096u);
    EXPECT_EQ(Reapable(), 0u);
    pipe.first.Reset();
    const Done done = Wait(seq);
    // write(2) would answer with the bytes that went; a Write is done when all of them have, or it has failed.
    EXPECT_TRUE(FailedWith(done, EPIPE));
    EXPECT_GE(done.result.value(), 4096);
    EXPECT_LE(done.result.value(), 4096 + 65536);
  }
  EXPECT_EQ(sigpipes.count(), 0);
}

TEST_P(FileOperationsTest, P3APendingReadWhoseFdIsClosedEndsWithItsPipe) {
  Pair ends = MakePipe();
  const Seq seq = Submit(Entry::Read(kPid, ends.first.get(), 10, kCurrentPosition, 0));
  EXPECT_EQ(Reapable(), 0u);
  ends.first.Reset();
  ends.second.Reset();
  EXPECT_TRUE(Succeeded(Wait(seq), 0));
}

TEST_P(FileOperationsTest, P13ManyReadsOfOneNonblockingPipeNeverSeeEAGAIN) {
  const Pair ends = MakePipe(O_NONBLOCK);
  constexpr size_t kReads = 256;
  std::vector<Entry> entries;
  // With an offset of 0 the reads of a pipe are not put in order: all of them wait in the kernel at once.
  for (size_t i = 0; i < kReads; ++i) entries.push_back(Entry::Read(kPid, ends.first.get(), 1, 0, i));
  ASSERT_TRUE(manager().SubmitBatch(kPid, std::move(entries)).ok());
  for (size_t i = 0; i < kReads; ++i) {
    ASSERT_EQ(write(ends.second.get(), "x", 1), 1);
    const absl::StatusOr<std::vector<Done>> done = manager().WaitCompletions(kPid, 1, 1, absl::Seconds(30));
    ASSERT_TRUE(done.ok()) << done.status();
    ASSERT_TRUE(Succeeded((*done)[0], 1)) << "after " << i;
  }
}

TEST_P(FileOperationsTest, OpenOfAFifoWaitsForTheOtherEnd) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  const Seq writer = Submit(Entry::Open(kPid, Path("fifo"), O_WRONLY, 0, 0));
  EXPECT_EQ(Reapable(), 0u);
  const Seq reader = Submit(Entry::Open(kPid, Path("fifo"), O_RDONLY, 0, 0));
  const Done writing = Wait(writer);
  const Done reading = Wait(reader);
  EXPECT_TRUE(Succeeded(writing));
  EXPECT_TRUE(Succeeded(reading));
  if (writing.status.is_success()) close(static_cast<int>(writing.result.value()));
  if (reading.status.is_success()) close(static_cast<int>(reading.result.value()));
}

TEST_P(FileOperationsTest, OpenOfAFifoForReadingIsNotDoneBeforeThereIsAWriter) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  const Seq reader = Submit(Entry::Open(kPid, Path("fifo"), O_RDONLY, 0, 0));
  EXPECT_TRUE(absl::IsDeadlineExceeded(manager().WaitCompletion(kPid, reader, absl::Milliseconds(20)).status()));
  const Seq writer = Submit(Entry::Open(kPid, Path("fifo"), O_WRONLY, 0, 0));
  for (Seq seq : {reader, writer}) {
    const absl::StatusOr<Done> done = manager().WaitCompletion(kPid, seq);
    if (!done.ok()) continue;  // said above
    EXPECT_TRUE(Succeeded(*done));
    close(static_cast<int>(done->result.value()));
  }
}

// The number of a closed fd is soon another file's; its reads must not queue behind the old file's.
TEST_P(FileOperationsTest, P3AReadDoesNotWaitForAnotherFileThatHadTheSameFd) {
  Pair ends = MakePipe();
  const Seq old = Submit(Entry::Read(kPid, ends.first.get(), 10, kCurrentPosition, 0));
  EXPECT_EQ(Reapable(), 0u);
  Spill(Path("file"), "content");
  {
    const Fd file(open(Path("file").c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(dup3(file.get(), ends.first.get(), O_CLOEXEC), ends.first.get());
  }
  const Seq seq = Submit(Entry::Read(kPid, ends.first.get(), 10, kCurrentPosition, 0));
  const absl::StatusOr<Done> done = manager().WaitCompletion(kPid, seq, absl::Seconds(3));
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->result.data(), "content");
  ASSERT_EQ(write(ends.second.get(), "old", 3), 3);
  EXPECT_EQ(Wait(old).result.data(), "old");
}

INSTANTIATE_TEST_SUITE_P(Threading, FileOperationsTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
