// The client of the TCP echo notices a server that is not worth measuring.

#include "agentos/benchmarks/echo_load.h"

#include <signal.h>
#include <sys/socket.h>

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "agentos/benchmarks/echo_process.h"
#include "agentos/benchmarks/echo_servers.h"
#include "gtest/gtest.h"

namespace agentos::bench {
namespace {

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

}  // namespace
}  // namespace agentos::bench
