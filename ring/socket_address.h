// Socket addresses as text: "1.2.3.4:80", "[::1]:80", "unix:/path", "unix:@name".
//
// Numeric only: no host names (a look-up would block), no service names, no spaces, no signs, no leading zeros. A refusal says
// which part is wrong and what is expected.
// Source: ip(7), ipv6(7), unix(7).
//
// Thread rule: plain values and pure functions.
// Errors: ParseSocketAddress answers InvalidArgument; everything else cannot fail.
//
//   absl::StatusOr<SocketAddress> address = ParseSocketAddress("127.0.0.1:8080");
//   if (address.ok()) connect(fd, address->get(), address->length);

#ifndef AGENTOS_RING_SOCKET_ADDRESS_H_
#define AGENTOS_RING_SOCKET_ADDRESS_H_

#include <sys/socket.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace agentos {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

absl::StatusOr<SocketAddress> ParseSocketAddress(absl::string_view text);

// The inverse: what ParseSocketAddress would read back. "" for an unnamed Unix socket, "family:N" for a family it does not know.
std::string FormatSocketAddress(const sockaddr* address, socklen_t length);

}  // namespace agentos

#endif  // AGENTOS_RING_SOCKET_ADDRESS_H_
