// The client of the TCP echo, the same for every server: many connections, one message in flight on each, plain epoll.
//
// What comes back is compared with what was sent, message by message.
//
// Thread rule: one thread.
// Lifetime: `server` outlives it.
// Errors: Unavailable says why the server ended, DataLoss that something else came back, DeadlineExceeded that nothing did for ten
// seconds.
//
//   EchoLoad load(server, 64);
//   if (absl::Status status = load.Connect(); !status.ok()) ...
//   absl::StatusOr<std::chrono::nanoseconds> warm_up = load.Exchange(2000);
//   absl::StatusOr<std::chrono::nanoseconds> measured = load.Exchange(20000);

#ifndef AGENTOS_BENCHMARKS_ECHO_LOAD_H_
#define AGENTOS_BENCHMARKS_ECHO_LOAD_H_

#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/benchmarks/echo_process.h"

namespace agentos::bench {

inline constexpr size_t kEchoMessage = 64;

class EchoLoad {
 public:
  EchoLoad(EchoProcess& server, size_t connections);
  EchoLoad(const EchoLoad&) = delete;
  EchoLoad& operator=(const EchoLoad&) = delete;
  ~EchoLoad();

  // Connects, and sends the first message of every connection.
  absl::Status Connect();

  // Goes on until `messages` more have come back, each of them followed by the next: how long that took.
  absl::StatusOr<std::chrono::nanoseconds> Exchange(size_t messages);

  // How often the connection that was served least has got its message back.
  uint64_t FewestEchoes() const;

 private:
  using Message = std::array<char, kEchoMessage>;

  struct Connection {
    int fd = -1;
    size_t received = 0;
    uint64_t echoes = 0;
    // No other connection sends the same.
    Message message = {};
    Message echo = {};
  };

  absl::Status Open(size_t number);
  absl::Status Send(Connection& connection);
  // Whether a message is complete.
  absl::StatusOr<bool> Receive(Connection& connection);
  // The cause of an error, which often is that the server has ended.
  absl::Status Explain(absl::Status otherwise);

  EchoProcess& server_;
  int epoll_fd_ = -1;
  std::vector<Connection> connections_;
  std::vector<epoll_event> events_;
};

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_ECHO_LOAD_H_
