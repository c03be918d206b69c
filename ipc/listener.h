// How two processes that know a name find each other: one listens, the other one connects.
//
// An address is "unix:@name", which is in no file system and gone with the listener however that ends, or "unix:/path", whose
// file a listener that is killed leaves behind.
//
// Thread rule: any thread; several may accept at a time, as each of them waits for its own peer's handshake.
// Lifetime: channels outlive their listener.
// Errors: InvalidArgument for an address that is not Unix's; AlreadyExists when somebody listens there or the file exists;
// Unavailable when nobody listens; DeadlineExceeded when nobody comes; else Channel::OverSocket's, after which Accept can be
// called again.
// Source: unix(7).
//
//   absl::StatusOr<std::unique_ptr<ipc::Listener>> listener = ipc::Listen("unix:@agents");
//   absl::StatusOr<std::unique_ptr<ipc::Channel>> here = (*listener)->Accept();
//   absl::StatusOr<std::unique_ptr<ipc::Channel>> there = ipc::Connect("unix:@agents");  // in the other process

#ifndef AGENTOS_IPC_LISTENER_H_
#define AGENTOS_IPC_LISTENER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agentos/ipc/channel.h"
#include "agentos/ipc/channel_options.h"
#include "agentos/ring/unique_fd.h"

namespace agentos::ipc {

class Listener {
 public:
  // Removes the file of a "unix:/path".
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  absl::StatusOr<std::unique_ptr<Channel>> Accept(absl::Duration timeout = absl::InfiniteDuration());
  // Readable when Accept would find somebody.
  int fd() const { return socket_.get(); }

 private:
  friend absl::StatusOr<std::unique_ptr<Listener>> Listen(absl::string_view address, const ChannelOptions& options);

  Listener(UniqueFd socket, std::string path, ChannelOptions options);

  const UniqueFd socket_;
  // "" without a file.
  const std::string path_;
  const pid_t process_;
  const ChannelOptions options_;
};

// The options are those of this side of every channel.
absl::StatusOr<std::unique_ptr<Listener>> Listen(absl::string_view address, const ChannelOptions& options = {});
absl::StatusOr<std::unique_ptr<Channel>> Connect(absl::string_view address, const ChannelOptions& options = {});

}  // namespace agentos::ipc

#endif  // AGENTOS_IPC_LISTENER_H_
