#include "agentos/ring/socket_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace agentos {

namespace {

constexpr size_t kPathRoom = sizeof(sockaddr_un::sun_path);
constexpr size_t kPathOffset = offsetof(sockaddr_un, sun_path);

absl::Status Refuse(absl::string_view text, absl::string_view what) {
  // A hostile address must not become a hostile message.
  constexpr size_t kMostShown = 80;
  const absl::string_view shown = text.substr(0, kMostShown);
  return absl::InvalidArgumentError(
      absl::StrCat("address \"", absl::CHexEscape(shown),
                   shown.size() < text.size() ? "..." : "", "\": ", what,
                   "; expected \"1.2.3.4:80\", \"[::1]:80\", \"unix:/path\" or "
                   "\"unix:@name\""));
}

// Digits only: what strtol would also take (signs, spaces, other bases) is not
// numeric enough for an address.
std::optional<uint16_t> ParsePort(absl::string_view text) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text[0] == '0'))
    return std::nullopt;
  uint32_t port = 0;
  for (char digit : text) {
    if (digit < '0' || digit > '9')
      return std::nullopt;
    port = port * 10 + static_cast<uint32_t>(digit - '0');
  }
  if (port > 65535)
    return std::nullopt;
  return static_cast<uint16_t>(port);
}

absl::StatusOr<SocketAddress> ParseUnix(absl::string_view text,
                                        absl::string_view name) {
  if (name.empty())
    return Refuse(text, "the path of the Unix socket is empty");
  const bool abstract = name[0] == '@';
  if (abstract && name.size() == 1)
    return Refuse(text, "the name of the abstract Unix socket is empty");
  if (!abstract && name[0] != '/')
    return Refuse(
        text,
        "the path of a Unix socket starts with '/', an abstract name with '@'");
  if (name.find('\0') != absl::string_view::npos)
    return Refuse(text, "the Unix socket's name has a NUL byte");
  // A path ends with a NUL; an abstract name begins with one instead of the
  // '@'.
  const size_t length = abstract ? name.size() : name.size() + 1;
  if (length > kPathRoom)
    return Refuse(text, absl::StrCat("the Unix socket's name is longer than ",
                                     kPathRoom - 1, " bytes"));

  SocketAddress address;
  auto *un = reinterpret_cast<sockaddr_un *>(&address.storage);
  un->sun_family = AF_UNIX;
  std::memcpy(un->sun_path, name.data(), name.size());
  if (abstract)
    un->sun_path[0] = '\0';
  address.length = static_cast<socklen_t>(kPathOffset + length);
  return address;
}

absl::StatusOr<SocketAddress> ParseInet6(absl::string_view text) {
  const size_t end = text.find(']');
  if (end == absl::string_view::npos)
    return Refuse(text, "the ']' after the IPv6 address is missing");
  const absl::string_view host = text.substr(1, end - 1);
  const absl::string_view rest = text.substr(end + 1);
  if (rest.empty() || rest[0] != ':')
    return Refuse(text, "a ':' and the port must follow the ']'");
  if (host.find('%') != absl::string_view::npos)
    return Refuse(text, "scope ids (\"%eth0\") are not supported");
  const std::optional<uint16_t> port = ParsePort(rest.substr(1));
  if (!port.has_value())
    return Refuse(text, "the port is not a number from 0 to 65535 without sign "
                        "or leading zero");

  SocketAddress address;
  auto *in6 = reinterpret_cast<sockaddr_in6 *>(&address.storage);
  if (host.find('\0') != absl::string_view::npos ||
      inet_pton(AF_INET6, std::string(host).c_str(), &in6->sin6_addr) != 1) {
    return Refuse(text, "what stands in brackets is not an IPv6 address");
  }
  in6->sin6_family = AF_INET6;
  in6->sin6_port = htons(*port);
  address.length = sizeof(sockaddr_in6);
  return address;
}

absl::StatusOr<SocketAddress> ParseInet(absl::string_view text) {
  const size_t colon = text.find(':');
  if (colon == absl::string_view::npos)
    return Refuse(text, "the ':' and the port are missing");
  if (text.rfind(':') != colon)
    return Refuse(text, "an IPv6 address stands in brackets");
  const absl::string_view host = text.substr(0, colon);
  const std::optional<uint16_t> port = ParsePort(text.substr(colon + 1));
  if (!port.has_value())
    return Refuse(text, "the port is not a number from 0 to 65535 without sign "
                        "or leading zero");

  SocketAddress address;
  auto *in = reinterpret_cast<sockaddr_in *>(&address.storage);
  if (host.find('\0') != absl::string_view::npos ||
      inet_pton(AF_INET, std::string(host).c_str(), &in->sin_addr) != 1) {
    return Refuse(
        text,
        "the host is not a numeric IPv4 address (names are not looked up)");
  }
  in->sin_family = AF_INET;
  in->sin_port = htons(*port);
  address.length = sizeof(sockaddr_in);
  return address;
}

std::string FormatUnix(const sockaddr *address, socklen_t length) {
  if (length <= kPathOffset)
    return "";
  const char *path = reinterpret_cast<const sockaddr_un *>(address)->sun_path;
  const size_t size = std::min<size_t>(length - kPathOffset, kPathRoom);
  if (path[0] == '\0')
    return size == 1
               ? ""
               : absl::StrCat("unix:@", absl::string_view(path + 1, size - 1));
  return absl::StrCat("unix:", absl::string_view(path, strnlen(path, size)));
}

} // namespace

absl::StatusOr<SocketAddress> ParseSocketAddress(absl::string_view text) {
  if (text.empty())
    return Refuse(text, "it is empty");
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "unix:"))
    return ParseUnix(text, rest);
  return text[0] == '[' ? ParseInet6(text) : ParseInet(text);
}

std::string FormatSocketAddress(const sockaddr *address, socklen_t length) {
  if (address == nullptr || length < sizeof(sa_family_t))
    return "";
  char host[INET6_ADDRSTRLEN];
  switch (address->sa_family) {
  case AF_INET: {
    if (length < sizeof(sockaddr_in))
      return "";
    const auto *in = reinterpret_cast<const sockaddr_in *>(address);
    return absl::StrCat(inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)),
                        ":", ntohs(in->sin_port));
  }
  case AF_INET6: {
    if (length < sizeof(sockaddr_in6))
      return "";
    const auto *in6 = reinterpret_cast<const sockaddr_in6 *>(address);
    return absl::StrCat(
        "[", inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)),
        "]:", ntohs(in6->sin6_port));
  }
  case AF_UNIX:
    return FormatUnix(address, length);
  default:
    return absl::StrCat("family:", address->sa_family);
  }
}

} // namespace agentos
