// A TCP server in a process of its own, listening on a free port of the loopback interface.
//
// It dies with the benchmark (child_process.h).
//
// Thread rule: one thread, and no other in the process when it is started.
//
//   EchoProcess server([](int listener) { return EchoByEpoll(listener); });
//   if (!server.status().ok()) return server.status();

#ifndef AGENTOS_BENCHMARKS_ECHO_PROCESS_H_
#define AGENTOS_BENCHMARKS_ECHO_PROCESS_H_

#include <netinet/in.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "agentos/benchmarks/child_process.h"

namespace agentos::bench {

class EchoProcess {
 public:
  // Serves the listening socket; returns only when it cannot go on: why. Its sockets inherit TCP_NODELAY from the listening one.
  using Server = std::function<std::string(int listener)>;

  explicit EchoProcess(const Server& server) { status_ = Start(server); }

  // Whether it was started.
  const absl::Status& status() const { return status_; }

  const sockaddr_in& address() const { return address_; }

  // Becomes readable when the process has ended.
  int end_fd() const { return process_.end_fd(); }

  // Waits for the end of a process that is ending, once: an error that says why it did.
  absl::Status AwaitEnd();

  // What all its threads together have used.
  std::chrono::nanoseconds ProcessorTime() const { return process_.ProcessorTime(); }

  pid_t pid() const { return process_.pid(); }

 private:
  absl::Status Start(const Server& server);
  absl::Status Listen(int listener);

  ChildProcess process_;
  absl::Status status_;
  sockaddr_in address_ = {};
};

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_ECHO_PROCESS_H_
