#include "agentos/ipc/handshake.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "agentos/ipc/futex.h"
#include "agentos/ipc/steps.h"
#include "agentos/ring/monotonic_clock.h"

namespace agentos::ipc {

namespace {

// Of Linux 6.5, newer than the headers.
constexpr int kPassPidfd = 76;   // SO_PASSPIDFD
constexpr int kScmPidfd = 0x04;  // SCM_PIDFD
constexpr size_t kDescriptors = 3;
// More than is ever sent, so that too many of them are seen and not cut off.
constexpr size_t kMaxDescriptors = 8;

constexpr uint64_t kMagic = 0x31637069736f6761;  // "agosipc1"

struct HelloMessage {
  uint64_t magic;
  uint32_t version;
  uint32_t owner;
  uint32_t queue_capacity;
  uint32_t queue_slot_size;
  uint32_t class_count;
  uint32_t reserved;
  struct {
    uint64_t size;
    uint64_t count;
  } classes[PoolLayout::kMaxClasses];
};

struct VerdictMessage {
  uint64_t magic;
  uint32_t agreed;
  char reason[220];
};

absl::Status PeerWentAway() { return absl::UnavailableError("the peer went away during the handshake"); }

absl::Status SendHello(int socket, const OwnHello& own) {
  HelloMessage hello{};
  hello.magic = kMagic;
  hello.version = kProtocolVersion;
  hello.owner = own.owner;
  hello.queue_capacity = own.queue.capacity;
  hello.queue_slot_size = own.queue.slot_size;
  for (const SizeClass& each : own.layout->classes()) hello.classes[hello.class_count++] = {each.size, each.count};

  const int fds[kDescriptors] = {own.data_fd, own.ledger_fd, own.queue_fd};
  const ucred who = {getpid(), geteuid(), getegid()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(fds)) + CMSG_SPACE(sizeof(who))] = {};
  iovec content = {&hello, sizeof(hello)};
  msghdr message{};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  *header = {.cmsg_len = CMSG_LEN(sizeof(fds)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  std::memcpy(CMSG_DATA(header), fds, sizeof(fds));
  header = CMSG_NXTHDR(&message, header);
  // Said out loud, as the kernel adds it by itself only for a socket that has asked for it already.
  *header = {.cmsg_len = CMSG_LEN(sizeof(who)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS};
  std::memcpy(CMSG_DATA(header), &who, sizeof(who));
  if (sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(hello)) return absl::OkStatus();
  return errno == EPIPE || errno == ECONNRESET ? PeerWentAway() : absl::ErrnoToStatus(errno, "sendmsg of the hello");
}

// What came with a message beside its bytes. Whatever is not taken out of it is closed.
struct Attached {
  std::vector<UniqueFd> fds;
  UniqueFd pidfd;
  std::optional<ucred> sender;
};

Attached TakeAttached(msghdr& message) {
  Attached attached;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    const size_t size = header->cmsg_len - CMSG_LEN(0);
    if (header->cmsg_type == SCM_RIGHTS || header->cmsg_type == kScmPidfd) {
      for (size_t i = 0; i + sizeof(int) <= size; i += sizeof(int)) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(header) + i, sizeof(fd));
        if (header->cmsg_type == kScmPidfd) {
          attached.pidfd = UniqueFd(fd);
        } else {
          attached.fds.emplace_back(fd);
        }
      }
    } else if (header->cmsg_type == SCM_CREDENTIALS && size == sizeof(ucred)) {
      attached.sender.emplace();
      std::memcpy(&*attached.sender, CMSG_DATA(header), sizeof(ucred));
    }
  }
  return attached;
}

absl::Status ReceiveHello(int socket, HelloMessage& hello, Attached& attached) {
  alignas(
      cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int)) + CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int))] = {};
  iovec content = {&hello, sizeof(hello)};
  msghdr message{};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t size = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size <= 0) return PeerWentAway();
  attached = TakeAttached(message);
  if (static_cast<size_t>(size) < sizeof(hello.magic) + sizeof(hello.version) || hello.magic != kMagic) {
    return absl::FailedPreconditionError("the other end is no peer of this kind: its first message is no hello");
  }
  if (hello.version != kProtocolVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("the peer speaks version ", hello.version, " of the protocol, this side version ", kProtocolVersion));
  }
  if (size != sizeof(hello) || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || attached.fds.size() != kDescriptors) {
    return absl::FailedPreconditionError("the peer's hello has the wrong size, or not three descriptors with it");
  }
  return absl::OkStatus();
}

absl::StatusOr<PeerIdentity> Identify(int socket, const std::optional<ucred>& sender, const std::vector<uid_t>& allowed_uids) {
  ucred connected{};
  socklen_t size = sizeof(connected);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &connected, &size) != 0) return absl::ErrnoToStatus(errno, "SO_PEERCRED");
  if (!sender.has_value() || sender->pid <= 0) return absl::PermissionDeniedError("the kernel does not say who the peer is");
  // Both who connected and who speaks: a socket can be inherited or passed on.
  for (const uid_t uid : {connected.uid, sender->uid}) {
    if (std::find(allowed_uids.begin(), allowed_uids.end(), uid) == allowed_uids.end()) {
      return absl::PermissionDeniedError(absl::StrCat("process ", sender->pid, " of user ", uid, " may not connect"));
    }
  }
  return PeerIdentity{sender->pid, sender->uid, sender->gid};
}

absl::StatusOr<PeerHello> CheckHello(const HelloMessage& hello, Attached attached) {
  PeerHello peer;
  peer.owner = hello.owner;
  peer.queue = {hello.queue_capacity, hello.queue_slot_size};
  if (!peer.queue.IsValid() || hello.class_count > PoolLayout::kMaxClasses) {
    return absl::FailedPreconditionError("the peer's hello has a queue or size classes that cannot be");
  }
  std::vector<SizeClass> classes;
  for (uint32_t i = 0; i < hello.class_count; ++i) {
    if (hello.classes[i].count > PoolLayout::kMaxBuffers)
      return absl::FailedPreconditionError("the peer's pool has too many buffers");
    classes.push_back({hello.classes[i].size, static_cast<uint32_t>(hello.classes[i].count)});
  }
  absl::StatusOr<PoolLayout> layout = PoolLayout::Create(std::move(classes));
  if (!layout.ok()) return absl::FailedPreconditionError(absl::StrCat("the peer's pool: ", layout.status().message()));
  peer.layout = *std::move(layout);
  peer.data_fd = std::move(attached.fds[0]);
  peer.ledger_fd = std::move(attached.fds[1]);
  peer.queue_fd = std::move(attached.fds[2]);
  return peer;
}

}  // namespace

absl::Status AskForCredentials(int socket) {
  const int on = 1;
  if (setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0) return absl::ErrnoToStatus(errno, "SO_PASSCRED");
  // Older kernels do without: pidfd_open follows.
  setsockopt(socket, SOL_SOCKET, kPassPidfd, &on, sizeof(on));
  return absl::OkStatus();
}

absl::Status AwaitReadable(int fd, int64_t deadline, const char* what) {
  for (;;) {
    const int64_t now = MonotonicNanos();
    // Rounded up, so that it is not too early.
    const int64_t millis = deadline == kNoDeadline ? -1 : std::clamp<int64_t>((deadline - now + 999'999) / 1'000'000, 0, INT_MAX);
    pollfd poll_fd = {.fd = fd, .events = POLLIN, .revents = 0};
    const int ready = poll(&poll_fd, 1, static_cast<int>(millis));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return absl::ErrnoToStatus(errno, "poll");
    if (ready == 0 && MonotonicNanos() >= deadline) return absl::DeadlineExceededError(what);
  }
}

absl::StatusOr<PeerHello> ExchangeHellos(int socket, const OwnHello& own, const std::vector<uid_t>& allowed_uids,
                                         int64_t deadline) {
  if (absl::Status status = AskForCredentials(socket); !status.ok()) return status;
  if (absl::Status status = SendHello(socket, own); !status.ok()) return status;
  AtStep(Step::kHelloSent);
  if (absl::Status status = AwaitReadable(socket, deadline, "the peer says no hello"); !status.ok()) return status;
  HelloMessage hello{};
  Attached attached;
  if (absl::Status status = ReceiveHello(socket, hello, attached); !status.ok()) return status;
  absl::StatusOr<PeerIdentity> identity = Identify(socket, attached.sender, allowed_uids);
  if (!identity.ok()) return identity.status();
  UniqueFd pidfd = std::move(attached.pidfd);
  if (!pidfd) pidfd = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, identity->pid, 0)));
  if (!pidfd) return errno == ESRCH ? PeerWentAway() : absl::ErrnoToStatus(errno, "pidfd_open of the peer");
  absl::StatusOr<PeerHello> peer = CheckHello(hello, std::move(attached));
  if (!peer.ok()) return peer.status();
  peer->identity = *identity;
  peer->pidfd = std::move(pidfd);
  return peer;
}

absl::Status ExchangeVerdicts(int socket, const absl::Status& own, int64_t deadline) {
  VerdictMessage verdict{};
  verdict.magic = kMagic;
  verdict.agreed = own.ok() ? 1 : 0;
  own.message().copy(verdict.reason, sizeof(verdict.reason) - 1);
  const bool sent = send(socket, &verdict, sizeof(verdict), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(verdict);
  if (!own.ok()) return own;
  if (!sent) return PeerWentAway();
  AtStep(Step::kVerdictSent);
  if (absl::Status status = AwaitReadable(socket, deadline, "the peer does not say whether it agrees"); !status.ok())
    return status;
  VerdictMessage answer{};
  if (recv(socket, &answer, sizeof(answer), MSG_DONTWAIT) != sizeof(answer) || answer.magic != kMagic) return PeerWentAway();
  if (answer.agreed == 1) return absl::OkStatus();
  answer.reason[sizeof(answer.reason) - 1] = '\0';
  return absl::FailedPreconditionError(absl::StrCat("the peer refuses: ", absl::CHexEscape(answer.reason)));
}

}  // namespace agentos::ipc
