// Descriptors of the library's own for files that entries work on, as io_uring holds a reference: the program may close its fd,
// and another file may get the number, while a call waits.
//
// Which numbers are held is known, so that an entry that names one by accident is refused.
//
// Thread rule: any thread.
// Errors: -EMFILE and -ENFILE when descriptors have run out.
//
//   int held = fds.Hold(fd);
//   ...
//   fds.Release(held);

#ifndef AGENTOS_EXECUTOR_HELD_FDS_H_
#define AGENTOS_EXECUTOR_HELD_FDS_H_

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace agentos {

class HeldFds {
 public:
  // Another descriptor for the same open file, or -errno.
  int Hold(int fd) {
    const int held = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (held < 0) return -errno;
    if (Word* word = WordOf(held)) word->fetch_or(BitOf(held), std::memory_order_relaxed);
    return held;
  }
  void Release(int held) {
    // Before the number can be anybody else's.
    if (Word* word = WordOf(held)) word->fetch_and(~BitOf(held), std::memory_order_relaxed);
    close(held);
  }
  bool IsHeld(int fd) {
    const Word* word = fd < 0 ? nullptr : WordOf(fd);
    return word != nullptr && (word->load(std::memory_order_relaxed) & BitOf(fd)) != 0;
  }

 private:
  using Word = std::atomic<uint64_t>;
  // Beyond that a number is not protected.
  static constexpr size_t kNumbers = 65536;

  Word* WordOf(int fd) { return static_cast<size_t>(fd) < kNumbers ? &held_[static_cast<size_t>(fd) / 64] : nullptr; }
  static uint64_t BitOf(int fd) { return uint64_t{1} << (static_cast<unsigned>(fd) % 64); }

  std::array<Word, kNumbers / 64> held_{};
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_HELD_FDS_H_
