#include "agentos/ring/socket_address.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr size_t kUnixHeaderSize = offsetof(sockaddr_un, sun_path);
constexpr size_t kMaxUnixName = 107;

std::string FormatAddress(const SocketAddress& address) { return FormatSocketAddress(address.get(), address.length); }

bool SameAddress(const SocketAddress& a, const SocketAddress& b) {
  return a.length == b.length && std::memcmp(&a.storage, &b.storage, a.length) == 0;
}

// A sockaddr_un as the kernel might hand it over: `path` as it stands, without a NUL of ours.
SocketAddress UnixAddress(const std::string& path) {
  SocketAddress address;
  address.storage.ss_family = AF_UNIX;
  std::memcpy(reinterpret_cast<char*>(&address.storage) + kUnixHeaderSize, path.data(), path.size());
  address.length = static_cast<socklen_t>(kUnixHeaderSize + path.size());
  return address;
}

// How many leading bytes of a parsed address the kernel looks at.
size_t NamedSize(const SocketAddress& address) {
  switch (address.get()->sa_family) {
    case AF_INET:
      return offsetof(sockaddr_in, sin_zero);
    case AF_UNIX: {
      const bool abstract = reinterpret_cast<const char*>(&address.storage)[kUnixHeaderSize] == '\0';
      return address.length - (abstract ? 0 : 1);
    }
    default:
      return address.length;
  }
}

struct Malformed {
  std::string text;
  // What the message must say: the part that is wrong.
  const char* names;
};

std::vector<Malformed> MalformedAddresses() {
  return {
      {"", "it is empty"},
      {" ", "the port is missing"},
      {"1.2.3.4", "the port is missing"},
      {"localhost", "the port is missing"},
      {"80", "the port is missing"},
      {"unix", "the port is missing"},
      {"/tmp/socket", "the port is missing"},
      {"localhost:80", "the host \"localhost\""},
      {"example.com:80", "the host \"example.com\""},
      {":80", "the host before ':' is missing"},
      {"1.2.3:80", "the host \"1.2.3\""},
      {"1.2.3.4.5:80", "the host \"1.2.3.4.5\""},
      {"1.2.3.256:80", "the host \"1.2.3.256\""},
      {"1.2.3.04:80", "the host \"1.2.3.04\""},
      {"01.2.3.4:80", "the host \"01.2.3.4\""},
      {"1.2.3.4.:80", "the host \"1.2.3.4.\""},
      {"1..3.4:80", "the host \"1..3.4\""},
      {"0x7f.0.0.1:80", "the host \"0x7f.0.0.1\""},
      {"2130706433:80", "the host \"2130706433\""},
      {"-1.2.3.4:80", "the host \"-1.2.3.4\""},
      {" 1.2.3.4:80", "the host \" 1.2.3.4\""},
      {"1.2.3.4 :80", "the host \"1.2.3.4 \""},
      {"*:80", "the host \"*\""},
      {"UNIX:/tmp/socket", "the host \"UNIX\""},
      {"1.2.3.4:", "the port after ':' is missing"},
      {"1.2.3.4:http", "the port \"http\" has characters"},
      {"1.2.3.4: 80", "the port \" 80\" has characters"},
      {"1.2.3.4:80 ", "the port \"80 \" has characters"},
      {"1.2.3.4:80\n", "the port \"80\\n\" has characters"},
      {"1.2.3.4:+80", "the port \"+80\" has characters"},
      {"1.2.3.4:-1", "the port \"-1\" has characters"},
      {"1.2.3.4:0x50", "the port \"0x50\" has characters"},
      {"1.2.3.4:8/0", "the port \"8/0\" has characters"},
      {"1.2.3.4:080", "the port \"080\" has a leading zero"},
      {"1.2.3.4:00", "the port \"00\" has a leading zero"},
      {"1.2.3.4:65536", "the port \"65536\" is too large"},
      {"1.2.3.4:99999", "the port \"99999\" is too large"},
      {"1.2.3.4:4294967376", "the port \"4294967376\" is too large"},
      {"1.2.3.4:18446744073709551696", "the port \"18446744073709551696\" is too large"},
      {"1.2.3.4:80:90", "more than one ':'"},
      {"::1:80", "more than one ':'"},
      {"::1", "more than one ':'"},
      {"http://1.2.3.4:80", "more than one ':'"},
      {"[::1]", "the port is missing"},
      {"[::1]:", "the port after ':' is missing"},
      {"[::1]:65536", "the port \"65536\" is too large"},
      {"[::1]80", "\"80\" after the ']'"},
      {"[::1] :80", "\" :80\" after the ']'"},
      {"[::1", "the ']' after the IPv6 host is missing"},
      {"[::1:80", "the ']' after the IPv6 host is missing"},
      {"[]:80", "the host \"\" between the brackets"},
      {"[1.2.3.4]:80", "the host \"1.2.3.4\" between the brackets"},
      {"[::g]:80", "the host \"::g\" between the brackets"},
      {"[1::2::3]:80", "the host \"1::2::3\" between the brackets"},
      {"[12345::]:80", "the host \"12345::\" between the brackets"},
      {"[ ::1]:80", "the host \" ::1\" between the brackets"},
      {"[fe80::1%eth0]:80", "scope id"},
      {"[fe80::1%2]:80", "scope id"},
      {"unix:", "the path after 'unix:' is missing"},
      {"unix:@", "the abstract name after '@' is missing"},
      {"unix:relative/path", "the path \"relative/path\" is not absolute"},
      {"unix: /tmp/socket", "the path \" /tmp/socket\" is not absolute"},
      {absl::StrCat("unix:/", std::string(kMaxUnixName, 'p')), "the path is 108 bytes long: expected at most 107"},
      {absl::StrCat("unix:@", std::string(kMaxUnixName + 1, 'n')), "the abstract name is 108 bytes long: expected at most 107"},
      {std::string("unix:/a\0b", 9), "NUL byte at position 7"},
      {std::string("unix:@a\0", 8), "NUL byte at position 7"},
      {std::string("1.2.3.4\0:80", 11), "NUL byte at position 7"},
      {std::string("1.2.3.4:80\0", 11), "NUL byte at position 10"},
      {std::string("[::1\0]:80", 9), "NUL byte at position 4"},
  };
}

TEST(P14ParseSocketAddress, RefusesWhatIsNotAnAddressAndNamesThePartThatIsWrong) {
  const std::vector<Malformed> table = MalformedAddresses();
  ASSERT_GE(table.size(), 30u);
  for (const auto& [text, names] : table) {
    SCOPED_TRACE(text);
    const absl::StatusOr<SocketAddress> address = ParseSocketAddress(text);
    ASSERT_FALSE(address.ok());
    EXPECT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument);
    const absl::string_view message = address.status().message();
    EXPECT_TRUE(absl::StartsWith(message, "address \"")) << message;
    EXPECT_TRUE(absl::StrContains(message, names)) << message;
    EXPECT_TRUE(absl::StrContains(message, "expected ")) << message;
  }
}

TEST(P14ParseSocketAddress, MessagesAreShortAndPrintableHoweverHostileTheAddress) {
  for (char filler : {'a', '1', ':', '[', '%', '\0', '\n', '\xff'}) {
    for (absl::string_view prefix : {"", "1.2.3.4:", "[", "[::1]", "[::1]:", "unix:", "unix:/", "unix:@"}) {
      SCOPED_TRACE(absl::StrCat(prefix, " and many of ", static_cast<int>(filler)));
      const absl::StatusOr<SocketAddress> address = ParseSocketAddress(absl::StrCat(prefix, std::string(1 << 20, filler)));
      ASSERT_FALSE(address.ok());
      EXPECT_LT(address.status().message().size(), 1000u);
      for (char c : address.status().message()) ASSERT_TRUE(c >= ' ' && c <= '~') << static_cast<int>(c);
    }
  }
}

TEST(P14ParseSocketAddress, SaysHowLongAnAddressIsThatItDoesNotQuoteInFull) {
  const absl::StatusOr<SocketAddress> address = ParseSocketAddress(std::string(1 << 20, 'a'));
  EXPECT_TRUE(absl::StrContains(address.status().message(), "(1048576 bytes)")) << address.status();
}

TEST(P14ParseSocketAddress, FillsInAnIpv4Address) {
  const absl::StatusOr<SocketAddress> address = ParseSocketAddress("1.2.3.4:80");
  ASSERT_TRUE(address.ok()) << address.status();
  sockaddr_in in;
  ASSERT_EQ(address->length, sizeof(in));
  std::memcpy(&in, address->get(), sizeof(in));
  EXPECT_EQ(in.sin_family, AF_INET);
  EXPECT_EQ(ntohl(in.sin_addr.s_addr), 0x01020304u);
  EXPECT_EQ(ntohs(in.sin_port), 80);
}

TEST(P14ParseSocketAddress, FillsInAnIpv6Address) {
  const absl::StatusOr<SocketAddress> address = ParseSocketAddress("[2001:db8::5]:443");
  ASSERT_TRUE(address.ok()) << address.status();
  sockaddr_in6 in6;
  ASSERT_EQ(address->length, sizeof(in6));
  std::memcpy(&in6, address->get(), sizeof(in6));
  EXPECT_EQ(in6.sin6_family, AF_INET6);
  EXPECT_EQ(in6.sin6_addr.s6_addr[0], 0x20);
  EXPECT_EQ(in6.sin6_addr.s6_addr[15], 5);
  EXPECT_EQ(ntohs(in6.sin6_port), 443);
  EXPECT_EQ(in6.sin6_scope_id, 0u);
}

TEST(P14ParseSocketAddress, CountsTheNulOfAPathIntoTheLength) {
  const absl::StatusOr<SocketAddress> address = ParseSocketAddress("unix:/tmp/s");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_TRUE(SameAddress(*address, UnixAddress(std::string("/tmp/s\0", 7))));
}

TEST(P14ParseSocketAddress, CountsNoNulBehindAnAbstractName) {
  const absl::StatusOr<SocketAddress> address = ParseSocketAddress("unix:@name");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_TRUE(SameAddress(*address, UnixAddress(std::string("\0name", 5))));
}

TEST(P14SocketAddress, ReadsBackWhatItWrites) {
  for (const std::string& text : std::vector<std::string>{
           "0.0.0.0:0",
           "127.0.0.1:1",
           "10.20.30.40:9",
           "255.255.255.255:65535",
           "[::]:0",
           "[::1]:80",
           "[2001:db8::8:800:200c:417a]:65535",
           "[::ffff:1.2.3.4]:80",
           "[fe80::1]:80",
           "unix:/",
           "unix:/tmp/with space",
           "unix:/tmp/@name",
           "unix:/tmp/[::1]:80",
           "unix:@name",
           "unix:@/tmp/name",
           "unix:@@",
           "unix:@ ",
           absl::StrCat("unix:/", std::string(kMaxUnixName - 1, 'p')),
           absl::StrCat("unix:@", std::string(kMaxUnixName, 'n')),
       }) {
    SCOPED_TRACE(text);
    const absl::StatusOr<SocketAddress> address = ParseSocketAddress(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(FormatAddress(*address), text);
  }
}

TEST(P14SocketAddress, WritesAnIpv6AddressInItsShortForm) {
  const absl::StatusOr<SocketAddress> address = ParseSocketAddress("[0001:0:0:0:0:0:0:000A]:80");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(FormatAddress(*address), "[1::a]:80");
}

TEST(P14FormatSocketAddress, GivesNothingForAnUnnamedUnixSocket) {
  EXPECT_EQ(FormatAddress(UnixAddress("")), "");
  EXPECT_EQ(FormatSocketAddress(nullptr, 0), "");
  EXPECT_EQ(FormatSocketAddress(nullptr, 16), "");
}

TEST(P14FormatSocketAddress, NamesAFamilyThatItDoesNotKnow) {
  SocketAddress address;
  address.storage.ss_family = AF_NETLINK;
  address.length = sizeof(sockaddr);
  EXPECT_EQ(FormatAddress(address), absl::StrCat("family:", AF_NETLINK));
}

TEST(P14FormatSocketAddress, DoesNotReadAnAddressThatIsCutOff) {
  SocketAddress ipv4 = *ParseSocketAddress("1.2.3.4:80");
  ipv4.length = sizeof(sockaddr_in) - 1;
  EXPECT_EQ(FormatAddress(ipv4), absl::StrCat("family:", AF_INET));
  SocketAddress ipv6 = *ParseSocketAddress("[::1]:80");
  ipv6.length = sizeof(sockaddr_in6) - 1;
  EXPECT_EQ(FormatAddress(ipv6), absl::StrCat("family:", AF_INET6));
  for (socklen_t length : {0u, 1u}) EXPECT_EQ(FormatSocketAddress(ipv4.get(), length), "");
}

TEST(P14FormatSocketAddress, EndsAPathAtItsNulOrAtTheEndOfTheAddress) {
  EXPECT_EQ(FormatAddress(UnixAddress(std::string("/a\0b", 4))), "unix:/a");
  EXPECT_EQ(FormatAddress(UnixAddress("/a")), "unix:/a");
  // getsockname(2) counts a NUL behind a path that fills sun_path: one more than the structure holds.
  SocketAddress full = UnixAddress(absl::StrCat("/", std::string(kMaxUnixName, 'p')));
  ++full.length;
  EXPECT_EQ(FormatAddress(full), absl::StrCat("unix:/", std::string(kMaxUnixName, 'p')));
}

TEST(P14FormatSocketAddress, DoesNotLetAFileLookLikeAnAbstractName) {
  EXPECT_EQ(FormatAddress(UnixAddress("@name")), "unix:./@name");
}

TEST(P14FormatSocketAddress, KeepsEveryByteOfAnAbstractName) {
  EXPECT_EQ(FormatAddress(UnixAddress(std::string("\0a\0b\0", 5))), std::string("unix:@a\0b\0", 10));
}

TEST(P14FormatSocketAddress, KeepsAScopeIdSoThatItNamesNoOtherHost) {
  SocketAddress address = *ParseSocketAddress("[fe80::1]:80");
  sockaddr_in6 in6;
  std::memcpy(&in6, &address.storage, sizeof(in6));
  in6.sin6_scope_id = 2;
  std::memcpy(&address.storage, &in6, sizeof(in6));
  EXPECT_EQ(FormatAddress(address), "[fe80::1%2]:80");
}

TEST(P14SocketAddress, WhateverTheBytesAreTheTextNamesTheSameAddressOrNone) {
  std::mt19937 random(14);
  const sa_family_t families[] = {AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, 0xffff};
  std::map<sa_family_t, int> named;
  for (int round = 0; round < 40000; ++round) {
    // On the heap and as long as claimed, so that AddressSanitizer sees a read behind it.
    const size_t length = random() % 160;
    std::vector<char> bytes(length);
    for (char& byte : bytes) byte = static_cast<char>(random() % 4 == 0 ? 0 : random());
    const sa_family_t family = families[random() % std::size(families)];
    if (length >= sizeof(family)) std::memcpy(bytes.data(), &family, sizeof(family));
    // Half of the Unix addresses begin as one that can be named, and so do IPv6 addresses: no flow label, no scope id.
    if (family == AF_UNIX && length > kUnixHeaderSize && random() % 2 == 0) bytes[kUnixHeaderSize] = '/';
    if (family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
      std::memset(bytes.data() + offsetof(sockaddr_in6, sin6_flowinfo), 0, sizeof(sockaddr_in6::sin6_flowinfo));
      if (random() % 2 == 0) std::memset(bytes.data() + offsetof(sockaddr_in6, sin6_scope_id), 0, sizeof(uint32_t));
    }
    const std::string text = FormatSocketAddress(reinterpret_cast<const sockaddr*>(bytes.data()), static_cast<socklen_t>(length));
    const absl::StatusOr<SocketAddress> again = ParseSocketAddress(text);
    if (!again.ok()) continue;
    ++named[family];
    ASSERT_LE(NamedSize(*again), length);
    EXPECT_EQ(std::memcmp(&again->storage, bytes.data(), NamedSize(*again)), 0) << text;
  }
  EXPECT_GT(named[AF_INET], 1000);
  EXPECT_GT(named[AF_INET6], 100);
  EXPECT_GT(named[AF_UNIX], 100);
}

TEST(P14SocketAddress, WhateverTheTextIsItIsRefusedOrReadBackAsTheSame) {
  const std::string alphabet("0123456789.:[]@/%ux \0", 21);
  std::mt19937 random(15);
  const char* const starts[] = {"", "unix:", "unix:@", "unix:/", "[::", "1.2.3.", "[::1]:"};
  int accepted = 0;
  for (int round = 0; round < 50000; ++round) {
    std::string text = starts[random() % std::size(starts)];
    const size_t more = random() % 12;
    for (size_t i = 0; i < more; ++i) text += alphabet[random() % alphabet.size()];
    const absl::StatusOr<SocketAddress> address = ParseSocketAddress(text);
    if (!address.ok()) continue;
    ++accepted;
    const absl::StatusOr<SocketAddress> again = ParseSocketAddress(FormatAddress(*address));
    ASSERT_TRUE(again.ok()) << text;
    EXPECT_TRUE(SameAddress(*address, *again)) << text;
  }
  EXPECT_GT(accepted, 1000);
}

// The kernel's own reading of the lengths, which a test of our bytes against our bytes would not notice.
TEST(P14SocketAddress, AgreesWithTheKernel) {
  const std::string name = absl::StrCat("agentos_socket_address_test_", getpid());
  // Not under TEST_TMPDIR, whose path is often longer than sun_path.
  const std::string file = absl::StrCat("/tmp/", name);
  const std::string longest = absl::StrCat(name, std::string(kMaxUnixName - name.size(), 'n'));
  for (const std::string& text :
       {absl::StrCat("unix:@", name), absl::StrCat("unix:@", longest), absl::StrCat("unix:", file), std::string("127.0.0.1:0")}) {
    SCOPED_TRACE(text);
    const absl::StatusOr<SocketAddress> address = ParseSocketAddress(text);
    ASSERT_TRUE(address.ok()) << address.status();
    const int fd = socket(address->get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_GE(fd, 0);
    EXPECT_EQ(bind(fd, address->get(), address->length), 0) << std::strerror(errno);
    SocketAddress bound;
    bound.length = sizeof(bound.storage);
    EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&bound.storage), &bound.length), 0);
    const std::string formatted = FormatAddress(bound);
    if (absl::StartsWith(text, "unix:")) {
      EXPECT_EQ(formatted, text);
    } else {
      EXPECT_TRUE(absl::StartsWith(formatted, "127.0.0.1:") && ParseSocketAddress(formatted).ok()) << formatted;
    }
    close(fd);
    unlink(file.c_str());
  }
}

}  // namespace
}  // namespace agentos
