#include "agentos/benchmarks/echo_process.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>

#include "absl/status/status.h"

namespace agentos::bench {
namespace {

constexpr int kBacklog = 1024;

// Never returns. What the server says when it gives up goes through `report`, which also tells by its end that the process has one.
[[noreturn]] void Serve(const EchoProcess::Server& server, int listener, int report, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have died before the line above.
  if (getppid() != parent) _exit(1);
  const std::string cause = server(listener);
  const ssize_t written = write(report, cause.data(), cause.size());
  _exit(written == static_cast<ssize_t>(cause.size()) ? 1 : 2);
}

}  // namespace

EchoProcess::EchoProcess(const Server& server) { status_ = Start(server); }

EchoProcess::~EchoProcess() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (end_fd_ >= 0) close(end_fd_);
}

absl::Status EchoProcess::Listen(int* listener) {
  *listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (*listener < 0) return absl::ErrnoToStatus(errno, "socket");
  const int on = 1;
  address_.sin_family = AF_INET;
  address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address_);
  sockaddr* const generic = reinterpret_cast<sockaddr*>(&address_);
  if (setsockopt(*listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) return absl::ErrnoToStatus(errno, "TCP_NODELAY");
  if (bind(*listener, generic, length) != 0) return absl::ErrnoToStatus(errno, "bind to 127.0.0.1");
  if (listen(*listener, kBacklog) != 0) return absl::ErrnoToStatus(errno, "listen");
  if (getsockname(*listener, generic, &length) != 0) return absl::ErrnoToStatus(errno, "getsockname");
  return absl::OkStatus();
}

absl::Status EchoProcess::Start(const Server& server) {
  int listener = -1;
  int report[2] = {-1, -1};
  absl::Status status = Listen(&listener);
  if (status.ok() && pipe2(report, O_CLOEXEC) != 0) status = absl::ErrnoToStatus(errno, "pipe2");
  if (status.ok()) {
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ == 0) Serve(server, listener, report[1], parent);
    if (pid_ < 0) status = absl::ErrnoToStatus(errno, "fork");
  }
  if (listener >= 0) close(listener);
  if (report[1] >= 0) close(report[1]);
  end_fd_ = report[0];
  return status;
}

absl::Status EchoProcess::AwaitEnd() {
  std::string cause;
  char part[512];
  for (ssize_t size = read(end_fd_, part, sizeof(part)); size > 0; size = read(end_fd_, part, sizeof(part))) {
    cause.append(part, static_cast<size_t>(size));
  }
  int how = 0;
  waitpid(pid_, &how, 0);
  pid_ = -1;
  if (cause.empty()) cause = WIFSIGNALED(how) ? strsignal(WTERMSIG(how)) : "without a word";
  return absl::UnavailableError("the server ended: " + cause);
}

std::chrono::nanoseconds EchoProcess::ProcessorTime() const {
  clockid_t clock;
  timespec used = {};
  if (clock_getcpuclockid(pid_, &clock) == 0) clock_gettime(clock, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

}  // namespace agentos::bench
