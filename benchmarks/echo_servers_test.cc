// Every server of the TCP echo gives back all that it gets, also when its peer does not take it for a while.

#include "agentos/benchmarks/echo_servers.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "agentos/benchmarks/echo_process.h"
#include "agentos/benchmarks/floor_ring.h"
#include "gtest/gtest.h"

namespace agentos::bench {
namespace {

constexpr int kLimitMs = 20000;

struct Contender {
  const char* name;
  EchoProcess::Server serve;
  bool needs_io_uring;

  friend void PrintTo(const Contender& contender, std::ostream* out) { *out << contender.name; }
};

const Contender kContenders[] = {
    {"Liburing", [](int listener) { return EchoByLiburing(listener, /*direct=*/false); }, true},
    {"LiburingDirect", [](int listener) { return EchoByLiburing(listener, /*direct=*/true); }, true},
    {"Epoll", EchoByEpoll, false},
    {"Libuv", EchoByLibuv, false},
    {"Asio", EchoByAsio, false},
    {"OursByChoice", [](int listener) { return EchoByManager(listener, ExecutorKind::kAuto); }, false},
    {"OursByThreads", [](int listener) { return EchoByManager(listener, ExecutorKind::kThreadPool); }, false},
};

// How long a server may take to make room before it counts as one that has none. Too short makes for an easier test.
constexpr int kFullMs = 200;

// One connection, which takes nothing until it is told to.
class Peer {
 public:
  explicit Peer(const EchoProcess& server, std::string text) : text_(std::move(text)) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    // The kernel would take tens of megabytes for a peer that reads nothing.
    const int room = 65536;
    EXPECT_EQ(setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
    const sockaddr* const address = reinterpret_cast<const sockaddr*>(&server.address());
    EXPECT_EQ(connect(fd_, address, sizeof(server.address())), 0);
    EXPECT_EQ(fcntl(fd_, F_SETFL, O_NONBLOCK), 0);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { close(fd_); }

  // Until the server takes no more, or there is no more.
  void SendUntilFull() {
    pollfd room = {.fd = fd_, .events = POLLOUT, .revents = 0};
    do {
      Send();
    } while (sent_ < text_.size() && poll(&room, 1, kFullMs) > 0);
  }

  // Until everything is back and the server has closed the connection; false when it does not come to that.
  bool Finish() {
    char part[65536];
    for (;;) {
      Send();
      if (sent_ == text_.size()) shutdown(fd_, SHUT_WR);
      const ssize_t size = recv(fd_, part, sizeof(part), 0);
      if (size == 0) return echo_ == text_;
      if (size > 0) {
        echo_.append(part, static_cast<size_t>(size));
        continue;
      }
      if (errno != EAGAIN) return false;
      const short room = sent_ < text_.size() ? POLLOUT : 0;
      pollfd ready = {.fd = fd_, .events = static_cast<short>(POLLIN | room), .revents = 0};
      if (poll(&ready, 1, kLimitMs) <= 0) return false;
    }
  }

 private:
  void Send() {
    while (sent_ < text_.size()) {
      const ssize_t size = send(fd_, text_.data() + sent_, text_.size() - sent_, MSG_NOSIGNAL);
      if (size <= 0) return;
      sent_ += static_cast<size_t>(size);
    }
  }

  const std::string text_;
  std::string echo_;
  size_t sent_ = 0;
  int fd_ = -1;
};

std::string Text(size_t size, size_t seed) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>((i * 2654435761u + seed) >> 13);
  return text;
}

class EchoServersTest : public testing::TestWithParam<Contender> {
 protected:
  void SetUp() override {
    if (GetParam().needs_io_uring && !FloorAvailable()) GTEST_SKIP() << "this kernel lets us make no ring";
  }
};

TEST_P(EchoServersTest, GivesBackWhatItGets) {
  const EchoProcess server(GetParam().serve);
  ASSERT_TRUE(server.status().ok()) << server.status();
  Peer peer(server, "a message");
  EXPECT_TRUE(peer.Finish());
}

TEST_P(EchoServersTest, KeepsWhatItsPeerDoesNotTakeYet) {
  const EchoProcess server(GetParam().serve);
  ASSERT_TRUE(server.status().ok()) << server.status();
  // More than a socket holds that is to be sent.
  Peer peer(server, Text(size_t{12} << 20, 1));
  peer.SendUntilFull();
  EXPECT_TRUE(peer.Finish());
}

TEST_P(EchoServersTest, KeepsConnectionsApart) {
  const EchoProcess server(GetParam().serve);
  ASSERT_TRUE(server.status().ok()) << server.status();
  std::vector<std::unique_ptr<Peer>> peers;
  for (size_t i = 0; i < 16; ++i) peers.push_back(std::make_unique<Peer>(server, Text(size_t{512} << 10, i)));
  for (const auto& peer : peers) peer->SendUntilFull();
  for (const auto& peer : peers) EXPECT_TRUE(peer->Finish());
}

TEST_P(EchoServersTest, ServesOnAfterAPeerHasBrokenOff) {
  const EchoProcess server(GetParam().serve);
  ASSERT_TRUE(server.status().ok()) << server.status();
  {
    // What comes back meets a socket that is gone.
    Peer gone(server, Text(size_t{12} << 20, 2));
    gone.SendUntilFull();
  }
  Peer peer(server, Text(size_t{1} << 20, 3));
  EXPECT_TRUE(peer.Finish());
}

INSTANTIATE_TEST_SUITE_P(All, EchoServersTest, testing::ValuesIn(kContenders),
                         [](const testing::TestParamInfo<Contender>& tested) { return tested.param.name; });

}  // namespace
}  // namespace agentos::bench
