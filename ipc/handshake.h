// How two processes get to know each other over a Unix socket, before anything is shared: who they are, and what memory they
// have.
//
// Each side sends a hello with the shape of its memory and the descriptors of it, checks the other one's, and then says whether
// it agrees. Nothing of the peer is mapped before its hello has been checked; who it is says the kernel, not the peer.
//
// Thread rule: any thread; a socket belongs to one thread.
// Units: deadlines as in futex.h.
// Errors: PermissionDenied for a process of a user who may not connect; FailedPrecondition for another version, for what is no
// peer of this kind, and for a peer that refuses (its reason is named); DeadlineExceeded; Unavailable when the peer went away.
// Source: unix(7) (SCM_RIGHTS, SCM_CREDENTIALS, SO_PEERCRED), pidfd_open(2).
//
//   absl::StatusOr<PeerHello> hello = ExchangeHellos(socket, mine, {getuid()}, deadline);
//   absl::Status agreed = ExchangeVerdicts(socket, Map(*hello), deadline);

#ifndef AGENTOS_IPC_HANDSHAKE_H_
#define AGENTOS_IPC_HANDSHAKE_H_

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/ipc/message_queue.h"
#include "agentos/ipc/pool_layout.h"
#include "agentos/ring/unique_fd.h"

namespace agentos::ipc {

inline constexpr uint32_t kProtocolVersion = 1;

// As the kernel tells it.
struct PeerIdentity {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

struct OwnHello {
  const PoolLayout* layout = nullptr;
  // What the words of this side's buffers call it.
  uint32_t owner = 0;
  QueueShape queue;
  int data_fd = -1;
  int ledger_fd = -1;
  int queue_fd = -1;
};

struct PeerHello {
  PeerIdentity identity;
  UniqueFd pidfd;
  PoolLayout layout;
  uint32_t owner = 0;
  QueueShape queue;
  UniqueFd data_fd;
  UniqueFd ledger_fd;
  UniqueFd queue_fd;
};

// Makes the socket tell who sends. Before the peer can send: of a listening socket, or before connect(2).
absl::Status AskForCredentials(int socket);

absl::StatusOr<PeerHello> ExchangeHellos(int socket, const OwnHello& own, const std::vector<uid_t>& allowed_uids,
                                         int64_t deadline);

// OK when both sides are.
absl::Status ExchangeVerdicts(int socket, const absl::Status& own, int64_t deadline);

// Returns when the descriptor is readable.
absl::Status AwaitReadable(int fd, int64_t deadline, const char* what);

}  // namespace agentos::ipc

#endif  // AGENTOS_IPC_HANDSHAKE_H_
