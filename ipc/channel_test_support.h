// What the tests of channels share: a peer in a process of its own.
//
// Thread rule: one thread, and no other in the process when a peer is started.
//
//   Peer peer([](ipc::Channel& channel) { ...; return std::string(); });
//   std::unique_ptr<ipc::Channel> channel = peer.Connect();
//   ...
//   EXPECT_EQ(peer.AwaitEnd(), "");

#ifndef AGENTOS_IPC_CHANNEL_TEST_SUPPORT_H_
#define AGENTOS_IPC_CHANNEL_TEST_SUPPORT_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "agentos/ipc/channel.h"
#include "agentos/ipc/channel_options.h"
#include "agentos/testing/test_support.h"

namespace agentos::ipc {

// Small, so that tests meet its bounds: four messages, two small buffers and one large one.
ChannelOptions SmallOptions();

class Peer {
 public:
  // "" or what went wrong.
  using Body = std::function<std::string(Channel&)>;
  using RawBody = std::function<std::string(int socket)>;

  // Runs `body` in a forked process.
  explicit Peer(const Body& body, const ChannelOptions& options = SmallOptions());
  static std::unique_ptr<Peer> WithSocket(const RawBody& body);
  // Kills what still runs.
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // Null, with the reason in why(), when the two do not agree.
  std::unique_ptr<Channel> Connect(const ChannelOptions& options = SmallOptions());
  const absl::Status& why() const { return why_; }

  void Kill();
  // What the body answered, or how it died.
  std::string AwaitEnd();
  pid_t pid() const { return pid_; }

 private:
  Peer() = default;
  void Start(const RawBody& body);

  Fd socket_;
  Fd said_;
  pid_t pid_ = -1;
  absl::Status why_;
};

}  // namespace agentos::ipc

#endif  // AGENTOS_IPC_CHANNEL_TEST_SUPPORT_H_
