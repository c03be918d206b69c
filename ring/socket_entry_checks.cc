#include <poll.h>
#include <sys/socket.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agentos/ring/entry_checks.h"
#include "agentos/ring/socket_address.h"

// The checks of operations on sockets, less those that a program makes many of.

namespace agentos::ring_internal {

namespace {

// Linux keeps the kind of a socket in the lowest four bits.
constexpr int kSocketKinds = 0xf;
constexpr int kSocketTypes = kSocketKinds | SOCK_NONBLOCK | SOCK_CLOEXEC;
constexpr int kPollEvents = POLLIN | POLLOUT | POLLPRI | POLLRDHUP;

constexpr absl::string_view kSocketTypeNames = "a kind such as SOCK_STREAM, SOCK_NONBLOCK and SOCK_CLOEXEC";
constexpr absl::string_view kPollEventNames = "POLLIN, POLLOUT, POLLPRI and POLLRDHUP";

absl::Status CheckAddress(OperationKind kind, const std::string& text) {
  const absl::StatusOr<SocketAddress> address = ParseSocketAddress(text);
  if (!address.ok()) [[unlikely]]
    return RefuseAddress(kind, address.status().message());
  return absl::OkStatus();
}

}  // namespace

absl::Status Check(const operation::AcceptMany& op) { return CheckFd(OperationKind::kAcceptMany, op.fd); }

absl::Status Check(const operation::RecvMany& op) {
  if (op.flags != 0) [[unlikely]]
    return Refuse(OperationKind::kRecvMany, "flags", Hex(op.flags), "0: no flag of recv(2) makes sense for many receives");
  return CheckFd(OperationKind::kRecvMany, op.fd);
}

absl::Status Check(const operation::Connect& op) {
  if (!IsFd(op.fd)) [[unlikely]]
    return RefuseFd(OperationKind::kConnect, op.fd);
  return CheckAddress(OperationKind::kConnect, op.address);
}

absl::Status Check(const operation::SendTo& op) {
  absl::Status status = CheckSend(OperationKind::kSendTo, op.fd, op.data.size(), op.flags);
  return status.ok() ? CheckAddress(OperationKind::kSendTo, op.address) : status;
}

absl::Status Check(const operation::RecvFrom& op) { return CheckRecv(OperationKind::kRecvFrom, op.fd, op.size, op.flags); }

// Which families, kinds and protocols there are is the kernel's to say.
absl::Status Check(const operation::Socket& op) {
  if (op.domain < 0) [[unlikely]]
    return Refuse(OperationKind::kSocket, "domain", op.domain, "an address family such as AF_INET, from 0 upward");
  if ((op.type & ~kSocketTypes) != 0) [[unlikely]] {
    return RefuseFlags(OperationKind::kSocket, op.type, kSocketTypes, kSocketTypeNames, "type");
  }
  if (op.protocol < 0) [[unlikely]]
    return Refuse(OperationKind::kSocket, "protocol", op.protocol, "a protocol of the family, from 0 (the usual one) upward");
  return absl::OkStatus();
}

absl::Status Check(const operation::Shutdown& op) {
  if (!IsFd(op.fd)) [[unlikely]]
    return RefuseFd(OperationKind::kShutdown, op.fd);
  if (op.how < SHUT_RD || op.how > SHUT_RDWR) [[unlikely]] {
    return Refuse(OperationKind::kShutdown, "how", op.how, "SHUT_RD (0), SHUT_WR (1) or SHUT_RDWR (2)");
  }
  return absl::OkStatus();
}

absl::Status Check(const operation::Poll& op) {
  if (!IsFd(op.fd)) [[unlikely]]
    return RefuseFd(OperationKind::kPoll, op.fd);
  const auto events = static_cast<int>(op.events);
  if ((events & ~kPollEvents) != 0) [[unlikely]] {
    return RefuseFlags(OperationKind::kPoll, events, kPollEvents, kPollEventNames, "events");
  }
  return absl::OkStatus();
}

}  // namespace agentos::ring_internal
