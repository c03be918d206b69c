#include "agentos/ipc/channel_test_support.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace agentos::ipc {

ChannelOptions SmallOptions() {
  ChannelOptions options;
  options.pool.classes = {{4096, 2}, {65536, 1}};
  options.queue_capacity = 4;
  // So that tests sleep, which is where wake-ups can be lost.
  options.spin = absl::ZeroDuration();
  options.handshake_timeout = absl::Minutes(1);
  return options;
}

Peer::Peer(const Body& body, const ChannelOptions& options) {
  Start([&body, &options](int socket) {
    absl::StatusOr<std::unique_ptr<Channel>> channel = Channel::OverSocket(socket, options);
    return channel.ok() ? body(**channel) : channel.status().ToString();
  });
}

std::unique_ptr<Peer> Peer::WithSocket(const RawBody& body) {
  std::unique_ptr<Peer> peer = absl::WrapUnique(new Peer());
  peer->Start(body);
  return peer;
}

void Peer::Start(const RawBody& body) {
  Pair sockets = MakeSocketPair(SOCK_SEQPACKET);
  Pair pipe = MakePipe();
  pid_ = fork();
  ASSERT_GE(pid_, 0);
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sockets.first.Reset();
    pipe.first.Reset();
    const std::string said = body(dup(sockets.second.get()));
    const bool written = write(pipe.second.get(), said.data(), said.size()) == static_cast<ssize_t>(said.size());
    _exit(written ? 0 : 99);
  }
  socket_ = std::move(sockets.first);
  said_ = std::move(pipe.first);
}

Peer::~Peer() {
  if (pid_ > 0) {
    Kill();
    AwaitEnd();
  }
}

std::unique_ptr<Channel> Peer::Connect(const ChannelOptions& options) {
  absl::StatusOr<std::unique_ptr<Channel>> channel = Channel::OverSocket(dup(socket_.get()), options);
  socket_.Reset();
  why_ = channel.status();
  return channel.ok() ? *std::move(channel) : nullptr;
}

void Peer::Kill() { kill(pid_, SIGKILL); }

std::string Peer::AwaitEnd() {
  std::string said = ReadAll(said_.get(), size_t{1} << 20);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (WIFSIGNALED(status)) absl::StrAppend(&said, "killed by ", strsignal(WTERMSIG(status)));
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) absl::StrAppend(&said, "exit code ", WEXITSTATUS(status));
  return said;
}

}  // namespace agentos::ipc
