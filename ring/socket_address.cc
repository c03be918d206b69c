#include "agentos/ring/socket_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace agentos {

namespace {

constexpr absl::string_view kUnixPrefix = "unix:";
constexpr size_t kUnixHeaderSize = offsetof(sockaddr_un, sun_path);
constexpr size_t kSunPathSize = sizeof(sockaddr_un::sun_path);
// One byte of sun_path goes to the NUL: behind a path, before an abstract name.
constexpr size_t kMaxUnixNameSize = kSunPathSize - 1;
// An address comes from outside: what is quoted of it in a message has a bound.
constexpr size_t kMaxQuotedSize = 64;

// isdigit depends on the locale and on the sign of char.
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::string Quote(absl::string_view text) {
  const std::string quoted = absl::StrCat("\"", absl::CHexEscape(text.substr(0, kMaxQuotedSize)), "\"");
  return text.size() <= kMaxQuotedSize ? quoted : absl::StrCat(quoted, "... (", text.size(), " bytes)");
}

absl::Status Refuse(absl::string_view address, absl::string_view what_is_wrong) {
  return absl::InvalidArgumentError(absl::StrCat("address ", Quote(address), ": ", what_is_wrong));
}

absl::Status ParsePort(absl::string_view address, absl::string_view port, in_port_t& network_order) {
  constexpr absl::string_view kExpected = "expected a decimal number from 0 to 65535 without sign, spaces or leading zeros";
  const auto refuse = [&](absl::string_view what) {
    return Refuse(address, absl::StrCat("the port ", Quote(port), " ", what, ": ", kExpected));
  };
  if (port.empty()) return Refuse(address, absl::StrCat("the port after ':' is missing: ", kExpected));
  if (!std::all_of(port.begin(), port.end(), IsDigit)) return refuse("has characters that are not digits");
  if (port.size() > 1 && port[0] == '0') return refuse("has a leading zero");
  uint32_t value = 0;
  for (char digit : port.substr(0, 6)) value = value * 10 + static_cast<uint32_t>(digit - '0');
  if (value > UINT16_MAX) return refuse("is too large");
  network_order = htons(static_cast<uint16_t>(value));
  return absl::OkStatus();
}

// inet_pton for text that does not end in a NUL.
bool ParseNumericHost(int family, absl::string_view host, void* out) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (host.size() >= terminated.size()) return false;
  std::copy(host.begin(), host.end(), terminated.begin());
  return inet_pton(family, terminated.data(), out) == 1;
}

absl::StatusOr<SocketAddress> ParseIpv4(absl::string_view text) {
  constexpr absl::string_view kExpected = "expected four numbers from 0 to 255 without leading zeros, such as 127.0.0.1";
  const size_t colon = text.find(':');
  if (colon == absl::string_view::npos) {
    return Refuse(text, "the port is missing: expected 1.2.3.4:80, [::1]:80, unix:/path or unix:@name");
  }
  if (text.find(':', colon + 1) != absl::string_view::npos) {
    return Refuse(text, "it has more than one ':': expected one before the port, and an IPv6 host in brackets, as in [::1]:80");
  }
  const absl::string_view host = text.substr(0, colon);
  if (host.empty()) return Refuse(text, absl::StrCat("the host before ':' is missing: ", kExpected));

  sockaddr_in ip{};
  ip.sin_family = AF_INET;
  if (!ParseNumericHost(AF_INET, host, &ip.sin_addr)) {
    return Refuse(
        text, absl::StrCat("the host ", Quote(host), " is not a numeric IPv4 address (names are not looked up): ", kExpected));
  }
  if (absl::Status status = ParsePort(text, text.substr(colon + 1), ip.sin_port); !status.ok()) return status;
  SocketAddress address;
  std::memcpy(&address.storage, &ip, sizeof(ip));
  address.length = sizeof(ip);
  return address;
}

absl::StatusOr<SocketAddress> ParseIpv6(absl::string_view text) {
  const size_t bracket = text.find(']');
  if (bracket == absl::string_view::npos) {
    return Refuse(text, "the ']' after the IPv6 host is missing: expected [::1]:80");
  }
  const absl::string_view host = text.substr(1, bracket - 1);
  if (host.find('%') != absl::string_view::npos) {
    return Refuse(text, absl::StrCat("the host ", Quote(host), " has a scope id (%), which is not supported: expected none"));
  }
  sockaddr_in6 ip{};
  ip.sin6_family = AF_INET6;
  if (!ParseNumericHost(AF_INET6, host, &ip.sin6_addr)) {
    return Refuse(text, absl::StrCat("the host ", Quote(host), " between the brackets is not a numeric IPv6 address: ",
                                     "expected groups of hexadecimal digits, such as ::1"));
  }
  const absl::string_view rest = text.substr(bracket + 1);
  if (rest.empty()) return Refuse(text, "the port is missing: expected ':' and a number after the ']'");
  if (rest[0] != ':') return Refuse(text, absl::StrCat(Quote(rest), " after the ']' is wrong: expected ':' and a port"));
  if (absl::Status status = ParsePort(text, rest.substr(1), ip.sin6_port); !status.ok()) return status;
  SocketAddress address;
  std::memcpy(&address.storage, &ip, sizeof(ip));
  address.length = sizeof(ip);
  return address;
}

absl::StatusOr<SocketAddress> ParseUnix(absl::string_view text) {
  const absl::string_view name = text.substr(kUnixPrefix.size());
  if (name.empty()) return Refuse(text, "the path after 'unix:' is missing: expected unix:/path or unix:@name");

  SocketAddress address;
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  if (name[0] == '@') {
    const absl::string_view abstract = name.substr(1);
    if (abstract.empty()) return Refuse(text, "the abstract name after '@' is missing: expected unix:@name");
    if (abstract.size() > kMaxUnixNameSize) {
      return Refuse(text,
                    absl::StrCat("the abstract name is ", abstract.size(), " bytes long: expected at most ", kMaxUnixNameSize));
    }
    // The length says where an abstract name ends; a NUL behind it would belong to the name.
    std::copy(abstract.begin(), abstract.end(), un.sun_path + 1);
    address.length = static_cast<socklen_t>(kUnixHeaderSize + 1 + abstract.size());
  } else {
    if (name[0] != '/') {
      return Refuse(text, absl::StrCat("the path ", Quote(name), " is not absolute: expected unix:/path or unix:@name"));
    }
    if (name.size() > kMaxUnixNameSize) {
      return Refuse(text, absl::StrCat("the path is ", name.size(), " bytes long: expected at most ", kMaxUnixNameSize));
    }
    std::copy(name.begin(), name.end(), un.sun_path);
    address.length = static_cast<socklen_t>(kUnixHeaderSize + name.size() + 1);
  }
  std::memcpy(&address.storage, &un, sizeof(un));
  return address;
}

std::string FormatUnix(const sockaddr_un& un, size_t length) {
  const size_t size = std::min(length, sizeof(un)) - kUnixHeaderSize;
  if (size == 0) return "";
  // Every byte of an abstract name counts, NUL too: leaving one out would name another socket.
  if (un.sun_path[0] == '\0') return absl::StrCat(kUnixPrefix, "@", absl::string_view(un.sun_path + 1, size - 1));
  const absl::string_view path(un.sun_path, strnlen(un.sun_path, size));
  // A file called "@name" must not read like the abstract name.
  return absl::StrCat(kUnixPrefix, path[0] == '@' ? "./" : "", path);
}

std::string FormatIpv4(const sockaddr_in& ip) {
  char host[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &ip.sin_addr, host, sizeof(host));
  return absl::StrCat(host, ":", ntohs(ip.sin_port));
}

std::string FormatIpv6(const sockaddr_in6& ip) {
  char host[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, &ip.sin6_addr, host, sizeof(host));
  // ParseSocketAddress refuses a scope id; without it the text would name another host.
  const std::string scope = ip.sin6_scope_id == 0 ? "" : absl::StrCat("%", ip.sin6_scope_id);
  return absl::StrCat("[", host, scope, "]:", ntohs(ip.sin6_port));
}

// A copy, because `from` need neither be aligned nor as large as T.
template <typename T>
T CopyOf(const sockaddr* from, size_t length) {
  T to{};
  std::memcpy(&to, from, std::min(length, sizeof(to)));
  return to;
}

}  // namespace

absl::StatusOr<SocketAddress> ParseSocketAddress(absl::string_view text) {
  if (text.empty()) return Refuse(text, "it is empty: expected 1.2.3.4:80, [::1]:80, unix:/path or unix:@name");
  if (const size_t nul = text.find('\0'); nul != absl::string_view::npos) {
    return Refuse(text, absl::StrCat("there is a NUL byte at position ", nul, ": expected none"));
  }
  if (absl::StartsWith(text, kUnixPrefix)) return ParseUnix(text);
  if (text[0] == '[') return ParseIpv6(text);
  return ParseIpv4(text);
}

std::string FormatSocketAddress(const sockaddr* address, socklen_t length) {
  sa_family_t family = AF_UNSPEC;
  if (address == nullptr || length < offsetof(sockaddr, sa_family) + sizeof(family)) return "";
  std::memcpy(&family, reinterpret_cast<const char*>(address) + offsetof(sockaddr, sa_family), sizeof(family));
  if (family == AF_UNIX) return FormatUnix(CopyOf<sockaddr_un>(address, length), length);
  if (family == AF_INET && length >= sizeof(sockaddr_in)) return FormatIpv4(CopyOf<sockaddr_in>(address, length));
  if (family == AF_INET6 && length >= sizeof(sockaddr_in6)) return FormatIpv6(CopyOf<sockaddr_in6>(address, length));
  return absl::StrCat("family:", family);
}

}  // namespace agentos
