// A descriptor that is closed with its owner.
//
// Thread rule: a value.
//
//   UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
//   if (!fd) return absl::ErrnoToStatus(errno, "socket");

#ifndef AGENTOS_IPC_UNIQUE_FD_H_
#define AGENTOS_IPC_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace agentos {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd() {
    if (fd_ >= 0) close(fd_);
  }

  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

}  // namespace agentos

#endif  // AGENTOS_IPC_UNIQUE_FD_H_
