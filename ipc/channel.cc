#include "agentos/ipc/channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "agentos/ipc/channel_core.h"
#include "agentos/ipc/futex.h"
#include "agentos/ipc/peer_buffers.h"
#include "agentos/ipc/peer_watch.h"
#include "agentos/ipc/shared_memory.h"
#include "agentos/ring/unique_fd.h"

namespace agentos::ipc {

namespace {

absl::Status CheckSocket(int socket) {
  int domain = 0;
  int type = 0;
  socklen_t size = sizeof(int);
  if (getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 ||
      getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("fd ", socket, " as a channel's socket"));
  }
  if (domain == AF_UNIX && type == SOCK_SEQPACKET) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("fd ", socket, " is no SOCK_SEQPACKET Unix socket"));
}

absl::Status CheckOptions(const ChannelOptions& options) {
  if (options.queue_capacity == 0 || options.queue_capacity > QueueShape::kMaxCapacity) {
    return absl::InvalidArgumentError(
        absl::StrCat("queue_capacity ", options.queue_capacity, ": 1 to ", QueueShape::kMaxCapacity, " messages are possible"));
  }
  if (options.spin < absl::ZeroDuration()) return absl::InvalidArgumentError("spin is negative");
  return absl::OkStatus();
}

// Of the machine, not of this thread: the peer runs on another one when this thread is bound to one.
bool HasSeveralProcessors() { return sysconf(_SC_NPROCESSORS_ONLN) > 1; }

}  // namespace

absl::StatusOr<std::unique_ptr<Channel>> Channel::OverSocket(int socket, const ChannelOptions& options) {
  ChannelCore::Parts parts;
  parts.socket = UniqueFd(socket);
  if (absl::Status status = CheckSocket(socket); !status.ok()) return status;
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  absl::StatusOr<std::shared_ptr<BufferPool>> pool = BufferPool::Create(options.pool);
  if (!pool.ok()) return pool.status();
  parts.pool = *std::move(pool);
  parts.out_shape = {.capacity = std::bit_ceil(options.queue_capacity), .slot_size = kSlotSize};
  auto out_memory = SharedMemory::Create("agentos-ipc-queue", parts.out_shape.Bytes(), SharedMemory::Others::kReadAndWrite);
  if (!out_memory.ok()) return out_memory.status();
  parts.out_memory = *std::move(out_memory);
  parts.max_held_by_peer = options.max_held_by_peer;
  parts.spin_nanos = HasSeveralProcessors() ? absl::ToInt64Nanoseconds(options.spin) : 0;

  std::vector<uid_t> allowed_uids = options.allowed_uids;
  if (allowed_uids.empty()) allowed_uids.push_back(geteuid());
  const OwnHello own = {.layout = &parts.pool->layout(),
                        .owner = parts.pool->owner(),
                        .queue = parts.out_shape,
                        .data_fd = parts.pool->data_fd(),
                        .ledger_fd = parts.pool->ledger_fd(),
                        .queue_fd = parts.out_memory->fd()};
  const int64_t deadline = DeadlineAfter(options.handshake_timeout);
  absl::StatusOr<PeerHello> peer = ExchangeHellos(socket, own, allowed_uids, deadline);
  // As much of the peer's memory as can be had, so that the peer hears what is wrong with it.
  absl::Status verdict = peer.status();
  if (verdict.ok() && peer->queue.slot_size != kSlotSize)
    verdict = absl::FailedPreconditionError("the peer's slots have another size");
  if (verdict.ok()) {
    auto in_memory = SharedMemory::Adopt(peer->queue_fd.Release(), peer->queue.Bytes(), SharedMemory::Others::kReadAndWrite);
    auto buffers =
        PeerBuffers::Create(peer->layout, peer->data_fd.Release(), peer->ledger_fd.Release(), peer->owner, parts.pool->owner());
    verdict.Update(in_memory.status());
    verdict.Update(buffers.status());
    if (verdict.ok()) {
      parts.in_memory = *std::move(in_memory);
      parts.peer_buffers = *std::move(buffers);
    }
  }
  if (absl::Status status = ExchangeVerdicts(socket, verdict, deadline); !status.ok()) return status;
  parts.peer = *std::move(peer);

  auto channel = absl::WrapUnique(new Channel(std::make_shared<ChannelCore>(std::move(parts))));
  absl::StatusOr<uint64_t> watch = PeerWatch::Instance().Watch(channel->core_->parts().peer.pidfd.get(), channel->core_);
  if (!watch.ok()) return watch.status();
  channel->watch_ = *watch;
  return channel;
}

Channel::Channel(std::shared_ptr<ChannelCore> core) : core_(std::move(core)) {}

Channel::~Channel() {
  if (core_->InForkedChild()) return;
  if (watch_ != 0) PeerWatch::Instance().Forget(watch_);
  core_->Close();
}

absl::StatusOr<LoanedBuffer> Channel::Loan(size_t size, absl::Duration timeout) { return core_->Loan(size, timeout); }

absl::Status Channel::Send(absl::string_view bytes, uint64_t tag, absl::Duration timeout) {
  return core_->Send(bytes, tag, timeout);
}

absl::Status Channel::Send(LoanedBuffer&& buffer, uint64_t tag, absl::Duration timeout) {
  return core_->Send(std::move(buffer), tag, timeout);
}

absl::Status Channel::AwaitRoom(absl::Duration timeout) { return core_->AwaitRoom(timeout); }

absl::StatusOr<ReceivedView> Channel::Receive(absl::Duration timeout) { return core_->Receive(timeout); }

absl::StatusOr<bool> Channel::TryReceive(ReceivedView& view) { return core_->TryReceive(view); }

int Channel::fd() const { return core_->parts().socket.get(); }

absl::StatusOr<bool> Channel::ArmFd() { return core_->ArmFd(); }

void Channel::Close() {
  if (!core_->InForkedChild()) core_->Close();
}

absl::Status Channel::status() const { return core_->status(); }

const PeerIdentity& Channel::peer() const { return core_->parts().peer.identity; }

ChannelStats Channel::Stats() const { return core_->Stats(); }

}  // namespace agentos::ipc
