// What tests share: descriptors that close themselves, temporary directories, pipes and sockets, counts of what could leak, and
// completions as GoogleTest wants them.
//
// Thread rule: values belong to one thread at a time; free functions from any thread, RunInChild from a process of one thread.
// Errors: what a test cannot go on without is reported to GoogleTest where it fails.
//
//   TempDir dir;
//   Spill(dir.Path("in"), "hello");
//   const size_t before = OpenFds();
//   ... EXPECT_TRUE(Succeeded(done, 5)); ...
//   EXPECT_EQ(OpenFds(), before);

#ifndef AGENTOS_TESTING_TEST_SUPPORT_H_
#define AGENTOS_TESTING_TEST_SUPPORT_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agentos/ring/completion_entry.h"
#include "gtest/gtest.h"

namespace agentos {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// A descriptor that is closed with its owner.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { Reset(); }

  int get() const { return fd_; }
  void Reset();

 private:
  int fd_ = -1;
};

struct Pair {
  // The reading end of a pipe.
  Fd first;
  Fd second;
};

Pair MakePipe(int flags = 0);
Pair MakeSocketPair(int type);
// Of the smallest size there is, and full.
Pair MakeFullPipe(int flags = 0);
// A listening TCP socket at a free port of 127.0.0.1 or ::1.
Fd Listen(int family, int backlog, int flags, std::string& address);
Fd NewSocket(int family, int type);

// A directory that goes with all that is in it.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  std::string Path(absl::string_view name) const;

 private:
  std::string path_;
};

// Whole content by plain calls. Of a file that cannot be opened Slurp says why, in angle brackets.
void Spill(const std::string& path, absl::string_view content);
std::string Slurp(const std::string& path);
// Content in which no part equals another of the same length, so that a piece in the wrong place shows.
std::string Content(size_t size);
// Reads exactly `size` bytes, or up to the end.
std::string ReadAll(int fd, size_t size);

// Keeps whoever opens an existing file for writing waiting, by a lease, until Release.
class WriteGate {
 public:
  explicit WriteGate(const std::string& path);
  ~WriteGate();
  WriteGate(const WriteGate&) = delete;
  WriteGate& operator=(const WriteGate&) = delete;

  // Whether the file system has leases.
  bool holds() const { return holds_; }
  // Returns once somebody has come to the gate.
  void AwaitWriter();
  void Release();

 private:
  Fd file_;
  bool holds_ = false;
};

// How many descriptors the process has open.
size_t OpenFds();
// How many of its open descriptors lead to this name, as /proc/self/fd shows it.
size_t FdsTo(absl::string_view name);
// How many threads the process has.
size_t ThreadCount();

// Returns once another thread of this process sleeps in the kernel, which is how a test knows that it waits.
pid_t ThisThread();
void AwaitAsleep(pid_t thread);

// A number that no descriptor has.
int ClosedFd();

testing::AssertionResult Succeeded(const SyscallCompletionEntry& done);
testing::AssertionResult Succeeded(const SyscallCompletionEntry& done, int64_t value);
testing::AssertionResult FailedWith(const SyscallCompletionEntry& done, int error_number);
testing::AssertionResult WasCancelled(const SyscallCompletionEntry& done);
testing::AssertionResult Refused(const absl::Status& status, absl::StatusCode code, const std::vector<std::string>& named = {});

// Runs `body` in a forked child: "" when it answered "", else what it answered or how the child died.
std::string RunInChild(const std::function<std::string()>& body);

// By seccomp: from here on `system_call` fails in this process with `error_number`, or with 0 does nothing and succeeds; "" or
// why that cannot be had. For children, as nothing takes it back.
std::string Forbid(unsigned system_call, int error_number);

}  // namespace agentos

#endif  // AGENTOS_TESTING_TEST_SUPPORT_H_
