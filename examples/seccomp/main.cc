// Runs a program in a seccomp filter that forbids io_uring, as containers do: docker's and containerd's default profiles,
// Android, ChromeOS. What the program does then is what it will do there.
//
//   without_io_uring [--errno=EPERM|ENOSYS] program [argument...]

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>

namespace {

constexpr char kUsage[] =
    "usage: without_io_uring [--errno=EPERM|ENOSYS] program [argument...]\n"
    "\n"
    "Runs the program in a seccomp filter in which io_uring_setup, io_uring_enter and io_uring_register fail: with EPERM, as in\n"
    "most containers, or with ENOSYS, as where a profile hides them. The exit code is the program's; 125 when the filter or the\n"
    "program is not to be had, 2 for bad arguments.\n";

// The exit code of env(1) and its like for a failure of their own.
constexpr int kNotRun = 125;

bool Forbid(int error_number) {
  const auto refuse = SECCOMP_RET_ERRNO | static_cast<unsigned>(error_number);
  // The three numbers are neighbours and the same on every architecture.
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_io_uring_setup, 0, 2),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_io_uring_register, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, refuse),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  int error_number = EPERM;
  int first = 1;
  for (; first < argc && std::strncmp(argv[first], "--", 2) == 0; ++first) {
    const std::string argument = argv[first];
    if (argument == "--help") {
      std::fputs(kUsage, stdout);
      return 0;
    }
    if (argument == "--errno=EPERM") {
      error_number = EPERM;
    } else if (argument == "--errno=ENOSYS") {
      error_number = ENOSYS;
    } else {
      std::fprintf(stderr, "without_io_uring: unknown argument \"%s\"\n%s", argument.c_str(), kUsage);
      return 2;
    }
  }
  if (first == argc) {
    std::fprintf(stderr, "without_io_uring: no program is named\n%s", kUsage);
    return 2;
  }
  if (!Forbid(error_number)) {
    std::fprintf(stderr, "without_io_uring: seccomp: %s; the system allows no filters\n", std::strerror(errno));
    return kNotRun;
  }
  execvp(argv[first], argv + first);
  std::fprintf(stderr, "without_io_uring: %s: %s\n", argv[first], std::strerror(errno));
  return kNotRun;
}
