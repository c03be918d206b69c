#include "agentos/executor/direct_calls.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Next = Attempt::Next;

io_uring_sqe Entry(uint8_t opcode, int fd, const void* memory, size_t size, uint64_t offset = 0) {
  io_uring_sqe sqe = {};
  sqe.opcode = opcode;
  sqe.fd = fd;
  sqe.addr = reinterpret_cast<uintptr_t>(memory);
  sqe.len = static_cast<uint32_t>(size);
  sqe.off = offset;
  return sqe;
}

io_uring_sqe OpenOf(const std::string& path, int flags) {
  io_uring_sqe sqe = Entry(IORING_OP_OPENAT, AT_FDCWD, path.c_str(), 0600);
  sqe.open_flags = static_cast<uint32_t>(flags | O_CLOEXEC);
  return sqe;
}

void ExpectDone(const Attempt& attempt, int32_t value) {
  EXPECT_EQ(static_cast<int>(attempt.next), static_cast<int>(Next::kDone));
  EXPECT_EQ(attempt.value, value);
}

void ExpectNext(const Attempt& attempt, Next next, int32_t done = 0) {
  EXPECT_EQ(static_cast<int>(attempt.next), static_cast<int>(next));
  EXPECT_EQ(attempt.value, done);
}

TEST(DirectCallsTest, ReadsWhatIsInMemoryAtOnceAndLeavesTheRestToAThread) {
  const TempDir dir;
  const std::string content = Content(1 << 20);
  Spill(dir.Path("file"), content);
  const Fd file(open(dir.Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  std::string memory(content.size(), ' ');
  ExpectDone(Try(Entry(IORING_OP_READ, file.get(), memory.data(), memory.size()), 0), 1 << 20);
  EXPECT_TRUE(memory == content);
  ExpectDone(Try(Entry(IORING_OP_READ, file.get(), memory.data(), 4096, (1 << 20) - 10), 0), 10);
  ASSERT_EQ(fsync(file.get()), 0);
  ASSERT_EQ(posix_fadvise(file.get(), 1 << 19, 0, POSIX_FADV_DONTNEED), 0);
  const io_uring_sqe whole = Entry(IORING_OP_READ, file.get(), memory.data(), memory.size());
  const Attempt attempt = Try(whole, 0);
  // A file system may keep everything in memory, as tmpfs does.
  if (attempt.next != Next::kDone) {
    ExpectNext(attempt, Next::kFileThread, attempt.value);
    EXPECT_LT(attempt.value, 1 << 20);
  }
  memory.assign(memory.size(), ' ');
  EXPECT_EQ(CallAndWait(whole, 0), 1 << 20);
  EXPECT_TRUE(memory == content);
}

TEST(DirectCallsTest, GivesDirectIoToAThread) {
  const TempDir dir;
  Spill(dir.Path("file"), Content(8192));
  const Fd file(open(dir.Path("file").c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  if (file.get() < 0) GTEST_SKIP() << "no direct I/O on this file system";
  const std::unique_ptr<void, decltype(&std::free)> memory(std::aligned_alloc(4096, 4096), &std::free);
  const io_uring_sqe sqe = Entry(IORING_OP_READ, file.get(), memory.get(), 4096);
  ExpectNext(Try(sqe, 0), Next::kFileThread);
  EXPECT_EQ(CallAndWait(sqe, 0), 4096);
}

TEST(DirectCallsTest, SaysWhichEndOfAStreamIsNotReady) {
  const Pair pipe = MakePipe();
  const Pair full = MakeFullPipe();
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  char memory[8];
  ExpectNext(Try(Entry(IORING_OP_READ, pipe.first.get(), memory, 8), 0), Next::kWhenReadable);
  ExpectNext(Try(Entry(IORING_OP_WRITE, full.second.get(), memory, 8), 0), Next::kWhenWritable);
  io_uring_sqe receive = Entry(IORING_OP_RECV, sockets.first.get(), memory, 8);
  ExpectNext(Try(receive, 0), Next::kWhenReadable);
  receive.msg_flags = MSG_DONTWAIT;
  ExpectDone(Try(receive, 0), -EAGAIN);
  receive.msg_flags = MSG_WAITALL;
  ASSERT_EQ(write(sockets.second.get(), "abc", 3), 3);
  ExpectNext(Try(receive, 0), Next::kWhenReadable, 3);
  ASSERT_EQ(write(sockets.second.get(), "defgh", 5), 5);
  ExpectDone(Try(receive, 3), 8);
  EXPECT_EQ(std::string(memory, 8), "abcdefgh");
}

TEST(DirectCallsTest, APipeThatWasSplicedIsWaitedForByTheCallItself) {
  const Pair from = MakePipe();
  const Pair to = MakePipe();
  ASSERT_EQ(write(from.second.get(), "x", 1), 1);
  io_uring_sqe splice = Entry(IORING_OP_SPLICE, to.second.get(), nullptr, 1, static_cast<uint64_t>(-1));
  splice.splice_fd_in = from.first.get();
  splice.splice_off_in = static_cast<uint64_t>(-1);
  ExpectNext(Try(splice, 0), Next::kSlowThread);
  EXPECT_EQ(CallAndWait(splice, 0), 1);
  char memory[8];
  const Attempt attempt = Try(Entry(IORING_OP_READ, from.first.get(), memory, 8), 0);
  EXPECT_TRUE(attempt.next == Next::kWhenReadableWait || attempt.next == Next::kWhenReadable);
}

TEST(DirectCallsTest, OpensPlainFilesThatAreKnownAtOnceAndNothingElse) {
  const TempDir dir;
  Spill(dir.Path("file"), "x");
  ASSERT_EQ(mkfifo(dir.Path("fifo").c_str(), 0600), 0);
  const std::string path = dir.Path("file");
  const std::string fifo = dir.Path("fifo");
  const std::string fresh = dir.Path("new");
  const std::string device = "/dev/null";
  const Attempt plain = Try(OpenOf(path, O_RDWR | O_APPEND), 0);
  ASSERT_EQ(static_cast<int>(plain.next), static_cast<int>(Next::kDone));
  const Fd file(plain.value);
  EXPECT_EQ(fcntl(file.get(), F_GETFL) & (O_NONBLOCK | O_APPEND), O_APPEND);
  // Whether it is known that there is none is the file system's affair.
  const std::string none = dir.Path("none");
  EXPECT_EQ(CallAndWait(OpenOf(none, O_RDONLY), 0), -ENOENT);
  const size_t fds = OpenFds();
  ExpectNext(Try(OpenOf(fifo, O_RDONLY), 0), Next::kSlowThread);
  ExpectNext(Try(OpenOf(fifo, O_WRONLY), 0), Next::kSlowThread);
  ExpectNext(Try(OpenOf(device, O_RDONLY), 0), Next::kSlowThread);
  ExpectNext(Try(OpenOf(fresh, O_RDWR | O_CREAT), 0), Next::kSlowThread);
  EXPECT_EQ(OpenFds(), fds);
}

TEST(DirectCallsTest, ABlockingListenerIsAcceptedFromByTheCallItself) {
  std::string address;
  const Fd blocking = Listen(AF_INET, 4, 0, address);
  const Fd nonblocking = Listen(AF_INET, 4, SOCK_NONBLOCK, address);
  const Fd other = NewSocket(AF_INET, SOCK_STREAM);
  ExpectNext(Try(Entry(IORING_OP_ACCEPT, blocking.get(), nullptr, 0), 0), Next::kWhenReadableWait);
  ExpectNext(Try(Entry(IORING_OP_ACCEPT, nonblocking.get(), nullptr, 0), 0), Next::kWhenReadable);
  ExpectDone(Try(Entry(IORING_OP_ACCEPT, other.get(), nullptr, 0), 0), -EINVAL);
}

TEST(DirectCallsTest, ACloseThatLingersIsGivenToAThread) {
  const Fd socket = NewSocket(AF_INET, SOCK_STREAM);
  const linger option = {.l_onoff = 1, .l_linger = 5};
  ASSERT_EQ(setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &option, sizeof(option)), 0);
  ExpectNext(Try(Entry(IORING_OP_CLOSE, socket.get(), nullptr, 0), 0), Next::kSlowThread);
  ExpectDone(Try(Entry(IORING_OP_CLOSE, ClosedFd(), nullptr, 0), 0), -EBADF);
}

TEST(DirectCallsTest, KnowsWhichFdsACallWorksOn) {
  io_uring_sqe splice = Entry(IORING_OP_SPLICE, 5, nullptr, 1);
  splice.splice_fd_in = 6;
  EXPECT_EQ(FdsOf(splice).first, 5);
  EXPECT_EQ(FdsOf(splice).second, 6);
  // A socket's domain is no fd.
  EXPECT_EQ(FdsOf(Entry(IORING_OP_SOCKET, 2, nullptr, 0)).first, -1);
  EXPECT_FALSE(HasDirectCall(IORING_OP_POLL_ADD));
  EXPECT_FALSE(HasDirectCall(200));
  ExpectDone(Try(Entry(200, 0, nullptr, 0), 0), -EINVAL);
}

}  // namespace
}  // namespace agentos
