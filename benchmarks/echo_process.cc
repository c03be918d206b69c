#include "agentos/benchmarks/echo_process.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace agentos::bench {
namespace {

constexpr int kBacklog = 1024;

}  // namespace

absl::Status EchoProcess::Start(const Server& server) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) return absl::ErrnoToStatus(errno, "socket");
  absl::Status status = Listen(listener);
  if (status.ok()) status = process_.Start([&] { return server(listener); });
  close(listener);
  return status;
}

absl::Status EchoProcess::Listen(int listener) {
  const int on = 1;
  address_.sin_family = AF_INET;
  address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address_);
  sockaddr* const generic = reinterpret_cast<sockaddr*>(&address_);
  if (setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) return absl::ErrnoToStatus(errno, "TCP_NODELAY");
  if (bind(listener, generic, length) != 0) return absl::ErrnoToStatus(errno, "bind to 127.0.0.1");
  if (listen(listener, kBacklog) != 0) return absl::ErrnoToStatus(errno, "listen");
  if (getsockname(listener, generic, &length) != 0) return absl::ErrnoToStatus(errno, "getsockname");
  return absl::OkStatus();
}

absl::Status EchoProcess::AwaitEnd() {
  const absl::StatusOr<std::string> cause = process_.AwaitEnd();
  return absl::UnavailableError("the server ended: " + (cause.ok() ? *cause : std::string(cause.status().message())));
}

}  // namespace agentos::bench
