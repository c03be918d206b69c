#include "agentos/examples/quickstart/tcp_echo.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "agentos/ring/unique_fd.h"

namespace agentos::quickstart {

namespace {

constexpr absl::string_view kMessage = "a line that goes out and comes home\n";

absl::StatusOr<UniqueFd> NewSocket() {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return absl::ErrnoToStatus(errno, "socket");
  return fd;
}

// Listens on a free port of the loopback interface; `*address` is where.
absl::StatusOr<UniqueFd> Listen(std::string* address) {
  absl::StatusOr<UniqueFd> fd = NewSocket();
  if (!fd.ok()) return fd.status();
  sockaddr_in loopback{};
  loopback.sin_family = AF_INET;
  loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(loopback);
  sockaddr* const generic = reinterpret_cast<sockaddr*>(&loopback);
  if (bind(fd->get(), generic, length) != 0) return absl::ErrnoToStatus(errno, "bind to 127.0.0.1");
  if (listen(fd->get(), 1) != 0) return absl::ErrnoToStatus(errno, "listen");
  if (getsockname(fd->get(), generic, &length) != 0) return absl::ErrnoToStatus(errno, "getsockname");
  *address = absl::StrCat("127.0.0.1:", ntohs(loopback.sin_port));
  return fd;
}

// Recv gives what is there; a message that was sent whole may arrive in parts.
absl::StatusOr<std::string> ReceiveAll(Process* process, int fd, size_t size) {
  std::string message;
  while (message.size() < size) {
    absl::StatusOr<SyscallResult> part = process->RunToSuccess(
        SyscallSubmissionEntry::Recv(process->pid(), fd, size - message.size(), /*flags=*/0, /*user_data=*/0));
    if (!part.ok()) return part.status();
    if (part->value() == 0) return absl::DataLossError("the other side closed the connection in the middle of the message");
    absl::StrAppend(&message, part->data());
  }
  return message;
}

absl::StatusOr<std::string> Echo(Process* server, int server_fd, Process* client, int client_fd) {
  absl::StatusOr<SyscallResult> sent =
      client->RunToSuccess(SyscallSubmissionEntry::Send(client->pid(), client_fd, kMessage, /*flags=*/0, /*user_data=*/0));
  if (!sent.ok()) return sent.status();
  absl::StatusOr<std::string> received = ReceiveAll(server, server_fd, kMessage.size());
  if (!received.ok()) return received.status();
  absl::StatusOr<SyscallResult> returned = server->RunToSuccess(
      SyscallSubmissionEntry::Send(server->pid(), server_fd, *std::move(received), /*flags=*/0, /*user_data=*/0));
  if (!returned.ok()) return returned.status();
  return ReceiveAll(client, client_fd, kMessage.size());
}

}  // namespace

absl::StatusOr<std::string> EchoOverTcp(Process* server, Process* client) {
  std::string address;
  absl::StatusOr<UniqueFd> listener = Listen(&address);
  if (!listener.ok()) return listener.status();
  absl::StatusOr<UniqueFd> client_fd = NewSocket();
  if (!client_fd.ok()) return client_fd.status();

  absl::StatusOr<Seq> accepting = server->Start(SyscallSubmissionEntry::Accept(server->pid(), listener->get(), /*user_data=*/0));
  if (!accepting.ok()) return accepting.status();
  absl::StatusOr<SyscallResult> connected =
      client->RunToSuccess(SyscallSubmissionEntry::Connect(client->pid(), client_fd->get(), address, /*user_data=*/0));
  // Also after a failed Connect: the Accept must not outlive the listener.
  if (!connected.ok()) shutdown(listener->get(), SHUT_RDWR);
  absl::StatusOr<SyscallResult> accepted = server->FinishToSuccess(*accepting);
  if (!connected.ok()) return connected.status();
  if (!accepted.ok()) return accepted.status();
  UniqueFd server_fd(static_cast<int>(accepted->value()));

  absl::StatusOr<std::string> echoed = Echo(server, server_fd.get(), client, client_fd->get());
  if (!echoed.ok()) return echoed.status();
  if (*echoed != kMessage) return absl::DataLossError("what came back is not what was sent");

  absl::StatusOr<SyscallResult> closed =
      server->RunToSuccess(SyscallSubmissionEntry::Close(server->pid(), server_fd.Release(), /*user_data=*/0));
  if (!closed.ok()) return closed.status();
  return absl::StrCat("process ", client->pid(), " (", accepted->peer_address(), ") connected to process ", server->pid(), " (",
                      address, "), sent ", kMessage.size(), " bytes and got the same back");
}

}  // namespace agentos::quickstart
