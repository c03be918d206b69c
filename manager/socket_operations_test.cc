// Accept, Connect, Send, Recv, SendTo and RecvFrom through the manager, over TCP and Unix sockets.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <random>
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

constexpr char kUnspecified[] = "";

class SocketOperationsTest : public ManagerTest {
 protected:
  // Binds and listens at a Unix address: a path, or an abstract name that begins with '@'.
  static Fd ListenUnix(std::string name, int type, int backlog = 8) {
    Fd fd = NewSocket(AF_UNIX, type);
    sockaddr_un un{};
    un.sun_family = AF_UNIX;
    EXPECT_LT(name.size(), sizeof(un.sun_path));
    std::memcpy(un.sun_path, name.data(), name.size());
    const bool abstract = name[0] == '@';
    if (abstract) un.sun_path[0] = '\0';
    const size_t size = offsetof(sockaddr_un, sun_path) + name.size() + (abstract ? 0 : 1);
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&un), static_cast<socklen_t>(size)), 0) << std::strerror(errno);
    if ((type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_DGRAM) {
      EXPECT_EQ(listen(fd.get(), backlog), 0);
    }
    return fd;
  }

  // Short enough for sun_path, which the tests' own directory need not be.
  std::string UnixPath() const { return absl::StrCat("/tmp/agentos_socket_", number_); }
  std::string AbstractName() const { return absl::StrCat("@agentos_socket_", number_); }

  void TearDown() override {
    unlink(UnixPath().c_str());
    ManagerTest::TearDown();
  }

  // An echo between a client and a server that both use the ring; `peer` is the client's address as the server must see it, or
  // empty when it is the system's choice.
  void Echo(int listener, const std::string& address, int family, int flags, absl::string_view peer_begins) {
    const Seq accept = Submit(Entry::Accept(kPid, listener, 0));
    EXPECT_EQ(Reapable(), 0u);
    const Fd client = NewSocket(family, SOCK_STREAM | flags);
    EXPECT_TRUE(Succeeded(Run(Entry::Connect(kPid, client.get(), address, 0)), 0));
    const Done accepted = Wait(accept);
    ASSERT_TRUE(Succeeded(accepted));
    const Fd server(static_cast<int>(accepted.result.value()));
    EXPECT_EQ(fcntl(server.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT_TRUE(absl::StartsWith(accepted.result.peer_address(), peer_begins)) << accepted.result.peer_address();

    EXPECT_TRUE(FailedWith(Run(Entry::Connect(kPid, client.get(), address, 0)), EISCONN));

    const Seq recv = Submit(Entry::Recv(kPid, server.get(), 100, 0, 0));
    EXPECT_EQ(Reapable(), 0u);
    EXPECT_TRUE(Succeeded(Run(Entry::Send(kPid, client.get(), Bytes("hello"), 0, 0)), 5));
    Done received = Wait(recv);
    EXPECT_TRUE(Succeeded(received, 5));
    EXPECT_EQ(received.result.data(), "hello");
    EXPECT_TRUE(Succeeded(Run(Entry::Send(kPid, server.get(), Bytes(received.result.TakeData()), 0, 0)), 5));
    EXPECT_EQ(Run(Entry::Recv(kPid, client.get(), 3, 0, 0)).result.data(), "hel");
    EXPECT_EQ(Run(Entry::Recv(kPid, client.get(), 100, 0, 0)).result.data(), "lo");

    EXPECT_TRUE(Succeeded(Run(Entry::Send(kPid, server.get(), Bytes(""), 0, 0)), 0));
    const Seq end = Submit(Entry::Recv(kPid, server.get(), 100, 0, 0));
    EXPECT_EQ(Reapable(), 0u);
    ASSERT_EQ(shutdown(client.get(), SHUT_WR), 0);
    EXPECT_TRUE(Succeeded(Wait(end), 0));
  }

 private:
  // Not the process id: two sandboxes that run this at once may give the same one.
  const uint32_t number_ = std::random_device()();
};

TEST_P(SocketOperationsTest, P14EchoesOverTcp) {
  for (int family : {AF_INET, AF_INET6}) {
    for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
      SCOPED_TRACE(absl::StrCat(family, " ", flags));
      const Fd probe(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (probe.get() < 0) continue;
      std::string address;
      const Fd listener = Listen(family, 8, flags, address);
      Echo(listener.get(), address, family, flags, family == AF_INET ? "127.0.0.1:" : "[::1]:");
    }
  }
}

TEST_P(SocketOperationsTest, P15ASecondConnectWaitsForTheFirstAsABlockingOneDoes) {
  std::string address;
  const Fd listener = Listen(AF_INET, 0, 0, address);
  const Fd fills_the_backlog = NewSocket(AF_INET, SOCK_STREAM);
  EXPECT_TRUE(Succeeded(Run(Entry::Connect(kPid, fills_the_backlog.get(), address, 0))));
  const Fd client = NewSocket(AF_INET, SOCK_STREAM);
  const Seq first = Submit(Entry::Connect(kPid, client.get(), address, 0));
  const Seq second = Submit(Entry::Connect(kPid, client.get(), address, 0));
  EXPECT_EQ(Reapable(), 0u);
  const Fd server(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  // Which of the two finds the socket connected already is the kernel's choice.
  int succeeded = 0;
  for (const Seq seq : {first, second}) {
    const Done done = Wait(seq);
    succeeded += done.status.is_success() ? 1 : 0;
    EXPECT_TRUE(done.status.is_success() || FailedWith(done, EISCONN));
  }
  EXPECT_GE(succeeded, 1);
}

TEST_P(SocketOperationsTest, P14EchoesOverUnixSockets) {
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    SCOPED_TRACE(flags);
    {
      const Fd listener = ListenUnix(UnixPath(), SOCK_STREAM | flags);
      Echo(listener.get(), absl::StrCat("unix:", UnixPath()), AF_UNIX, flags, kUnspecified);
      unlink(UnixPath().c_str());
    }
    const Fd listener = ListenUnix(AbstractName(), SOCK_STREAM | flags);
    Echo(listener.get(), absl::StrCat("unix:", AbstractName()), AF_UNIX, flags, kUnspecified);
  }
}

TEST_P(SocketOperationsTest, P14ThePeersAddressIsTheClientsOwn) {
  std::string address;
  const Fd listener = Listen(AF_INET, 8, 0, address);
  const Fd client = NewSocket(AF_INET, SOCK_STREAM);
  EXPECT_TRUE(Succeeded(Run(Entry::Connect(kPid, client.get(), address, 0))));
  sockaddr_in in{};
  socklen_t in_size = sizeof(in);
  ASSERT_EQ(getsockname(client.get(), reinterpret_cast<sockaddr*>(&in), &in_size), 0);
  const Done accepted = Run(Entry::Accept(kPid, listener.get(), 0));
  ASSERT_TRUE(Succeeded(accepted));
  const Fd server(static_cast<int>(accepted.result.value()));
  EXPECT_EQ(accepted.result.peer_address(), absl::StrCat("127.0.0.1:", ntohs(in.sin_port)));

  const Fd unix_listener = ListenUnix(AbstractName(), SOCK_STREAM);
  const Fd named = NewSocket(AF_UNIX, SOCK_STREAM);
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  const std::string name = AbstractName() + "_named";
  std::memcpy(un.sun_path, name.data(), name.size());
  un.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  ASSERT_EQ(bind(named.get(), reinterpret_cast<sockaddr*>(&un), size), 0);
  EXPECT_TRUE(Succeeded(Run(Entry::Connect(kPid, named.get(), absl::StrCat("unix:", AbstractName()), 0))));
  const Done unix_accepted = Run(Entry::Accept(kPid, unix_listener.get(), 0));
  ASSERT_TRUE(Succeeded(unix_accepted));
  const Fd unix_server(static_cast<int>(unix_accepted.result.value()));
  EXPECT_EQ(unix_accepted.result.peer_address(), absl::StrCat("unix:", name));
}

TEST_P(SocketOperationsTest, P14DatagramsKeepTheirBoundsAndNameTheirSender) {
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    SCOPED_TRACE(flags);
    const std::string a_name = AbstractName() + "_a";
    const std::string b_name = AbstractName() + "_b";
    const Fd a = ListenUnix(a_name, SOCK_DGRAM | flags);
    const Fd b = ListenUnix(b_name, SOCK_DGRAM | flags);
    const Seq receive = Submit(Entry::RecvFrom(kPid, b.get(), 100, 0, 0));
    EXPECT_EQ(Reapable(), 0u);
    EXPECT_TRUE(Succeeded(Run(Entry::SendTo(kPid, a.get(), Bytes("first"), absl::StrCat("unix:", b_name), 0, 0)), 5));
    EXPECT_TRUE(Succeeded(Run(Entry::SendTo(kPid, a.get(), Bytes(""), absl::StrCat("unix:", b_name), 0, 0)), 0));
    EXPECT_TRUE(Succeeded(Run(Entry::SendTo(kPid, a.get(), Bytes("second"), absl::StrCat("unix:", b_name), 0, 0)), 6));
    const Done first = Wait(receive);
    EXPECT_TRUE(Succeeded(first, 5));
    EXPECT_EQ(first.result.data(), "first");
    EXPECT_EQ(first.result.peer_address(), absl::StrCat("unix:", a_name));
    EXPECT_TRUE(Succeeded(Run(Entry::RecvFrom(kPid, b.get(), 100, 0, 0)), 0));
    EXPECT_EQ(Run(Entry::RecvFrom(kPid, b.get(), 3, 0, 0)).result.data(), "sec");
  }
}

TEST_P(SocketOperationsTest, P14DatagramsOverUdp) {
  for (int family : {AF_INET, AF_INET6}) {
    SCOPED_TRACE(family);
    const Fd probe(socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (probe.get() < 0) continue;
    const Fd receiver = NewSocket(family, SOCK_DGRAM);
    const Fd sender = NewSocket(family, SOCK_DGRAM);
    std::string to;
    std::string from;
    for (const auto& [fd, text] : {std::pair{&receiver, &to}, std::pair{&sender, &from}}) {
      sockaddr_storage storage{};
      storage.ss_family = static_cast<sa_family_t>(family);
      socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      auto* in = reinterpret_cast<sockaddr_in*>(&storage);
      auto* in6 = reinterpret_cast<sockaddr_in6*>(&storage);
      if (family == AF_INET) {
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      } else {
        in6->sin6_addr = in6addr_loopback;
      }
      ASSERT_EQ(bind(fd->get(), reinterpret_cast<sockaddr*>(&storage), size), 0);
      ASSERT_EQ(getsockname(fd->get(), reinterpret_cast<sockaddr*>(&storage), &size), 0);
      *text = family == AF_INET ? absl::StrCat("127.0.0.1:", ntohs(in->sin_port)) : absl::StrCat("[::1]:", ntohs(in6->sin6_port));
    }
    const Seq receive = Submit(Entry::RecvFrom(kPid, receiver.get(), 100, 0, 0));
    EXPECT_TRUE(Succeeded(Run(Entry::SendTo(kPid, sender.get(), Bytes("ping"), to, 0, 0)), 4));
    const Done done = Wait(receive);
    EXPECT_EQ(done.result.data(), "ping");
    EXPECT_EQ(done.result.peer_address(), from);
    EXPECT_TRUE(FailedWith(Run(Entry::Send(kPid, sender.get(), Bytes("x"), 0, 0)), EDESTADDRREQ));
    EXPECT_TRUE(FailedWith(Run(Entry::SendTo(kPid, sender.get(), Bytes(std::string(70'000, 'x')), to, 0, 0)), EMSGSIZE));
  }
}

TEST_P(SocketOperationsTest, P13ALargeSendThroughASmallBufferToASlowReaderFinishes) {
  const std::string content = Content(2'000'000);
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    for (bool tcp : {false, true}) {
      SCOPED_TRACE(absl::StrCat(flags, " ", tcp));
      Pair ends;
      if (tcp) {
        std::string address;
        const Fd listener = Listen(AF_INET, 8, 0, address);
        ends.first = NewSocket(AF_INET, SOCK_STREAM | flags);
        EXPECT_TRUE(Succeeded(Run(Entry::Connect(kPid, ends.first.get(), address, 0))));
        ends.second = Fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      } else {
        ends = MakeSocketPair(SOCK_STREAM | flags);
        ASSERT_EQ(fcntl(ends.second.get(), F_SETFL, 0), 0);
      }
      const int small = 4096;
      ASSERT_EQ(setsockopt(ends.first.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
      std::string received;
      std::thread reader([&] { received = ReadAll(ends.second.get(), content.size()); });
      const Done done = Run(Entry::Send(kPid, ends.first.get(), Bytes(content), 0, 0));
      EXPECT_TRUE(Succeeded(done, static_cast<int64_t>(content.size())));
      ends.first.Reset();
      reader.join();
      EXPECT_TRUE(received == content);
    }
  }
}

TEST_P(SocketOperationsTest, P13ALargeSendToOnAConnectedStreamFinishes) {
  const std::string content = Content(2'000'000);
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    SCOPED_TRACE(flags);
    std::string address;
    const Fd listener = Listen(AF_INET, 8, 0, address);
    Fd client = NewSocket(AF_INET, SOCK_STREAM | flags);
    EXPECT_TRUE(Succeeded(Run(Entry::Connect(kPid, client.get(), address, 0))));
    const Fd server(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const int small = 4096;
    ASSERT_EQ(setsockopt(client.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    std::string received;
    std::thread reader([&] { received = ReadAll(server.get(), content.size()); });
    EXPECT_TRUE(Succeeded(Run(Entry::SendTo(kPid, client.get(), Bytes(content), address, 0, 0)), 2'000'000));
    client.Reset();
    reader.join();
    EXPECT_TRUE(received == content);
  }
}

TEST_P(SocketOperationsTest, P13RecvReturnsAsSoonAsAnyDataIsThere) {
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    SCOPED_TRACE(flags);
    const Pair ends = MakeSocketPair(SOCK_STREAM | flags);
    const Seq seq = Submit(Entry::Recv(kPid, ends.first.get(), 65536, 0, 0));
    EXPECT_EQ(Reapable(), 0u);
    ASSERT_EQ(write(ends.second.get(), "ab", 2), 2);
    EXPECT_EQ(Wait(seq).result.data(), "ab");
    const Seq from = Submit(Entry::RecvFrom(kPid, ends.first.get(), 65536, 0, 0));
    EXPECT_EQ(Reapable(), 0u);
    ASSERT_EQ(write(ends.second.get(), "cd", 2), 2);
    const Done done = Wait(from);
    EXPECT_EQ(done.result.data(), "cd");
    EXPECT_EQ(done.result.peer_address(), "");
  }
}

TEST_P(SocketOperationsTest, PeekLeavesTheData) {
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    const Pair ends = MakeSocketPair(SOCK_STREAM | flags);
    ASSERT_EQ(write(ends.second.get(), "data", 4), 4);
    EXPECT_EQ(Run(Entry::Recv(kPid, ends.first.get(), 2, MSG_PEEK, 0)).result.data(), "da");
    EXPECT_EQ(Run(Entry::RecvFrom(kPid, ends.first.get(), 10, MSG_PEEK, 0)).result.data(), "data");
    EXPECT_EQ(Run(Entry::Recv(kPid, ends.first.get(), 10, 0, 0)).result.data(), "data");
  }
}

TEST_P(SocketOperationsTest, WaitAllWaitsForEverythingOrTheEnd) {
  Pair ends = MakeSocketPair(SOCK_STREAM);
  for (bool from : {false, true}) {
    const int fd = ends.first.get();
    const Seq seq = Submit(from ? Entry::RecvFrom(kPid, fd, 10, MSG_WAITALL, 0) : Entry::Recv(kPid, fd, 10, MSG_WAITALL, 0));
    for (const char* part : {"01", "2345", "678"}) {
      ASSERT_GT(write(ends.second.get(), part, std::strlen(part)), 0);
      EXPECT_EQ(Reapable(), 0u);
    }
    ASSERT_EQ(write(ends.second.get(), "9more", 5), 5);
    EXPECT_EQ(Wait(seq).result.data(), "0123456789");
    EXPECT_EQ(Run(Entry::Recv(kPid, ends.first.get(), 10, 0, 0)).result.data(), "more");
  }
  const Seq last = Submit(Entry::Recv(kPid, ends.first.get(), 10, MSG_WAITALL, 0));
  ASSERT_EQ(write(ends.second.get(), "end", 3), 3);
  ends.second.Reset();
  EXPECT_EQ(Wait(last).result.data(), "end");
}

TEST_P(SocketOperationsTest, WaitAllWaitsOnNonblockingSocketsToo) {
  const Pair ends = MakeSocketPair(SOCK_STREAM | SOCK_NONBLOCK);
  for (bool from : {false, true}) {
    const int fd = ends.first.get();
    const Seq seq = Submit(from ? Entry::RecvFrom(kPid, fd, 10, MSG_WAITALL, 0) : Entry::Recv(kPid, fd, 10, MSG_WAITALL, 0));
    ASSERT_EQ(write(ends.second.get(), "01234", 5), 5);
    EXPECT_EQ(Reapable(), 0u);
    ASSERT_EQ(write(ends.second.get(), "56789", 5), 5);
    EXPECT_EQ(Wait(seq).result.data(), "0123456789");
  }
}

TEST_P(SocketOperationsTest, DontWaitDoesNotWait) {
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    SCOPED_TRACE(flags);
    Pair ends = MakeSocketPair(SOCK_STREAM | flags);
    EXPECT_TRUE(FailedWith(Run(Entry::Recv(kPid, ends.first.get(), 10, MSG_DONTWAIT, 0)), EAGAIN));
    EXPECT_TRUE(FailedWith(Run(Entry::RecvFrom(kPid, ends.first.get(), 10, MSG_DONTWAIT, 0)), EAGAIN));
    // Takes what fits, which is a success, and then nothing.
    const Done some = Run(Entry::Send(kPid, ends.first.get(), Bytes(Content(5'000'000)), MSG_DONTWAIT, 0));
    EXPECT_TRUE(Succeeded(some));
    EXPECT_GT(some.result.value(), 0);
    EXPECT_LT(some.result.value(), 5'000'000);
    EXPECT_TRUE(FailedWith(Run(Entry::Send(kPid, ends.first.get(), Bytes(Content(500'000)), MSG_DONTWAIT, 0)), EAGAIN));
    ASSERT_EQ(shutdown(ends.first.get(), SHUT_WR), 0);
    EXPECT_TRUE(ReadAll(ends.second.get(), 5'000'000) == Content(5'000'000).substr(0, static_cast<size_t>(some.result.value())));
  }
}

TEST_P(SocketOperationsTest, RefusedConnectionsAndAddressesWithoutAnyone) {
  std::string address;
  { const Fd gone = Listen(AF_INET, 1, 0, address); }
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    SCOPED_TRACE(flags);
    const Fd tcp = NewSocket(AF_INET, SOCK_STREAM | flags);
    const Done done = Run(Entry::Connect(kPid, tcp.get(), address, 0));
    EXPECT_TRUE(FailedWith(done, ECONNREFUSED));
    EXPECT_TRUE(absl::StrContains(done.status.error_message(), "Connect"));
    EXPECT_TRUE(absl::StrContains(done.status.error_message(), address));
    const Fd local = NewSocket(AF_UNIX, SOCK_STREAM | flags);
    EXPECT_TRUE(FailedWith(Run(Entry::Connect(kPid, local.get(), "unix:/tmp/agentos_nobody_is_here", 0)), ENOENT));
    EXPECT_TRUE(FailedWith(Run(Entry::Connect(kPid, local.get(), "unix:@agentos_nobody_is_here", 0)), ECONNREFUSED));
    const Fd datagram = NewSocket(AF_UNIX, SOCK_DGRAM | flags);
    EXPECT_TRUE(
        FailedWith(Run(Entry::SendTo(kPid, datagram.get(), Bytes("x"), "unix:@agentos_nobody_is_here", 0, 0)), ECONNREFUSED));
    EXPECT_TRUE(FailedWith(Run(Entry::Connect(kPid, datagram.get(), address, 0)), EINVAL)) << "the family of another socket";
  }
}

TEST_P(SocketOperationsTest, P14SendsToNobodyAreEPIPEWithoutASignal) {
  const SigpipeCounter sigpipes;
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    SCOPED_TRACE(flags);
    Pair ends = MakeSocketPair(SOCK_STREAM | flags);
    ends.second.Reset();
    EXPECT_TRUE(FailedWith(Run(Entry::Send(kPid, ends.first.get(), Bytes("x"), 0, 0)), EPIPE));
    EXPECT_TRUE(FailedWith(Run(Entry::Send(kPid, ends.first.get(), Bytes("x"), MSG_DONTWAIT, 0)), EPIPE));
    const Fd unconnected = NewSocket(AF_INET, SOCK_STREAM | flags);
    EXPECT_TRUE(FailedWith(Run(Entry::Send(kPid, unconnected.get(), Bytes("x"), 0, 0)), EPIPE));
    EXPECT_TRUE(FailedWith(Run(Entry::SendTo(kPid, unconnected.get(), Bytes("x"), "127.0.0.1:1", 0, 0)), EPIPE));
  }
  EXPECT_EQ(sigpipes.count(), 0);
}

TEST_P(SocketOperationsTest, P14AReaderThatGoesAwayHalfWayIsAnErrorWithWhatWentBefore) {
  const SigpipeCounter sigpipes;
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    SCOPED_TRACE(flags);
    Pair ends = MakeSocketPair(SOCK_STREAM | flags);
    const Seq seq = Submit(Entry::Send(kPid, ends.first.get(), Bytes(Content(5'000'000)), 0, 0));
    EXPECT_EQ(Reapable(), 0u);
    ends.second.Reset();
    const Done done = Wait(seq);
    EXPECT_TRUE(FailedWith(done, EPIPE));
    EXPECT_GT(done.result.value(), 0);
    EXPECT_LT(done.result.value(), 5'000'000);
  }
  EXPECT_EQ(sigpipes.count(), 0);
}

TEST_P(SocketOperationsTest, AResetConnectionIsECONNRESET) {
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    SCOPED_TRACE(flags);
    std::string address;
    const Fd listener = Listen(AF_INET, 8, 0, address);
    const Fd client = NewSocket(AF_INET, SOCK_STREAM | flags);
    EXPECT_TRUE(Succeeded(Run(Entry::Connect(kPid, client.get(), address, 0))));
    Fd server(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const Seq seq = Submit(Entry::Recv(kPid, client.get(), 10, 0, 0));
    EXPECT_EQ(Reapable(), 0u);
    const linger hard = {.l_onoff = 1, .l_linger = 0};
    ASSERT_EQ(setsockopt(server.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    server.Reset();
    EXPECT_TRUE(FailedWith(Wait(seq), ECONNRESET));
  }
}

TEST_P(SocketOperationsTest, FdsThatAreNotOpenOrNoSocketsAreErrors) {
  const Pair pipe = MakePipe();
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  for (const auto& [fd, error_number] : {std::pair{ClosedFd(), EBADF}, std::pair{pipe.first.get(), ENOTSOCK}}) {
    SCOPED_TRACE(fd);
    EXPECT_TRUE(FailedWith(Run(Entry::Accept(kPid, fd, 0)), error_number));
    EXPECT_TRUE(FailedWith(Run(Entry::Connect(kPid, fd, "127.0.0.1:80", 0)), error_number));
    EXPECT_TRUE(FailedWith(Run(Entry::Send(kPid, fd, Bytes("x"), 0, 0)), error_number));
    EXPECT_TRUE(FailedWith(Run(Entry::Recv(kPid, fd, 1, 0, 0)), error_number));
    EXPECT_TRUE(FailedWith(Run(Entry::SendTo(kPid, fd, Bytes("x"), "127.0.0.1:80", 0, 0)), error_number));
    EXPECT_TRUE(FailedWith(Run(Entry::RecvFrom(kPid, fd, 1, 0, 0)), error_number));
  }
  EXPECT_TRUE(FailedWith(Run(Entry::Accept(kPid, sockets.first.get(), 0)), EINVAL));
  const Fd unconnected = NewSocket(AF_INET, SOCK_STREAM);
  EXPECT_TRUE(FailedWith(Run(Entry::Recv(kPid, unconnected.get(), 1, 0, 0)), ENOTCONN));
  EXPECT_TRUE(FailedWith(Run(Entry::Accept(kPid, unconnected.get(), 0)), EINVAL));
}

TEST_P(SocketOperationsTest, P13ManyAcceptsOnOneListenerEachGetOneConnection) {
  constexpr size_t kAccepts = 256;
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    SCOPED_TRACE(flags);
    const Fd listener = ListenUnix(AbstractName(), SOCK_STREAM | flags);
    std::vector<Entry> entries;
    for (size_t i = 0; i < kAccepts; ++i) entries.push_back(Entry::Accept(kPid, listener.get(), i));
    ASSERT_TRUE(manager().SubmitBatch(kPid, std::move(entries)).ok());
    std::vector<Fd> servers;
    for (size_t i = 0; i < kAccepts; ++i) {
      const Fd client = NewSocket(AF_UNIX, SOCK_STREAM);
      const Seq connect = Submit(Entry::Connect(kPid, client.get(), absl::StrCat("unix:", AbstractName()), 1000));
      EXPECT_TRUE(Succeeded(Wait(connect)));
      const absl::StatusOr<std::vector<Done>> done = manager().WaitCompletions(kPid, 1, 1, absl::Seconds(30));
      ASSERT_TRUE(done.ok()) << done.status();
      ASSERT_TRUE(Succeeded((*done)[0])) << "after " << i;
      servers.emplace_back(static_cast<int>((*done)[0].result.value()));
    }
  }
}

TEST_P(SocketOperationsTest, P13AConnectToAFullBacklogWaitsForRoom) {
  const Fd listener = ListenUnix(AbstractName(), SOCK_STREAM, 0);
  const std::string address = absl::StrCat("unix:", AbstractName());
  const Fd first = NewSocket(AF_UNIX, SOCK_STREAM);
  EXPECT_TRUE(Succeeded(Run(Entry::Connect(kPid, first.get(), address, 0))));
  const Fd second = NewSocket(AF_UNIX, SOCK_STREAM);
  const Seq seq = Submit(Entry::Connect(kPid, second.get(), address, 0));
  const absl::StatusOr<Done> early = manager().WaitCompletion(kPid, seq, absl::Milliseconds(100));
  ASSERT_TRUE(absl::IsDeadlineExceeded(early.status())) << early->status.error_message();
  const Fd server(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_TRUE(Succeeded(Wait(seq)));
}

TEST_P(SocketOperationsTest, P14MalformedAddressesAreRefusedAndQueueNothing) {
  const std::vector<std::string> kMalformed = {
      "",
      ":",
      ":80",
      "1.2.3.4",
      "1.2.3.4:",
      "1.2.3:80",
      "1.2.3.4.5:80",
      "1.2.3.256:80",
      "01.2.3.4:80",
      "1.2.3.4:080",
      "1.2.3.4:+80",
      "1.2.3.4:-80",
      "1.2.3.4:0x50",
      "1.2.3.4:65536",
      "1.2.3.4:99999999999999999999",
      "1.2.3.4:80 ",
      " 1.2.3.4:80",
      "1.2.3.4 :80",
      "1.2.3.4:http",
      "1.2.3.4:80:90",
      "localhost:80",
      "example.com:80",
      "::1:80",
      "[::1]",
      "[::1]80",
      "[::1]:",
      "[::1:80",
      "::1]:80",
      "[]:80",
      "[1.2.3.4]:80",
      "[::g]:80",
      "[1::2::3]:80",
      "[fe80::1%eth0]:80",
      "[ ::1]:80",
      "unix:",
      "unix:@",
      "unix:relative",
      "unix: /tmp/x",
      "Unix:/tmp/x",
      "tcp:1.2.3.4:80",
      "http://1.2.3.4:80",
      "/tmp/x",
      "@name",
      "unix:/" + std::string(200, 'p'),
      "unix:@" + std::string(200, 'n'),
      std::string("1.2.3.4:80\0", 11),
      std::string("unix:/a\0b", 9),
      std::string(100'000, '1'),
  };
  ASSERT_GE(kMalformed.size(), 30u);
  const Pair ends = MakeSocketPair(SOCK_DGRAM);
  for (const std::string& address : kMalformed) {
    SCOPED_TRACE(address.substr(0, 50));
    const uint64_t rejected = manager().Stats().rejected;
    EXPECT_TRUE(Refused(manager().Submit(kPid, Entry::Connect(kPid, ends.first.get(), address, 0)).status(),
                        absl::StatusCode::kInvalidArgument, {"Connect", "address"}));
    EXPECT_TRUE(Refused(manager().Submit(kPid, Entry::SendTo(kPid, ends.first.get(), Bytes("x"), address, 0, 0)).status(),
                        absl::StatusCode::kInvalidArgument, {"SendTo", "address"}));
    EXPECT_EQ(manager().Stats().rejected, rejected + 2);
  }
  EXPECT_EQ(manager().Stats().total_submissions, 0u);
  EXPECT_EQ(Submit(Entry::Nop(kPid, 0)), 1u);
}

TEST_P(SocketOperationsTest, P13ADatagramToAFullQueueWaitsForRoom) {
  for (int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    SCOPED_TRACE(flags);
    const Fd receiver = ListenUnix(AbstractName(), SOCK_DGRAM);
    const Fd sender = NewSocket(AF_UNIX, SOCK_DGRAM | flags);
    sockaddr_un un{};
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, AbstractName().data(), AbstractName().size());
    un.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + AbstractName().size());
    size_t filled = 0;
    while (sendto(sender.get(), "f", 1, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&un), size) == 1) ++filled;
    const Seq seq = Submit(Entry::SendTo(kPid, sender.get(), Bytes("last"), absl::StrCat("unix:", AbstractName()), 0, 0));
    EXPECT_EQ(Reapable(), 0u);
    char data[10];
    for (size_t i = 0; i < filled; ++i) ASSERT_EQ(recv(receiver.get(), data, sizeof(data), 0), 1);
    EXPECT_TRUE(Succeeded(Wait(seq), 4));
    EXPECT_EQ(recv(receiver.get(), data, sizeof(data), MSG_DONTWAIT), 4);
  }
}

TEST_P(SocketOperationsTest, P13ANonblockingConnectToAFullBacklogWaitsForRoom) {
  const Fd listener = ListenUnix(AbstractName(), SOCK_STREAM, 0);
  const std::string address = absl::StrCat("unix:", AbstractName());
  const Fd first = NewSocket(AF_UNIX, SOCK_STREAM);
  EXPECT_TRUE(Succeeded(Run(Entry::Connect(kPid, first.get(), address, 0))));
  const Fd second = NewSocket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK);
  const Seq seq = Submit(Entry::Connect(kPid, second.get(), address, 0));
  const absl::StatusOr<Done> early = manager().WaitCompletion(kPid, seq, absl::Milliseconds(100));
  ASSERT_TRUE(absl::IsDeadlineExceeded(early.status())) << early->status.error_message();
  const Fd server(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_TRUE(Succeeded(Wait(seq)));
}

INSTANTIATE_TEST_SUITE_P(Threading, SocketOperationsTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
