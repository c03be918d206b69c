#include "agentos/executor/confined_open.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace agentos {
namespace {

enum class Answer { kNotAsked, kConfines, kDoesNot };
std::atomic<Answer> remembered{Answer::kNotAsked};

// What openat2 lets stand beside O_PATH.
constexpr int kPathFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

// A file descriptor, or -errno.
int TryOpen(int directory_fd, const char* path, const open_how& how) {
  for (int tries = 0; tries < kMostConfinedTries; ++tries) {
    const auto fd = static_cast<int>(syscall(SYS_openat2, directory_fd, path, &how, sizeof(how)));
    if (fd >= 0) return fd;
    if (errno == EINTR) {
      --tries;
    } else if (errno != EAGAIN) {
      return -errno;
    }
  }
  return -EAGAIN;
}

// Whether the kernel has its answer to a path that leads out. One that has openat2 and does not know RESOLVE_BENEATH, or passes
// over it, as an emulation of Linux might, gives another.
int Ask() {
  const int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return errno;
  const int parent = TryOpen(root, "..", ConfinedHow(O_PATH | O_CLOEXEC, 0));
  close(root);
  if (parent >= 0) close(parent);
  switch (parent) {
    case -EXDEV:
      remembered = Answer::kConfines;
      return 0;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -EAGAIN:
      return -parent;
    default:
      remembered = Answer::kDoesNot;
      return ENOSYS;
  }
}

}  // namespace

int WhyNotConfined() {
  switch (remembered.load(std::memory_order_relaxed)) {
    case Answer::kConfines:
      return 0;
    case Answer::kDoesNot:
      return ENOSYS;
    case Answer::kNotAsked:
      break;
  }
  return Ask();
}

open_how ConfinedHow(int flags, mode_t mode) {
  constexpr int kMakesFile = O_CREAT | (O_TMPFILE & ~O_DIRECTORY);
  if ((flags & O_PATH) != 0) flags &= kPathFlags;
  open_how how = {};
  how.flags = static_cast<uint64_t>(static_cast<unsigned>(flags));
  if ((flags & kMakesFile) != 0) how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return how;
}

int OpenBeneath(int directory_fd, const char* path, int flags, mode_t mode) {
  if (const int error = WhyNotConfined()) return -error;
  return TryOpen(directory_fd, path, ConfinedHow(flags, mode));
}

}  // namespace agentos
