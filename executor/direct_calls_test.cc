#include "agentos/executor/direct_calls.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>

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

// The file's own position.
constexpr uint64_t kCurrentOffset = static_cast<uint64_t>(-1);

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

TEST(DirectCallsTest, AnAcceptOfWhatDoesNotListenFailsAtOnceEitherWay) {
  const Fd stream = NewSocket(AF_INET, SOCK_STREAM);
  const Fd nonblocking = NewSocket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
  const Fd unix_stream = NewSocket(AF_UNIX, SOCK_STREAM);
  const Fd datagrams = NewSocket(AF_INET, SOCK_DGRAM);
  const Pair connected = MakeSocketPair(SOCK_STREAM);
  const Pair pipe = MakePipe();
  const size_t fds = OpenFds();
  const std::pair<int, int> cases[] = {
      {stream.get(), -EINVAL},        {nonblocking.get(), -EINVAL},     {unix_stream.get(), -EINVAL},
      {datagrams.get(), -EOPNOTSUPP}, {connected.first.get(), -EINVAL}, {pipe.first.get(), -ENOTSOCK},
      {ClosedFd(), -EBADF},
  };
  for (const auto& [fd, error] : cases) {
    SCOPED_TRACE(error);
    ExpectDone(Try(Entry(IORING_OP_ACCEPT, fd, nullptr, 0), 0), error);
    EXPECT_EQ(CallAndWait(Entry(IORING_OP_ACCEPT, fd, nullptr, 0), 0), error);
  }
  EXPECT_EQ(OpenFds(), fds);
}

// A message to be received, with the sender's name.
struct Message {
  explicit Message(size_t size) : content(size, ' ') {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_name = &name;
    header.msg_namelen = sizeof(name);
    part = {content.data(), content.size()};
  }
  io_uring_sqe Receive(int fd, int flags) {
    io_uring_sqe sqe = Entry(IORING_OP_RECVMSG, fd, &header, 1);
    sqe.msg_flags = static_cast<uint32_t>(flags);
    return sqe;
  }
  std::string content;
  iovec part;
  sockaddr_un name = {};
  msghdr header = {};
};

// Gives a Unix socket a name that is free, and returns it.
std::string Bind(int fd) {
  sockaddr_un name = {.sun_family = AF_UNIX};
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof(sa_family_t)), 0);
  socklen_t size = sizeof(name);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size), 0);
  return std::string(reinterpret_cast<const char*>(&name), size);
}

TEST(DirectCallsTest, AMessageThatComesInPartsKeepsItsSenderAndFlags) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const std::string sender = Bind(sockets.second.get());
  Message message(8);
  const io_uring_sqe receive = message.Receive(sockets.first.get(), MSG_WAITALL);
  ExpectNext(Try(receive, 0), Next::kWhenReadable);
  EXPECT_EQ(message.header.msg_namelen, sizeof(message.name)) << "nothing came, nothing changes";
  ASSERT_EQ(write(sockets.second.get(), "abc", 3), 3);
  ExpectNext(Try(receive, 0), Next::kWhenReadable, 3);
  ASSERT_EQ(write(sockets.second.get(), "defghi", 6), 6);
  ExpectDone(Try(receive, 3), 8);
  EXPECT_EQ(message.content, "abcdefgh");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(&message.name), message.header.msg_namelen), sender);
  EXPECT_EQ(message.header.msg_flags & (MSG_TRUNC | MSG_CTRUNC), 0);
  EXPECT_EQ(message.header.msg_iov, &message.part);
  EXPECT_EQ(message.part.iov_base, message.content.data());
  EXPECT_EQ(message.part.iov_len, 8u) << "the caller's own description is left alone";
}

TEST(DirectCallsTest, ADatagramIsWholeHoweverShortAndSaysWhenItWasCut) {
  const Pair sockets = MakeSocketPair(SOCK_DGRAM);
  const std::string sender = Bind(sockets.second.get());
  for (const std::string& sent : {std::string("ab"), std::string("too long")}) {
    Message message(4);
    ASSERT_EQ(write(sockets.second.get(), sent.data(), sent.size()), static_cast<ssize_t>(sent.size()));
    const size_t received = std::min<size_t>(sent.size(), 4);
    ExpectDone(Try(message.Receive(sockets.first.get(), MSG_WAITALL), 0), static_cast<int32_t>(received));
    EXPECT_EQ(message.content.substr(0, received), sent.substr(0, received));
    EXPECT_EQ(message.header.msg_flags & MSG_TRUNC, sent.size() > 4 ? MSG_TRUNC : 0);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(&message.name), message.header.msg_namelen), sender);
  }
}

TEST(DirectCallsTest, APeekTakesNothingAndWaitsForNoMoreThanIsThere) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  char memory[8] = {};
  for (const int flags : {int{MSG_PEEK}, MSG_PEEK | MSG_WAITALL}) {
    io_uring_sqe peek = Entry(IORING_OP_RECV, sockets.first.get(), memory, 8);
    peek.msg_flags = static_cast<uint32_t>(flags);
    ExpectNext(Try(peek, 0), Next::kWhenReadable);
    ASSERT_EQ(write(sockets.second.get(), "abc", 3), 3);
    for (int again = 0; again < 2; ++again) {
      ExpectDone(Try(peek, 0), 3);
      EXPECT_EQ(std::string(memory, 3), "abc");
    }
    ExpectDone(Try(Entry(IORING_OP_RECV, sockets.first.get(), memory, 8), 0), 3);
  }
}

class ConnectCallTest : public testing::Test {
 protected:
  io_uring_sqe ConnectTo(int server, int client) {
    socklen_t size = sizeof(address_);
    EXPECT_EQ(getsockname(server, reinterpret_cast<sockaddr*>(&address_), &size), 0);
    return Entry(IORING_OP_CONNECT, client, &address_, 0, size);
  }
  // As a ring of threads would go on.
  static void ExpectEnd(const io_uring_sqe& sqe, int32_t result) {
    Attempt attempt;
    while ((attempt = Try(sqe, 0)).next == Next::kWhenWritable) {
      pollfd ready = {sqe.fd, POLLOUT, 0};
      EXPECT_EQ(poll(&ready, 1, -1), 1);
    }
    ExpectDone(attempt, result);
  }

 private:
  sockaddr_storage address_;
};

TEST_F(ConnectCallTest, ThatIsRefusedSaysSoAndTheSocketStaysBlocking) {
  // Its port is nobody else's, and it does not listen.
  const Fd bound = NewSocket(AF_INET, SOCK_STREAM);
  const sockaddr_in any = {.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  ASSERT_EQ(bind(bound.get(), reinterpret_cast<const sockaddr*>(&any), sizeof(any)), 0);
  for (const int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    const Fd client = NewSocket(AF_INET, SOCK_STREAM | flags);
    ExpectEnd(ConnectTo(bound.get(), client.get()), -ECONNREFUSED);
    EXPECT_EQ(fcntl(client.get(), F_GETFL) & O_NONBLOCK, flags == 0 ? 0 : O_NONBLOCK);
  }
}

TEST_F(ConnectCallTest, ThatIsInProgressIsWaitedForAndTheSocketStaysBlocking) {
  std::string address;
  const Fd listener = Listen(AF_INET, 0, 0, address);
  const Fd fills_the_backlog = NewSocket(AF_INET, SOCK_STREAM);
  ExpectEnd(ConnectTo(listener.get(), fills_the_backlog.get()), 0);
  const Fd client = NewSocket(AF_INET, SOCK_STREAM);
  const io_uring_sqe sqe = ConnectTo(listener.get(), client.get());
  ExpectNext(Try(sqe, 0), Next::kWhenWritable);
  ExpectNext(Try(sqe, 0), Next::kWhenWritable);
  EXPECT_EQ(fcntl(client.get(), F_GETFL) & O_NONBLOCK, 0);
  const Fd accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ExpectEnd(sqe, 0);
  ExpectEnd(sqe, -EISCONN);
  EXPECT_EQ(fcntl(client.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(ConnectCallTest, OfWhatIsNoSocketFails) {
  std::string address;
  const Fd listener = Listen(AF_INET, 4, 0, address);
  const Pair pipe = MakePipe();
  ExpectDone(Try(ConnectTo(listener.get(), pipe.first.get()), 0), -ENOTSOCK);
  ExpectDone(Try(ConnectTo(listener.get(), ClosedFd()), 0), -EBADF);
}

std::atomic<int> sigpipes{0};

TEST(DirectCallsTest, WhatNobodyReadsAnyMoreIsEpipeAndNoSignal) {
  struct sigaction count {
  }, before;
  count.sa_handler = [](int) { ++sigpipes; };
  sigaction(SIGPIPE, &count, &before);
  Pair sockets = MakeSocketPair(SOCK_STREAM);
  Pair pipe = MakePipe();
  sockets.second.Reset();
  pipe.first.Reset();
  io_uring_sqe send = Entry(IORING_OP_SEND, sockets.first.get(), "data", 4);
  send.msg_flags = MSG_NOSIGNAL;
  ExpectDone(Try(send, 0), -EPIPE);
  ExpectDone(Try(Entry(IORING_OP_WRITE, sockets.first.get(), "data", 4, kCurrentOffset), 0), -EPIPE);
  const io_uring_sqe write_to_pipe = Entry(IORING_OP_WRITE, pipe.second.get(), "data", 4, kCurrentOffset);
  const Attempt attempt = Try(write_to_pipe, 0);
  if (attempt.next == Next::kDone) {
    ExpectDone(attempt, -EPIPE);
  } else {
    ExpectNext(attempt, Next::kWhenWritableWait);
    // In a thread that blocks the signal.
    int32_t result = 0;
    std::thread([&] {
      sigset_t all;
      sigfillset(&all);
      pthread_sigmask(SIG_BLOCK, &all, nullptr);
      result = CallAndWait(write_to_pipe, 0);
    }).join();
    EXPECT_EQ(result, -EPIPE);
  }
  sigaction(SIGPIPE, &before, nullptr);
  EXPECT_EQ(sigpipes, 0);
}

// As a ring of threads would read it, part by part.
TEST(DirectCallsTest, ReadsAFileThatIsMadeWhenItIsAskedForInParts) {
  const std::string path = "/proc/filesystems";
  const std::string whole = Slurp(path);
  ASSERT_GT(whole.size(), 100u);
  const auto finish = [](const io_uring_sqe& sqe) {
    const Attempt attempt = Try(sqe, 0);
    return attempt.next == Next::kDone ? attempt.value : CallAndWait(sqe, attempt.value);
  };
  for (const bool positioned : {true, false}) {
    const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string read;
    char part[37];
    for (int32_t n = 1; n > 0; read.append(part, static_cast<size_t>(std::max(n, 0)))) {
      n = finish(Entry(IORING_OP_READ, file.get(), part, sizeof(part), positioned ? read.size() : kCurrentOffset));
      ASSERT_GE(n, 0);
    }
    EXPECT_EQ(read, whole);
  }
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
