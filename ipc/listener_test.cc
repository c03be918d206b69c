#include "agentos/ipc/listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/ipc/channel.h"
#include "agentos/ipc/channel_options.h"
#include "agentos/ipc/channel_test_support.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos::ipc {
namespace {

std::string Name(const char* name) { return absl::StrCat("unix:@agentos-listener-test-", getpid(), "-", name); }

TEST(ListenerTest, AnotherProcessConnectsByName) {
  const std::string address = Name("connect");
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listen(address, SmallOptions());
  ASSERT_TRUE(listener.ok()) << listener.status();
  const std::unique_ptr<Peer> peer = Peer::WithSocket([&address](int) -> std::string {
    absl::StatusOr<std::unique_ptr<Channel>> channel = Connect(address, SmallOptions());
    if (!channel.ok()) return channel.status().ToString();
    if ((*channel)->peer().pid != getppid()) return "not the parent";
    if (absl::Status sent = (*channel)->Send("hello"); !sent.ok()) return sent.ToString();
    return std::string((*channel)->Receive()->view());
  });
  absl::StatusOr<std::unique_ptr<Channel>> channel = (*listener)->Accept();
  ASSERT_TRUE(channel.ok()) << channel.status();
  EXPECT_EQ((*channel)->peer().pid, peer->pid());
  // A channel needs its listener no more.
  listener->reset();
  EXPECT_EQ((*channel)->Receive()->view(), "hello");
  EXPECT_TRUE((*channel)->Send("goodbye").ok());
  EXPECT_EQ(peer->AwaitEnd(), "goodbye");
}

TEST(ListenerTest, APathIsThereWhileItIsListenedAt) {
  TempDir dir;
  // The directory by its descriptor, as its name may be too long for an address.
  const Fd directory(open(dir.Path("").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const std::string path = absl::StrCat("/proc/self/fd/", directory.get(), "/socket");
  {
    absl::StatusOr<std::unique_ptr<Listener>> listener = Listen("unix:" + path, SmallOptions());
    ASSERT_TRUE(listener.ok()) << listener.status();
    EXPECT_EQ(access(path.c_str(), F_OK), 0);
    EXPECT_TRUE(Refused(Listen("unix:" + path).status(), absl::StatusCode::kAlreadyExists, {path}));
    std::thread client([&path] { EXPECT_TRUE(Connect("unix:" + path, SmallOptions()).ok()); });
    EXPECT_TRUE((*listener)->Accept().ok());
    client.join();
    EXPECT_EQ(RunInChild([&listener] {
                listener->reset();
                return std::string();
              }),
              "");
    EXPECT_EQ(access(path.c_str(), F_OK), 0) << "a child's copy removes nothing";
  }
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

TEST(ListenerTest, AddressesThatAreNotUnixAreRefused) {
  for (const char* address : {"127.0.0.1:80", "[::1]:80", "unix:", "@name", ""}) {
    EXPECT_TRUE(Refused(Listen(address).status(), absl::StatusCode::kInvalidArgument, {"address"})) << address;
    EXPECT_TRUE(Refused(Connect(address).status(), absl::StatusCode::kInvalidArgument, {"address"})) << address;
  }
}

TEST(ListenerTest, NobodyThereIsSaidAtOnce) {
  EXPECT_TRUE(Refused(Connect(Name("nobody")).status(), absl::StatusCode::kUnavailable, {"nobody listens"}));
  EXPECT_TRUE(Refused(Connect("unix:/no/such/socket").status(), absl::StatusCode::kUnavailable, {"nobody listens"}));
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listen(Name("lonely"));
  ASSERT_TRUE(listener.ok());
  EXPECT_TRUE(Refused((*listener)->Accept(absl::Milliseconds(1)).status(), absl::StatusCode::kDeadlineExceeded));
}

TEST(ListenerTest, WhoeverSaysNothingIsGivenUpAndTheNextOneIsAccepted) {
  const std::string address = Name("silent");
  ChannelOptions options = SmallOptions();
  options.handshake_timeout = absl::Milliseconds(20);
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listen(address, options);
  ASSERT_TRUE(listener.ok());
  const Fd silent(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_storage name{};
  socklen_t size = sizeof(name);
  ASSERT_EQ(getsockname((*listener)->fd(), reinterpret_cast<sockaddr*>(&name), &size), 0);
  ASSERT_EQ(connect(silent.get(), reinterpret_cast<sockaddr*>(&name), size), 0);
  EXPECT_TRUE(Refused((*listener)->Accept().status(), absl::StatusCode::kDeadlineExceeded, {"hello"}));
  std::thread client([&address] { EXPECT_TRUE(Connect(address, SmallOptions()).ok()); });
  absl::StatusOr<std::unique_ptr<Channel>> channel = (*listener)->Accept();
  client.join();
}

TEST(ListenerTest, AConnectionThatNobodyAcceptsTimesOut) {
  const std::string address = Name("busy");
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listen(address);
  ASSERT_TRUE(listener.ok());
  ChannelOptions options = SmallOptions();
  options.handshake_timeout = absl::Milliseconds(1);
  EXPECT_TRUE(Refused(Connect(address, options).status(), absl::StatusCode::kDeadlineExceeded));
}

}  // namespace
}  // namespace agentos::ipc
