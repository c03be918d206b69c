// A TCP server in a process of its own, listening on a free port of the loopback interface.
//
// It dies with the benchmark: by the destructor, and by the kernel's hand when the benchmark is killed.
//
// Thread rule: one thread, and no other in the process when it is started (it is a fork).
//
//   EchoProcess server([](int listener) { return EchoByEpoll(listener); });
//   if (!server.status().ok()) return state.SkipWithError(...);

#ifndef AGENTOS_BENCHMARKS_ECHO_PROCESS_H_
#define AGENTOS_BENCHMARKS_ECHO_PROCESS_H_

#include <netinet/in.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>

#include "absl/status/status.h"

namespace agentos::bench {

class EchoProcess {
 public:
  // Serves the listening socket; returns only when it cannot go on: why. Its sockets inherit TCP_NODELAY from the listening one.
  using Server = std::function<std::string(int listener)>;

  explicit EchoProcess(const Server& server);
  EchoProcess(const EchoProcess&) = delete;
  EchoProcess& operator=(const EchoProcess&) = delete;
  ~EchoProcess();

  // Whether it was started.
  const absl::Status& status() const { return status_; }

  const sockaddr_in& address() const { return address_; }

  // Becomes readable when the process has ended.
  int end_fd() const { return end_fd_; }

  // Waits for the end of a process that is ending, and says why it did.
  absl::Status AwaitEnd();

  // What all its threads together have used.
  std::chrono::nanoseconds ProcessorTime() const;

  pid_t pid() const { return pid_; }

 private:
  absl::Status Listen(int* listener);
  absl::Status Start(const Server& server);

  absl::Status status_;
  sockaddr_in address_ = {};
  int end_fd_ = -1;
  pid_t pid_ = -1;
};

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_ECHO_PROCESS_H_
