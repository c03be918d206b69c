#include "agentos/benchmarks/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace agentos::bench {
namespace {

// What goes through `report` also tells by its end that the process has one.
[[noreturn]] void RunChild(const ChildProcess::Main& main, int report, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have died before the line above.
  if (getppid() != parent) _exit(1);
  const std::string said = main();
  const ssize_t written = write(report, said.data(), said.size());
  _exit(written == static_cast<ssize_t>(said.size()) ? 0 : 1);
}

}  // namespace

ChildProcess::~ChildProcess() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (end_fd_ >= 0) close(end_fd_);
}

absl::Status ChildProcess::Start(const Main& main) {
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe2");
  end_fd_ = report[0];
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) RunChild(main, report[1], parent);
  const absl::Status status = pid_ > 0 ? absl::OkStatus() : absl::ErrnoToStatus(errno, "fork");
  close(report[1]);
  return status;
}

absl::StatusOr<std::string> ChildProcess::AwaitEnd() {
  std::string said;
  char part[512];
  for (ssize_t size = read(end_fd_, part, sizeof(part)); size > 0; size = read(end_fd_, part, sizeof(part))) {
    said.append(part, static_cast<size_t>(size));
  }
  int how = 0;
  waitpid(pid_, &how, 0);
  pid_ = -1;
  if (WIFSIGNALED(how)) return absl::UnavailableError(strsignal(WTERMSIG(how)));
  if (WEXITSTATUS(how) != 0) return absl::UnavailableError("exit status " + std::to_string(WEXITSTATUS(how)));
  return said;
}

std::chrono::nanoseconds ChildProcess::ProcessorTime() const {
  clockid_t clock;
  timespec used = {};
  if (clock_getcpuclockid(pid_, &clock) == 0) clock_gettime(clock, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

}  // namespace agentos::bench
