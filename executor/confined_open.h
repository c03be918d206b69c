// Opening a file beneath a directory, so that no path leads out of it: neither "..", nor a symbolic link, nor one of /proc's
// magic links, nor somebody who renames directories meanwhile. openat2(2) with RESOLVE_BENEATH does it in the kernel, in one
// step. Where the kernel cannot, the open is refused: there is no second best that a rename does not get around. Private to
// executor/.
//
// Thread rule: any thread.
// Errors: EXDEV when the path would lead out, ELOOP for a magic link, ENOSYS where the kernel cannot confine (or a seccomp
// profile does not let it), and those of open(2). EAGAIN, by which the kernel says that a rename came between, is tried again a
// bounded number of times.
// Source: openat2(2).
//
//   if (const int error = WhyNotConfined()) return error;
//   const int fd = OpenBeneath(directory_fd, "a/b", O_RDONLY | O_CLOEXEC, 0);  // or -errno

#ifndef AGENTOS_EXECUTOR_CONFINED_OPEN_H_
#define AGENTOS_EXECUTOR_CONFINED_OPEN_H_

#include <linux/openat2.h>
#include <sys/types.h>

namespace agentos {

// How often an open is tried that a rename came between.
inline constexpr int kMostConfinedTries = 128;

// 0 when the kernel confines. Asked once per process, and again while it cannot be asked for want of descriptors or memory, which
// is the errno then.
int WhyNotConfined();

// The operand of openat2 for an open(2) with these flags, which ignores some that openat2 refuses.
open_how ConfinedHow(int flags, mode_t mode);

// A file descriptor, or -errno. Asks WhyNotConfined itself.
int OpenBeneath(int directory_fd, const char* path, int flags, mode_t mode);

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_CONFINED_OPEN_H_
