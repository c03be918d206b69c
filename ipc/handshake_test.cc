#include "agentos/ipc/handshake.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/ipc/channel.h"
#include "agentos/ipc/channel_options.h"
#include "agentos/ipc/channel_test_support.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos::ipc {
namespace {

// An honest peer's hello, caught on its way, to be changed and sent on: the bytes and the descriptors.
struct Caught {
  std::string bytes;
  std::vector<Fd> fds;
};

Caught Catch(int socket) {
  Caught caught;
  caught.bytes.resize(1024);
  alignas(cmsghdr) char control[256] = {};
  iovec content = {caught.bytes.data(), caught.bytes.size()};
  msghdr message{};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  EXPECT_GT(size, 0);
  caught.bytes.resize(size > 0 ? static_cast<size_t>(size) : 0);
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_type != SCM_RIGHTS) continue;
    for (size_t i = 0; i + sizeof(int) <= header->cmsg_len - CMSG_LEN(0); i += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i, sizeof(fd));
      caught.fds.emplace_back(fd);
    }
  }
  return caught;
}

void SendOn(int socket, const Caught& caught) {
  alignas(cmsghdr) char control[256] = {};
  // One byte at least, or nothing is sent.
  std::string bytes = caught.bytes;
  iovec content = {bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  if (!caught.fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(caught.fds.size() * sizeof(int));
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    *header = {.cmsg_len = CMSG_LEN(caught.fds.size() * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    for (size_t i = 0; i < caught.fds.size(); ++i) {
      const int fd = caught.fds[i].get();
      std::memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof(fd));
    }
  }
  EXPECT_EQ(sendmsg(socket, &message, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

// What a channel says to a hello that was changed; what the honest maker of it says to the refusal.
struct Refusal {
  absl::Status here;
  absl::Status there;
};

Refusal AfterChange(const std::function<void(Caught&)>& change, const ChannelOptions& options = SmallOptions()) {
  Refusal refusal;
  Pair honest = MakeSocketPair(SOCK_SEQPACKET);
  Pair victim = MakeSocketPair(SOCK_SEQPACKET);
  // What is sent on has no credentials said out loud, as an honest hello has.
  EXPECT_TRUE(AskForCredentials(honest.first.get()).ok() && AskForCredentials(victim.first.get()).ok());
  std::thread maker([&] { refusal.there = Channel::OverSocket(dup(honest.first.get()), SmallOptions()).status(); });
  std::thread target([&] { refusal.here = Channel::OverSocket(dup(victim.first.get()), options).status(); });
  Caught hello = Catch(honest.second.get());
  change(hello);
  SendOn(victim.second.get(), hello);
  SendOn(honest.second.get(), Catch(victim.second.get()));
  target.join();
  // The victim's verdict, and then its end.
  SendOn(honest.second.get(), Catch(victim.second.get()));
  maker.join();
  return refusal;
}

template <typename T>
void Put(Caught& hello, size_t offset, T value) {
  ASSERT_LE(offset + sizeof(value), hello.bytes.size());
  std::memcpy(hello.bytes.data() + offset, &value, sizeof(value));
}

TEST(HandshakeTest, AnotherVersionIsNamedOnBothSides) {
  const Refusal refusal = AfterChange([](Caught& hello) { Put(hello, 8, kProtocolVersion + 1); });
  EXPECT_TRUE(Refused(refusal.here, absl::StatusCode::kFailedPrecondition, {"version 2", "version 1"}));
  EXPECT_TRUE(Refused(refusal.there, absl::StatusCode::kFailedPrecondition, {"the peer refuses", "version 2"}));
}

TEST(HandshakeTest, WhatIsNoHelloIsRefused) {
  EXPECT_TRUE(Refused(AfterChange([](Caught& hello) { Put(hello, 0, uint64_t{0}); }).here, absl::StatusCode::kFailedPrecondition,
                      {"no peer of this kind"}));
  EXPECT_TRUE(Refused(AfterChange([](Caught& hello) { hello.bytes = "x"; }).here, absl::StatusCode::kFailedPrecondition,
                      {"no peer of this kind"}));
  EXPECT_TRUE(Refused(AfterChange([](Caught& hello) { hello.bytes.pop_back(); }).here, absl::StatusCode::kFailedPrecondition,
                      {"wrong size"}));
  EXPECT_TRUE(Refused(AfterChange([](Caught& hello) { hello.bytes += "x"; }).here, absl::StatusCode::kFailedPrecondition,
                      {"wrong size"}));
}

TEST(HandshakeTest, ThreeDescriptorsAreNeededNoFewerAndNoMore) {
  const size_t before = OpenFds();
  EXPECT_TRUE(Refused(AfterChange([](Caught& hello) { hello.fds.pop_back(); }).here, absl::StatusCode::kFailedPrecondition,
                      {"three descriptors"}));
  EXPECT_TRUE(Refused(AfterChange([](Caught& hello) { hello.fds.clear(); }).here, absl::StatusCode::kFailedPrecondition));
  for (const int more : {1, 20}) {
    const auto add = [more](Caught& hello) {
      for (int i = 0; i < more; ++i) hello.fds.emplace_back(dup(hello.fds[0].get()));
    };
    EXPECT_TRUE(Refused(AfterChange(add).here, absl::StatusCode::kFailedPrecondition, {"three descriptors"})) << more;
  }
  EXPECT_EQ(OpenFds(), before) << "what was refused is closed";
}

TEST(HandshakeTest, MemoryThatIsNotSealedIsRefusedOnBothSides) {
  for (size_t which = 0; which < 3; ++which) {
    const Refusal refusal = AfterChange([which](Caught& hello) {
      const int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
      ASSERT_EQ(ftruncate(fd, lseek(hello.fds[which].get(), 0, SEEK_END)), 0);
      hello.fds[which] = Fd(fd);
    });
    EXPECT_TRUE(Refused(refusal.here, absl::StatusCode::kFailedPrecondition, {"not sealed"})) << which;
    EXPECT_TRUE(Refused(refusal.there, absl::StatusCode::kFailedPrecondition, {"the peer refuses", "not sealed"})) << which;
  }
}

TEST(HandshakeTest, DescriptorsInTheWrongPlaceAreRefused) {
  EXPECT_FALSE(AfterChange([](Caught& hello) { std::swap(hello.fds[0], hello.fds[1]); }).here.ok());
}

TEST(HandshakeTest, ShapesThatCannotBeAreRefused) {
  constexpr size_t kCapacity = 16;
  constexpr size_t kSlotSize = 20;
  constexpr size_t kClasses = 24;
  constexpr size_t kFirstSize = 32;
  constexpr size_t kFirstCount = 40;
  const auto refused = [](size_t offset, auto value) {
    return Refused(AfterChange([=](Caught& hello) { Put(hello, offset, value); }).here, absl::StatusCode::kFailedPrecondition);
  };
  for (const uint32_t capacity : {0u, 3u, ~0u}) EXPECT_TRUE(refused(kCapacity, capacity));
  for (const uint32_t slot_size : {0u, 64u, 256u, ~0u}) EXPECT_TRUE(refused(kSlotSize, slot_size));
  for (const uint32_t classes : {0u, 9u, ~0u}) EXPECT_TRUE(refused(kClasses, classes));
  for (const uint64_t size : {uint64_t{0}, ~uint64_t{0}, uint64_t{1} << 62}) EXPECT_TRUE(refused(kFirstSize, size));
  for (const uint64_t count : {uint64_t{0}, ~uint64_t{0}, uint64_t{1} << 32 | 2}) EXPECT_TRUE(refused(kFirstCount, count));
}

TEST(HandshakeTest, AnotherShapeThanTheMemoryHasIsRefused) {
  EXPECT_FALSE(AfterChange([](Caught& hello) { Put(hello, 16, uint32_t{64}); }).here.ok()) << "a longer queue";
  EXPECT_FALSE(AfterChange([](Caught& hello) { Put(hello, 40, uint64_t{3}); }).here.ok()) << "one buffer more";
}

TEST(HandshakeTest, OnlyUsersThatAreAllowedConnect) {
  ChannelOptions options = SmallOptions();
  options.allowed_uids = {geteuid() + 1};
  const Refusal refusal = AfterChange([](Caught&) {}, options);
  EXPECT_TRUE(Refused(refusal.here, absl::StatusCode::kPermissionDenied, {absl::StrCat("user ", geteuid()), "may not connect"}));
  EXPECT_TRUE(Refused(refusal.there, absl::StatusCode::kFailedPrecondition, {"the peer refuses", "may not connect"}));
}

TEST(HandshakeTest, AnotherUserIsSeenThroughAnInheritedSocket) {
  if (RunInChild([] { return std::string(setuid(12345) == 0 ? "" : "no"); }) != "") GTEST_SKIP() << "nobody else can be had here";
  const std::unique_ptr<Peer> peer = Peer::WithSocket([](int socket) -> std::string {
    ChannelOptions options = SmallOptions();
    options.allowed_uids = {geteuid()};
    if (setuid(12345) != 0) return "setuid";
    return std::string(Channel::OverSocket(socket, options).status().message());
  });
  EXPECT_EQ(peer->Connect(), nullptr);
  EXPECT_TRUE(Refused(peer->why(), absl::StatusCode::kPermissionDenied, {"user 12345"}));
  EXPECT_TRUE(absl::StrContains(peer->AwaitEnd(), "user 12345"));
}

TEST(HandshakeTest, APeerThatGoesAwayIsUnavailable) {
  Pair sockets = MakeSocketPair(SOCK_SEQPACKET);
  sockets.second.Reset();
  EXPECT_TRUE(Refused(Channel::OverSocket(dup(sockets.first.get())).status(), absl::StatusCode::kUnavailable, {"went away"}));
}

}  // namespace
}  // namespace agentos::ipc
