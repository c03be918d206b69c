// A file descriptor with one owner, who closes it.
//
// Thread rule: a value; one thread at a time.
// Errors: none; what close(2) says is lost, as in a destructor. Who must know submits a Close entry instead.
//
//   UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
//   if (!file) return absl::ErrnoToStatus(errno, path);

#ifndef AGENTOS_RING_UNIQUE_FD_H_
#define AGENTOS_RING_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace agentos {

class UniqueFd {
 public:
  static constexpr int kNone = -1;

  UniqueFd() noexcept = default;
  // Takes the descriptor over; a negative one is none.
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { Reset(); }

  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }

  // The descriptor is the caller's from now on.
  [[nodiscard]] int Release() noexcept { return std::exchange(fd_, kNone); }
  // Closes it, and takes over another one.
  void Reset(int fd = kNone) noexcept {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = kNone;
};

}  // namespace agentos

#endif  // AGENTOS_RING_UNIQUE_FD_H_
