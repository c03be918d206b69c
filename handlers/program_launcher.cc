#include "agentos/handlers/program_launcher.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace agentos::handlers_internal {

namespace {

// What the child tells its parent when it cannot become the program.
struct Failure {
  const char* call;
  int error_number;
};

struct PipeEnds {
  UniqueFd out;
  UniqueFd in;
};

absl::StatusOr<PipeEnds> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe2; raise RLIMIT_NOFILE or close files");
  return PipeEnds{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

struct Limit {
  __rlimit_resource resource;
  rlim_t value;
};

std::vector<Limit> LimitsOf(const ProcessLimits& limits) {
  std::vector<Limit> all;
  if (limits.cpu_time > absl::ZeroDuration()) {
    const int64_t seconds = std::max<int64_t>(1, absl::ToInt64Seconds(absl::Ceil(limits.cpu_time, absl::Seconds(1))));
    all.push_back({RLIMIT_CPU, static_cast<rlim_t>(seconds)});
  }
  if (limits.address_space > 0) all.push_back({RLIMIT_AS, limits.address_space});
  if (limits.file_size > 0) all.push_back({RLIMIT_FSIZE, limits.file_size});
  if (limits.open_files > 0) all.push_back({RLIMIT_NOFILE, limits.open_files});
  return all;
}

// All that the child needs, made before there is a child: after the fork of a process with threads nothing may be allocated.
struct ChildPlan {
  std::vector<char*> argv;
  std::vector<char*> environment;
  const char* working_directory;
  std::vector<Limit> limits;
  int input;
  int output;
  int error;
  int failures;
  pid_t parent;
};

[[noreturn]] void Fail(const ChildPlan& plan, const char* call) {
  const Failure failure = {call, errno};
  [[maybe_unused]] const ssize_t written = write(plan.failures, &failure, sizeof(failure));
  _exit(127);
}

[[noreturn]] void BecomeProgram(const ChildPlan& plan) {
  if (setpgid(0, 0) != 0) Fail(plan, "setpgid");
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) Fail(plan, "prctl");
  // The parent may have gone before that.
  if (getppid() != plan.parent) _exit(127);
  // What this process ignores or blocks is no business of the program's.
  for (int signal_number = 1; signal_number < NSIG; ++signal_number) signal(signal_number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  // Out of the way of 0 to 2 first.
  const int failures = fcntl(plan.failures, F_DUPFD_CLOEXEC, 10);
  const int input = fcntl(plan.input, F_DUPFD_CLOEXEC, 10);
  const int output = fcntl(plan.output, F_DUPFD_CLOEXEC, 10);
  const int error = fcntl(plan.error, F_DUPFD_CLOEXEC, 10);
  if (failures < 0 || dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(error, 2) < 0) Fail(plan, "dup2");
  ChildPlan own = plan;
  own.failures = failures;
  close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
  if (*plan.working_directory != '\0' && chdir(plan.working_directory) != 0) Fail(own, "chdir");
  for (const Limit& limit : plan.limits) {
    const rlimit value = {.rlim_cur = limit.value, .rlim_max = limit.value};
    if (setrlimit(limit.resource, &value) != 0) Fail(own, "setrlimit");
  }
  execvpe(plan.argv[0], plan.argv.data(), plan.environment.data());
  Fail(own, "execve");
}

}  // namespace

absl::StatusOr<LaunchedProgram> LaunchProgram(const ProcessRequest& request) {
  absl::StatusOr<PipeEnds> input = MakePipe();
  absl::StatusOr<PipeEnds> output = MakePipe();
  absl::StatusOr<PipeEnds> error = MakePipe();
  absl::StatusOr<PipeEnds> failures = MakePipe();
  for (const absl::StatusOr<PipeEnds>* pipe : {&input, &output, &error, &failures}) {
    if (!pipe->ok()) return pipe->status();
  }
  std::vector<char*> environment;
  if (request.environment.has_value()) {
    environment = Pointers(*request.environment);
  } else {
    for (char** variable = environ; *variable != nullptr; ++variable) environment.push_back(*variable);
    environment.push_back(nullptr);
  }
  ChildPlan plan = {.argv = Pointers(request.argv),
                    .environment = std::move(environment),
                    .working_directory = request.working_directory.c_str(),
                    .limits = LimitsOf(request.limits),
                    .input = input->out.get(),
                    .output = output->in.get(),
                    .error = error->in.get(),
                    .failures = failures->in.get(),
                    .parent = getpid()};
  const pid_t process = fork();
  if (process < 0) return absl::ErrnoToStatus(errno, "fork");
  if (process == 0) BecomeProgram(plan);
  LaunchedProgram program;
  program.process = process;
  // Not by <sys/pidfd.h>, whose functions cannot be linked from C++ in glibc 2.36.
  program.pidfd.Reset(static_cast<int>(syscall(SYS_pidfd_open, process, 0)));
  const int pidfd_error = errno;
  failures->in.Reset();
  Failure failure{};
  const bool failed = read(failures->out.get(), &failure, sizeof(failure)) == sizeof(failure);
  if (failed || !program.pidfd) {
    kill(process, SIGKILL);
    waitpid(process, nullptr, 0);
    if (!failed) return absl::ErrnoToStatus(pidfd_error, "pidfd_open");
    return absl::ErrnoToStatus(failure.error_number, absl::StrCat("cannot start ", request.argv.front(), ": ", failure.call));
  }
  program.input = std::move(input->in);
  program.output = std::move(output->out);
  program.error = std::move(error->out);
  return program;
}

}  // namespace agentos::handlers_internal
