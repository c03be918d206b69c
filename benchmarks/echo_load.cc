#include "agentos/benchmarks/echo_load.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace agentos::bench {
namespace {

constexpr int kSilenceMs = 10000;
// What an event of the server's end carries in place of a connection's number.
constexpr uint64_t kServerEnded = ~uint64_t{0};
// A server that has died is noticed on its connections first, a moment before it has gone.
constexpr int kAfterlifeMs = 200;

absl::Status WatchFd(int epoll_fd, int fd, uint64_t what) {
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = what;
  return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? absl::OkStatus() : absl::ErrnoToStatus(errno, "epoll_ctl");
}

}  // namespace

EchoLoad::EchoLoad(EchoProcess& server, size_t connections)
    : server_(server), epoll_fd_(epoll_create1(EPOLL_CLOEXEC)), connections_(connections), events_(connections + 1) {}

EchoLoad::~EchoLoad() {
  for (const Connection& connection : connections_) {
    if (connection.fd >= 0) close(connection.fd);
  }
  if (epoll_fd_ >= 0) close(epoll_fd_);
}

absl::Status EchoLoad::Open(size_t number) {
  Connection& connection = connections_[number];
  for (size_t i = 0; i < kEchoMessage; ++i) connection.message[i] = static_cast<char>(number + i);
  std::memcpy(connection.message.data(), &number, sizeof(number));
  connection.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection.fd < 0) return absl::ErrnoToStatus(errno, "socket");
  const sockaddr* const address = reinterpret_cast<const sockaddr*>(&server_.address());
  if (connect(connection.fd, address, sizeof(server_.address())) != 0) return Explain(absl::ErrnoToStatus(errno, "connect"));
  const int on = 1;
  if (setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) {
    return absl::ErrnoToStatus(errno, "TCP_NODELAY");
  }
  if (fcntl(connection.fd, F_SETFL, O_NONBLOCK) != 0) return absl::ErrnoToStatus(errno, "O_NONBLOCK");
  return WatchFd(epoll_fd_, connection.fd, number);
}

absl::Status EchoLoad::Connect() {
  if (absl::Status status = WatchFd(epoll_fd_, server_.end_fd(), kServerEnded); !status.ok()) return status;
  for (size_t i = 0; i < connections_.size(); ++i) {
    if (absl::Status status = Open(i); !status.ok()) return status;
  }
  for (Connection& connection : connections_) {
    if (absl::Status status = Send(connection); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status EchoLoad::Send(Connection& connection) {
  // A socket with nothing under way has room for a message.
  const ssize_t size = send(connection.fd, connection.message.data(), kEchoMessage, MSG_NOSIGNAL);
  if (size == static_cast<ssize_t>(kEchoMessage)) [[likely]] {
    return absl::OkStatus();
  }
  return Explain(size < 0 ? absl::ErrnoToStatus(errno, "send") : absl::InternalError("send: a part of a message"));
}

absl::StatusOr<bool> EchoLoad::Receive(Connection& connection) {
  const ssize_t size =
      recv(connection.fd, connection.echo.data() + connection.received, kEchoMessage - connection.received, MSG_DONTWAIT);
  if (size < 0) return Explain(absl::ErrnoToStatus(errno, "recv"));
  if (size == 0) return Explain(absl::DataLossError("the server closed a connection"));
  connection.received += static_cast<size_t>(size);
  if (connection.received < kEchoMessage) return false;
  connection.received = 0;
  ++connection.echoes;
  if (connection.echo == connection.message) [[likely]] {
    return true;
  }
  return absl::DataLossError("something else came back than was sent");
}

absl::StatusOr<std::chrono::nanoseconds> EchoLoad::Exchange(size_t messages) {
  const auto begin = std::chrono::steady_clock::now();
  size_t echoes = 0;
  while (echoes < messages) {
    const int count = epoll_wait(epoll_fd_, events_.data(), static_cast<int>(events_.size()), kSilenceMs);
    if (count < 0 && errno != EINTR) return absl::ErrnoToStatus(errno, "epoll_wait");
    if (count == 0) return absl::DeadlineExceededError("nothing came back for ten seconds");
    for (int i = 0; i < count; ++i) {
      const uint64_t number = events_[static_cast<size_t>(i)].data.u64;
      if (number == kServerEnded) return server_.AwaitEnd();
      Connection& connection = connections_[number];
      const absl::StatusOr<bool> complete = Receive(connection);
      if (!complete.ok()) return complete.status();
      if (!*complete) continue;
      ++echoes;
      if (absl::Status status = Send(connection); !status.ok()) return status;
    }
  }
  return std::chrono::steady_clock::now() - begin;
}

uint64_t EchoLoad::FewestEchoes() const {
  const auto fewer = [](const Connection& a, const Connection& b) { return a.echoes < b.echoes; };
  return std::min_element(connections_.begin(), connections_.end(), fewer)->echoes;
}

absl::Status EchoLoad::Explain(absl::Status otherwise) {
  pollfd end = {.fd = server_.end_fd(), .events = POLLIN, .revents = 0};
  return poll(&end, 1, kAfterlifeMs) > 0 ? server_.AwaitEnd() : otherwise;
}

}  // namespace agentos::bench
