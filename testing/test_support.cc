#include "agentos/testing/test_support.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace agentos {

namespace {

using Done = SyscallCompletionEntry;

std::string Describe(const Done& done) {
  if (done.status.is_success()) return absl::StrCat("success with ", done.result.value());
  return done.status.is_cancelled() ? "cancelled" : done.status.error_message();
}

template <typename Visit>
void ForEachFd(Visit visit) {
  DIR* dir = opendir("/proc/self/fd");
  ASSERT_NE(dir, nullptr);
  while (const dirent* entry = readdir(dir)) {
    if (entry->d_name[0] != '.') visit(std::string(entry->d_name), dirfd(dir));
  }
  closedir(dir);
}

void FillPipe(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  const std::string filler(4096, 'f');
  while (write(fd, filler.data(), filler.size()) > 0) {
  }
  fcntl(fd, F_SETFL, flags);
}

}  // namespace

void Fd::Reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Pair MakePipe(int flags) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(pipe2(ends, O_CLOEXEC | flags), 0);
  return {Fd(ends[0]), Fd(ends[1])};
}

Pair MakeFullPipe(int flags) {
  Pair ends = MakePipe(flags);
  EXPECT_GE(fcntl(ends.second.get(), F_SETPIPE_SZ, 4096), 0);
  FillPipe(ends.second.get());
  return ends;
}

Pair MakeSocketPair(int type) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
  return {Fd(ends[0]), Fd(ends[1])};
}

Fd NewSocket(int family, int type) {
  Fd fd(socket(family, type | SOCK_CLOEXEC, 0));
  EXPECT_GE(fd.get(), 0) << std::strerror(errno);
  return fd;
}

Fd Listen(int family, int backlog, int flags, std::string& address) {
  Fd fd = NewSocket(family, SOCK_STREAM | flags);
  sockaddr_storage storage{};
  socklen_t size;
  if (family == AF_INET) {
    auto* in = reinterpret_cast<sockaddr_in*>(&storage);
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size = sizeof(*in);
  } else {
    auto* in = reinterpret_cast<sockaddr_in6*>(&storage);
    in->sin6_family = AF_INET6;
    in->sin6_addr = in6addr_loopback;
    size = sizeof(*in);
  }
  auto* name = reinterpret_cast<sockaddr*>(&storage);
  EXPECT_EQ(bind(fd.get(), name, size), 0) << std::strerror(errno);
  EXPECT_EQ(listen(fd.get(), backlog), 0) << std::strerror(errno);
  EXPECT_EQ(getsockname(fd.get(), name, &size), 0);
  if (family == AF_INET) {
    address = absl::StrCat("127.0.0.1:", ntohs(reinterpret_cast<sockaddr_in*>(&storage)->sin_port));
  } else {
    address = absl::StrCat("[::1]:", ntohs(reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port));
  }
  return fd;
}

void Spill(const std::string& path, absl::string_view content) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  ASSERT_GE(fd.get(), 0) << path << ": " << std::strerror(errno);
  while (!content.empty()) {
    const ssize_t put = write(fd.get(), content.data(), content.size());
    ASSERT_GT(put, 0);
    content.remove_prefix(static_cast<size_t>(put));
  }
}

std::string Slurp(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return absl::StrCat("<", std::strerror(errno), ">");
  return ReadAll(fd.get(), size_t{1} << 40);
}

std::string Content(size_t size) {
  std::string content(size, '\0');
  for (size_t i = 0; i < size; ++i) content[i] = static_cast<char>((i * 131 + (i >> 8) * 17 + (i >> 16)) & 0xff);
  return content;
}

std::string ReadAll(int fd, size_t size) {
  std::string all;
  char part[4096];
  while (all.size() < size) {
    const ssize_t got = read(fd, part, std::min(sizeof(part), size - all.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    all.append(part, static_cast<size_t>(got));
  }
  return all;
}

TempDir::TempDir() : path_(absl::StrCat(testing::TempDir(), "/agentos_XXXXXX")) {
  EXPECT_NE(mkdtemp(path_.data()), nullptr) << path_ << ": " << std::strerror(errno);
  // The name by which /proc/self/fd shows what is in it.
  path_ = std::filesystem::canonical(path_).string();
}
TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}
std::string TempDir::Path(absl::string_view name) const { return absl::StrCat(path_, "/", name); }

WriteGate::WriteGate(const std::string& path) : file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  EXPECT_GE(file_.get(), 0) << path << ": " << std::strerror(errno);
  // The holder is told by this signal, whose default is to end the process.
  signal(SIGIO, SIG_IGN);
  holds_ = fcntl(file_.get(), F_SETLEASE, F_RDLCK) == 0;
}
WriteGate::~WriteGate() { Release(); }
void WriteGate::AwaitWriter() {
  // F_GETLEASE answers what the lease is to become once somebody waits for it.
  while (holds_ && fcntl(file_.get(), F_GETLEASE) != F_UNLCK) std::this_thread::yield();
}
void WriteGate::Release() {
  if (!std::exchange(holds_, false)) return;
  EXPECT_EQ(fcntl(file_.get(), F_SETLEASE, F_UNLCK), 0) << std::strerror(errno);
}

size_t ThreadCount() {
  // Not by listing /proc/self/task, which passes over some threads while others end.
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    size_t count = 0;
    if (word == "Threads:" && status >> count) return count;
  }
  ADD_FAILURE() << "/proc/self/status does not say how many threads there are";
  return 0;
}

size_t OpenFds() {
  size_t count = 0;
  ForEachFd([&](const std::string& name, int own) { count += name == absl::StrCat(own) ? 0 : 1; });
  return count;
}

size_t FdsTo(absl::string_view name) {
  size_t count = 0;
  ForEachFd([&](const std::string& fd, int) {
    char target[4096];
    const ssize_t size = readlink(absl::StrCat("/proc/self/fd/", fd).c_str(), target, sizeof(target));
    count += size >= 0 && absl::string_view(target, static_cast<size_t>(size)) == name ? 1 : 0;
  });
  return count;
}

pid_t ThisThread() { return gettid(); }

void AwaitAsleep(pid_t thread) {
  const std::string path = absl::StrCat("/proc/self/task/", thread, "/stat");
  for (;;) {
    // "tid (name) S ...": the state stands behind the last bracket, because a name may hold one.
    const std::string stat = Slurp(path);
    const size_t bracket = stat.rfind(')');
    if (bracket == std::string::npos || stat.compare(bracket, 3, ") S") == 0) return;
    std::this_thread::yield();
  }
}

int ClosedFd() { return 1 << 20; }

testing::AssertionResult Succeeded(const Done& done) {
  if (done.status.is_success() && done.seq != 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << Describe(done);
}

testing::AssertionResult Succeeded(const Done& done, int64_t value) {
  if (done.status.is_success() && done.seq != 0 && done.result.value() == value) return testing::AssertionSuccess();
  return testing::AssertionFailure() << Describe(done) << ", expected success with " << value;
}

testing::AssertionResult FailedWith(const Done& done, int error_number) {
  if (done.status.is_error() && done.status.error_number() == error_number && !done.status.ToStatus().ok()) {
    if (absl::StrContains(done.status.error_message(), strerrorname_np(error_number))) return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << Describe(done) << ", expected " << strerrorname_np(error_number);
}

testing::AssertionResult WasCancelled(const Done& done) {
  if (done.status.is_cancelled() && done.status.error_number() == 0 && absl::IsCancelled(done.status.ToStatus())) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << Describe(done) << ", expected a cancelled entry";
}

testing::AssertionResult Refused(const absl::Status& status, absl::StatusCode code, const std::vector<std::string>& named) {
  if (status.code() != code) {
    return testing::AssertionFailure() << status << ", expected " << absl::StatusCodeToString(code);
  }
  for (const std::string& word : named) {
    if (!absl::StrContains(status.message(), word)) return testing::AssertionFailure() << status << " does not name " << word;
  }
  return testing::AssertionSuccess();
}

std::string RunInChild(const std::function<std::string()>& body) {
  Pair report = MakePipe();
  const pid_t child = fork();
  if (child < 0) return absl::StrCat("fork: ", std::strerror(errno));
  if (child == 0) {
    report.first.Reset();
    const std::string said = body();
    const bool written = write(report.second.get(), said.data(), said.size()) == static_cast<ssize_t>(said.size());
    _exit(written ? 0 : 99);
  }
  report.second.Reset();
  std::string said = ReadAll(report.first.get(), size_t{1} << 20);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) absl::StrAppend(&said, " (killed by ", strsignal(WTERMSIG(status)), ")");
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) absl::StrAppend(&said, " (exit code ", WEXITSTATUS(status), ")");
  return said;
}

std::string Forbid(unsigned system_call, int error_number) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, system_call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error_number)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    return absl::StrCat("seccomp: ", std::strerror(errno));
  }
  return "";
}

}  // namespace agentos
