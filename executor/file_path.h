// Where a whole-file call finds its file, and how it opens it without ever waiting for somebody. Private to executor/.
//
// Thread rule: a value; free to use from any thread.
// Lifetime: path and directory are borrowed until the call returns.
// Errors: every call answers a file descriptor or -errno; EINTR is never the caller's.
//
//   const int fd = OpenNeverHanging({.path = "/etc/hostname"}, O_RDONLY);

#ifndef AGENTOS_EXECUTOR_FILE_PATH_H_
#define AGENTOS_EXECUTOR_FILE_PATH_H_

#include <fcntl.h>
#include <sys/types.h>

namespace agentos {

struct FilePath {
  const char* path = nullptr;
  // What a relative path is relative to.
  int directory_fd = AT_FDCWD;
  // Whether the path must not lead out of that directory (confined_open.h).
  bool beneath = false;
};

// openat(2), or the same confined.
int OpenRetrying(const FilePath& file, int flags, mode_t mode = 0);

// The same with O_CLOEXEC, O_NONBLOCK and O_NOCTTY, 0644 for a file that it makes. A regular file on which another process holds
// a lease, which O_NONBLOCK refuses, is waited for.
int OpenNeverHanging(const FilePath& file, int flags);

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_FILE_PATH_H_
