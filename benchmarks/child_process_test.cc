// A child process gives back what it says, tells how it died, and is never left behind.

#include "agentos/benchmarks/child_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"

namespace agentos::bench {
namespace {

constexpr int kLimitMs = 20000;

std::string WaitForEver() {
  for (;;) pause();
}

TEST(ChildProcess, GivesBackWhatItSays) {
  ChildProcess child;
  ASSERT_TRUE(child.Start([] { return std::string(3000, 'x'); }).ok());
  const absl::StatusOr<std::string> said = child.AwaitEnd();
  ASSERT_TRUE(said.ok()) << said.status();
  EXPECT_EQ(*said, std::string(3000, 'x'));
}

TEST(ChildProcess, TellsHowItDied) {
  const struct {
    ChildProcess::Main main;
    std::string how;
  } cases[] = {
      {[]() -> std::string { _exit(7); }, "exit status 7"},
      {[] { return raise(SIGKILL) == 0 ? std::string() : std::string("alive"); }, "Killed"},
  };
  for (const auto& each : cases) {
    ChildProcess child;
    ASSERT_TRUE(child.Start(each.main).ok());
    const absl::StatusOr<std::string> said = child.AwaitEnd();
    EXPECT_EQ(said.status(), absl::UnavailableError(each.how));
  }
}

TEST(ChildProcess, CountsItsProcessorTime) {
  constexpr std::chrono::nanoseconds kBurnt = std::chrono::milliseconds(10);
  int burnt[2];
  ASSERT_EQ(pipe(burnt), 0);
  ChildProcess child;
  ASSERT_TRUE(child
                  .Start([&] {
                    timespec used = {};
                    while (used.tv_sec == 0 && used.tv_nsec < kBurnt.count()) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
                    return write(burnt[1], "", 1) == 1 ? WaitForEver() : std::string();
                  })
                  .ok());
  close(burnt[1]);
  char done;
  ASSERT_EQ(read(burnt[0], &done, 1), 1);
  EXPECT_GE(child.ProcessorTime(), kBurnt);
  close(burnt[0]);
}

TEST(ChildProcess, IsGoneOnceDestroyed) {
  pid_t pid = -1;
  {
    ChildProcess child;
    ASSERT_TRUE(child.Start(WaitForEver).ok());
    pid = child.pid();
    ASSERT_EQ(kill(pid, 0), 0);
  }
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(ChildProcess, DiesWithWhoeverStartedIt) {
  int pids[2];
  int held[2];
  ASSERT_EQ(pipe(pids), 0);
  ASSERT_EQ(pipe(held), 0);
  const pid_t starter = fork();
  if (starter == 0) {
    close(held[1]);
    ChildProcess child;
    const bool started = child.Start(WaitForEver).ok();
    const pid_t pid = child.pid();
    if (!started || write(pids[1], &pid, sizeof(pid)) < 0) _exit(1);
    // Until the test holds on to the child.
    char end;
    if (read(held[0], &end, 1) < 0) _exit(1);
    // No destructor runs.
    _exit(0);
  }
  pid_t pid = -1;
  ASSERT_EQ(read(pids[0], &pid, sizeof(pid)), static_cast<ssize_t>(sizeof(pid)));
  const int child = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  ASSERT_GE(child, 0);
  close(held[1]);
  ASSERT_EQ(waitpid(starter, nullptr, 0), starter);
  pollfd end = {.fd = child, .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&end, 1, kLimitMs), 1);
  close(child);
  close(held[0]);
  close(pids[0]);
  close(pids[1]);
}

}  // namespace
}  // namespace agentos::bench
