#include "agentos/ipc/listener.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "agentos/ipc/futex.h"
#include "agentos/ipc/handshake.h"
#include "agentos/ring/socket_address.h"

namespace agentos::ipc {

namespace {

constexpr int kBacklog = 128;

absl::StatusOr<SocketAddress> ParseUnixAddress(absl::string_view address) {
  absl::StatusOr<SocketAddress> parsed = ParseSocketAddress(address);
  if (parsed.ok() && parsed->get()->sa_family != AF_UNIX) {
    return absl::InvalidArgumentError(
        absl::StrCat("address \"", address, "\": memory is shared over \"unix:@name\" or \"unix:/path\" only"));
  }
  return parsed;
}

absl::StatusOr<UniqueFd> MakeSocket(int flags) {
  UniqueFd made(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0));
  if (!made) return absl::ErrnoToStatus(errno, "socket");
  if (absl::Status status = AskForCredentials(made.get()); !status.ok()) return status;
  return made;
}

}  // namespace

Listener::Listener(UniqueFd socket, std::string path, ChannelOptions options)
    : socket_(std::move(socket)), path_(std::move(path)), process_(getpid()), options_(std::move(options)) {}

Listener::~Listener() {
  // A forked child's copy leaves the parent's file alone.
  if (!path_.empty() && getpid() == process_) unlink(path_.c_str());
}

absl::StatusOr<std::unique_ptr<Listener>> Listen(absl::string_view address, const ChannelOptions& options) {
  absl::StatusOr<SocketAddress> parsed = ParseUnixAddress(address);
  if (!parsed.ok()) return parsed.status();
  absl::StatusOr<UniqueFd> made = MakeSocket(SOCK_NONBLOCK);
  if (!made.ok()) return made.status();
  if (bind(made->get(), parsed->get(), parsed->length) != 0) {
    if (errno == EADDRINUSE) {
      return absl::AlreadyExistsError(absl::StrCat("address \"", address, "\" is in use, or is a file that a listener has left"));
    }
    return absl::ErrnoToStatus(errno, absl::StrCat("bind to \"", address, "\""));
  }
  const absl::string_view name = absl::StripPrefix(address, "unix:");
  auto listener = absl::WrapUnique(new Listener(*std::move(made), name[0] == '@' ? "" : std::string(name), options));
  if (listen(listener->fd(), kBacklog) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("listen at \"", address, "\""));
  return listener;
}

absl::StatusOr<std::unique_ptr<Channel>> Listener::Accept(absl::Duration timeout) {
  const int64_t deadline = DeadlineAfter(timeout);
  for (;;) {
    if (absl::Status status = AwaitReadable(socket_.get(), deadline, "nobody connects"); !status.ok()) return status;
    const int accepted = accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (accepted >= 0) return Channel::OverSocket(accepted, options_);
    // Another thread was faster, or the peer has gone again.
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) return absl::ErrnoToStatus(errno, "accept4");
  }
}

absl::StatusOr<std::unique_ptr<Channel>> Connect(absl::string_view address, const ChannelOptions& options) {
  absl::StatusOr<SocketAddress> parsed = ParseUnixAddress(address);
  if (!parsed.ok()) return parsed.status();
  absl::StatusOr<UniqueFd> made = MakeSocket(0);
  if (!made.ok()) return made.status();
  // What bounds connect(2) when the listener's backlog is full; zero would be no bound.
  const timeval patience = absl::ToTimeval(std::max(options.handshake_timeout, absl::Milliseconds(1)));
  if (setsockopt(made->get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0)
    return absl::ErrnoToStatus(errno, "SO_SNDTIMEO");
  if (connect(made->get(), parsed->get(), parsed->length) != 0) {
    if (errno == ECONNREFUSED || errno == ENOENT)
      return absl::UnavailableError(absl::StrCat("nobody listens at \"", address, "\""));
    if (errno == EAGAIN) return absl::DeadlineExceededError(absl::StrCat("nobody accepts at \"", address, "\""));
    return absl::ErrnoToStatus(errno, absl::StrCat("connect to \"", address, "\""));
  }
  return Channel::OverSocket(made->Release(), options);
}

}  // namespace agentos::ipc
