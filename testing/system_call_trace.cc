#include "agentos/testing/system_call_trace.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agentos/testing/test_support.h"

namespace agentos {

namespace {

// Harmless, and nothing else here makes it.
constexpr long kMark = SYS_getppid;

bool AwaitStop(pid_t child, int& status) {
  while (waitpid(child, &status, __WALL) < 0) {
    if (errno != EINTR) return false;
  }
  return WIFSTOPPED(status);
}

std::string HowItDied(int status) {
  if (WIFSIGNALED(status)) return absl::StrCat("killed by ", strsignal(WTERMSIG(status)));
  return WEXITSTATUS(status) == 0 ? "" : absl::StrCat("exit code ", WEXITSTATUS(status));
}

// Lets the stopped child run to its end and writes down what it calls.
void Follow(pid_t child, SystemCallTrace& trace) {
  int signal_to_deliver = 0;
  for (;;) {
    // The address of PTRACE_SYSCALL is not used.
    if (ptrace(PTRACE_SYSCALL, child, nullptr, signal_to_deliver) != 0) {
      trace.error = absl::StrCat("PTRACE_SYSCALL: ", std::strerror(errno));
      return;
    }
    signal_to_deliver = 0;
    int status = 0;
    if (!AwaitStop(child, status)) {
      trace.error = HowItDied(status);
      return;
    }
    // PTRACE_O_TRACESYSGOOD marks a stop at a system call by this bit.
    if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
      signal_to_deliver = WSTOPSIG(status);
      continue;
    }
    __ptrace_syscall_info info{};
    if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info) <= 0) {
      trace.error = absl::StrCat("PTRACE_GET_SYSCALL_INFO: ", std::strerror(errno));
      return;
    }
    if (info.op != PTRACE_SYSCALL_INFO_ENTRY) continue;
    const long number = static_cast<long>(info.entry.nr);
    if (number == kMark) {
      trace.calls.emplace_back();
    } else if (!trace.calls.empty()) {
      ++trace.calls.back()[number];
    }
  }
}

}  // namespace

void MarkSystemCalls() { syscall(kMark); }

SystemCallTrace TraceSystemCalls(const std::function<std::string()>& body) {
  constexpr int kRefused = 77;
  SystemCallTrace trace;
  Pair report = MakePipe();
  const pid_t child = fork();
  if (child < 0) return {{}, absl::StrCat("fork: ", std::strerror(errno)), false};
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(kRefused);
    raise(SIGSTOP);
    const std::string said = body();
    const bool written = write(report.second.get(), said.data(), said.size()) == static_cast<ssize_t>(said.size());
    _exit(written ? 0 : 99);
  }
  report.second.Reset();
  int status = 0;
  if (!AwaitStop(child, status)) {
    trace.refused = WIFEXITED(status) && WEXITSTATUS(status) == kRefused;
    trace.error = trace.refused ? "PTRACE_TRACEME was refused" : HowItDied(status);
    return trace;
  }
  if (ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0) {
    trace.error = absl::StrCat("PTRACE_SETOPTIONS: ", std::strerror(errno));
    kill(child, SIGKILL);
    AwaitStop(child, status);
    return trace;
  }
  Follow(child, trace);
  const std::string said = ReadAll(report.first.get(), size_t{1} << 20);
  if (!said.empty()) trace.error = absl::StrCat(said, trace.error.empty() ? "" : " ", trace.error);
  // What follows the last mark is the child's own affair.
  if (!trace.calls.empty()) trace.calls.pop_back();
  return trace;
}

std::string Describe(const std::map<long, int>& calls) {
  static const std::map<long, const char*> names = {
      {SYS_io_uring_enter, "io_uring_enter"},
      {SYS_io_uring_register, "io_uring_register"},
      {SYS_read, "read"},
      {SYS_write, "write"},
      {SYS_futex, "futex"},
      {SYS_mmap, "mmap"},
      {SYS_munmap, "munmap"},
      {SYS_brk, "brk"},
      {SYS_getcpu, "getcpu"},
      {SYS_clock_gettime, "clock_gettime"},
  };
  std::string text;
  for (const auto& [number, count] : calls) {
    const auto name = names.find(number);
    absl::StrAppend(&text, text.empty() ? "" : ", ", name == names.end() ? absl::StrCat("call ", number) : name->second, " ",
                    count);
  }
  return text.empty() ? "none" : text;
}

}  // namespace agentos
