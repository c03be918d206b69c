// An fd that is closed when its owner goes, whichever way that is.
//
// Thread rule: a value; one thread at a time.

#ifndef AGENTOS_EXAMPLES_QUICKSTART_UNIQUE_FD_H_
#define AGENTOS_EXAMPLES_QUICKSTART_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace agentos::quickstart {

class UniqueFd {
 public:
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&&) = delete;
  ~UniqueFd() {
    if (fd_ >= 0) close(fd_);
  }

  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace agentos::quickstart

#endif  // AGENTOS_EXAMPLES_QUICKSTART_UNIQUE_FD_H_
