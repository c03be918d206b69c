// The client of the TCP echo notices a server that is not worth measuring, and none is left behind.

#include "agentos/benchmarks/echo_load.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "agentos/benchmarks/echo_process.h"
#include "agentos/benchmarks/echo_servers.h"
#include "gtest/gtest.h"

namespace agentos::bench {
namespace {

constexpr int kLimitMs = 20000;

std::string WaitForEver(int) {
  for (;;) pause();
}

// Echoes the first connection's messages with `change` made to them.
std::string EchoOne(int listener, void (*change)(char*)) {
  const int fd = accept(listener, nullptr, nullptr);
  char message[kEchoMessage];
  while (recv(fd, message, sizeof(message), MSG_WAITALL) == static_cast<ssize_t>(sizeof(message))) {
    change(message);
    if (send(fd, message, sizeof(message), MSG_NOSIGNAL) < 0) break;
  }
  return "its only client has gone";
}

absl::Status ExchangeWith(EchoProcess& server, size_t messages) {
  EchoLoad load(server, 1);
  if (absl::Status status = load.Connect(); !status.ok()) return status;
  return load.Exchange(messages).status();
}

TEST(EchoLoad, CountsTheMessagesOfEveryConnection) {
  EchoProcess server(EchoByEpoll);
  ASSERT_TRUE(server.status().ok()) << server.status();
  EchoLoad load(server, 10);
  ASSERT_TRUE(load.Connect().ok());
  EXPECT_EQ(load.FewestEchoes(), 0u);
  ASSERT_TRUE(load.Exchange(1000).ok());
  EXPECT_GT(load.FewestEchoes(), 0u);
  EXPECT_LE(load.FewestEchoes(), 110u);
  EXPECT_GT(server.ProcessorTime(), std::chrono::nanoseconds(0));
}

TEST(EchoLoad, NoticesAnotherAnswerThanWasSent) {
  EchoProcess server([](int listener) { return EchoOne(listener, [](char* message) { message[kEchoMessage - 1] ^= 1; }); });
  EXPECT_EQ(ExchangeWith(server, 10).code(), absl::StatusCode::kDataLoss);
}

TEST(EchoLoad, SaysWhyAServerGaveUp) {
  EchoProcess server([](int) { return std::string("no more sockets"); });
  const absl::Status status = ExchangeWith(server, 10);
  EXPECT_EQ(status.message(), "the server ended: no more sockets");
}

TEST(EchoLoad, SaysHowAServerDied) {
  EchoProcess server([](int listener) { return EchoOne(listener, [](char*) { raise(SIGKILL); }); });
  const absl::Status status = ExchangeWith(server, 10);
  EXPECT_EQ(status.message(), "the server ended: Killed");
}

TEST(EchoProcess, IsGoneOnceDestroyed) {
  pid_t pid = -1;
  {
    const EchoProcess server(WaitForEver);
    pid = server.pid();
    ASSERT_EQ(kill(pid, 0), 0);
  }
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(EchoProcess, DiesWithWhoeverStartedIt) {
  int pids[2];
  int held[2];
  ASSERT_EQ(pipe(pids), 0);
  ASSERT_EQ(pipe(held), 0);
  const pid_t starter = fork();
  if (starter == 0) {
    close(held[1]);
    EchoProcess server(WaitForEver);
    const pid_t pid = server.pid();
    if (write(pids[1], &pid, sizeof(pid)) < 0) _exit(1);
    // Until the test holds on to the server.
    char end;
    if (read(held[0], &end, 1) < 0) _exit(1);
    // No destructor runs.
    _exit(0);
  }
  pid_t pid = -1;
  ASSERT_EQ(read(pids[0], &pid, sizeof(pid)), static_cast<ssize_t>(sizeof(pid)));
  const int server = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  ASSERT_GE(server, 0);
  close(held[1]);
  ASSERT_EQ(waitpid(starter, nullptr, 0), starter);
  pollfd end = {.fd = server, .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&end, 1, kLimitMs), 1);
  close(server);
  close(held[0]);
  close(pids[0]);
  close(pids[1]);
}

}  // namespace
}  // namespace agentos::bench
