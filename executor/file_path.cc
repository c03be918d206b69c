#include "agentos/executor/file_path.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "agentos/executor/confined_open.h"

namespace agentos {
namespace {

constexpr mode_t kCreateMode = 0644;

// Opens a regular file on which another process holds a lease: O_NONBLOCK refuses to wait for its release. The file is held by
// O_PATH meanwhile, so that what is opened without O_NONBLOCK is what was found to be regular, whatever becomes of the name.
int OpenLeased(const FilePath& file, int flags) {
  const int held = OpenRetrying(file, O_PATH | O_CLOEXEC | (flags & O_NOFOLLOW));
  if (held < 0) return -EAGAIN;
  int fd = -EAGAIN;
  struct stat status;
  if (fstat(held, &status) == 0 && S_ISREG(status.st_mode)) {
    char name[32];
    std::snprintf(name, sizeof(name), "/proc/self/fd/%d", held);
    fd = OpenRetrying({.path = name}, flags & ~(O_NONBLOCK | O_CREAT | O_NOFOLLOW));
    // Without /proc there is no such way; the first answer then stands.
    if (fd == -ENOENT) fd = -EAGAIN;
  }
  close(held);
  return fd;
}

}  // namespace

int OpenRetrying(const FilePath& file, int flags, mode_t mode) {
  if (file.beneath) return OpenBeneath(file.directory_fd, file.path, flags, mode);
  for (;;) {
    const int fd = openat(file.directory_fd, file.path, flags, mode);
    if (fd >= 0) return fd;
    if (errno != EINTR) return -errno;
  }
}

int OpenNeverHanging(const FilePath& file, int flags) {
  flags |= O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  const int fd = OpenRetrying(file, flags, kCreateMode);
  return fd == -EAGAIN ? OpenLeased(file, flags) : fd;
}

}  // namespace agentos
