#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "agentos/benchmarks/echo_servers.h"

namespace agentos::bench {
namespace {

// Level-triggered, so that one read for an event is enough: another one only to hear EAGAIN would be half as much again.
class EpollServer {
 public:
  explicit EpollServer(int listener) : listener_(listener), epoll_fd_(epoll_create1(EPOLL_CLOEXEC)) {}
  EpollServer(const EpollServer&) = delete;
  EpollServer& operator=(const EpollServer&) = delete;
  ~EpollServer() { close(epoll_fd_); }

  std::string Run() {
    if (fcntl(listener_, F_SETFL, O_NONBLOCK) != 0 || !Watch(EPOLL_CTL_ADD, listener_, EPOLLIN)) return Cause("listener");
    std::array<epoll_event, 512> events;
    for (;;) {
      const int count = epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), -1);
      if (count < 0 && errno != EINTR) return Cause("epoll_wait");
      for (int i = 0; i < count; ++i) {
        const int fd = events[static_cast<size_t>(i)].data.fd;
        if (fd == listener_) {
          if (!AcceptAll()) return Cause("accept4");
        } else {
          Serve(fd);
        }
      }
    }
  }

 private:
  // What could not be sent at once. Nothing is received meanwhile.
  struct Rest {
    size_t begin = 0;
    size_t end = 0;
    std::array<char, kEchoReceive> data;
  };

  static std::string Cause(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

  bool Watch(int how, int fd, uint32_t what) {
    epoll_event event = {};
    event.events = what;
    event.data.fd = fd;
    return epoll_ctl(epoll_fd_, how, fd, &event) == 0;
  }

  bool AcceptAll() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
      if (rests_.size() <= static_cast<size_t>(fd)) rests_.resize(static_cast<size_t>(fd) + 1);
      if (!Watch(EPOLL_CTL_ADD, fd, EPOLLIN)) return false;
    }
  }

  void Serve(int fd) {
    if (rests_[static_cast<size_t>(fd)] != nullptr) return SendRest(fd);
    const ssize_t size = recv(fd, buffer_.data(), buffer_.size(), 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) return Close(fd);
    const ssize_t sent = send(fd, buffer_.data(), static_cast<size_t>(size), MSG_NOSIGNAL);
    if (sent == size) [[likely]] {
      return;
    }
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return Close(fd);
    auto rest = std::make_unique<Rest>();
    rest->begin = sent < 0 ? 0 : static_cast<size_t>(sent);
    rest->end = static_cast<size_t>(size);
    std::memcpy(rest->data.data(), buffer_.data(), rest->end);
    rests_[static_cast<size_t>(fd)] = std::move(rest);
    Watch(EPOLL_CTL_MOD, fd, EPOLLOUT);
  }

  void SendRest(int fd) {
    std::unique_ptr<Rest>& rest = rests_[static_cast<size_t>(fd)];
    const ssize_t sent = send(fd, rest->data.data() + rest->begin, rest->end - rest->begin, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (sent < 0) return Close(fd);
    rest->begin += static_cast<size_t>(sent);
    if (rest->begin < rest->end) return;
    rest.reset();
    Watch(EPOLL_CTL_MOD, fd, EPOLLIN);
  }

  void Close(int fd) {
    rests_[static_cast<size_t>(fd)].reset();
    close(fd);
  }

  const int listener_;
  const int epoll_fd_;
  std::vector<std::unique_ptr<Rest>> rests_;
  std::array<char, kEchoReceive> buffer_;
};

}  // namespace

std::string EchoByEpoll(int listener) { return EpollServer(listener).Run(); }

}  // namespace agentos::bench
