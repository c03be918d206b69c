#include "agentos/ipc/channel_core.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agentos/ipc/futex.h"
#include "agentos/ipc/steps.h"
#include "agentos/ring/monotonic_clock.h"

namespace agentos::ipc {

namespace {

// Looks without a pause before the clock is asked for the first time: an answer from a peer that is at it comes within these.
constexpr int kFirstLooks = 1024;
constexpr int kLooksBetweenClocks = 16;
// Of a peer that rings without end only so much is read at once; the descriptor stays readable.
constexpr int kMaxRings = 64;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A counter that one thread writes needs no locked instruction.
inline void Add(std::atomic<uint64_t>& counter, uint64_t n) {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

absl::Status ForkedChild() { return absl::FailedPreconditionError("this channel belongs to the parent process"); }

}  // namespace

absl::Status ChannelCore::EndWith(End end, absl::Status why) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (end_.load(std::memory_order_relaxed) != End::kOpen) return why_;
    why_ = std::move(why);
    // Before anybody hears of the end, so that whoever does finds all buffers accounted for.
    const bool is_gone = end == End::kPeerDied || end == End::kPeerLied;
    parts_.pool->Close(why_, is_gone ? BufferPool::WhatIsOut::kReclaimed : BufferPool::WhatIsOut::kComesBack);
    end_.store(end);
  }
  // The peer, if there is one, finds out by the same flags as when this side closes.
  if (out_.Close()) send(parts_.socket.get(), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  in_.Close();
  parts_.peer_buffers->Close();
  in_.sleeper().WakeAll();
  out_.sleeper().WakeAll();
  shutdown(parts_.socket.get(), SHUT_RDWR);
  return why_;
}

absl::Status ChannelCore::PeerLied(absl::string_view how) { return EndWith(End::kPeerLied, absl::DataLossError(how)); }

absl::Status ChannelCore::PeerClosed() {
  return EndWith(End::kPeerClosed, absl::FailedPreconditionError("the peer has closed the channel"));
}

absl::Status ChannelCore::PoolClosed() {
  const absl::Status why = parts_.pool->status();
  return absl::IsDataLoss(why) ? PeerLied(why.message()) : PeerClosed();
}

void ChannelCore::PeerDied() {
  if (in_.PeerClosed()) {
    PeerClosed().IgnoreError();
    return;
  }
  EndWith(End::kPeerDied, absl::UnavailableError(absl::StrCat("the peer, process ", parts_.peer.identity.pid, ", has died")))
      .IgnoreError();
}

void ChannelCore::Close() {
  EndWith(End::kClosedHere, absl::FailedPreconditionError("this side has closed the channel")).IgnoreError();
}

absl::Status ChannelCore::status() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return why_;
}

absl::Status ChannelCore::CheckOpen() {
  if (guard_.InForkedChild()) [[unlikely]] {
    return ForkedChild();
  }
  if (end_.load(std::memory_order_acquire) != End::kOpen) [[unlikely]] {
    return status();
  }
  if (parts_.peer_buffers->lied()) [[unlikely]] {
    return PeerLied("the peer changed the word of a buffer that is held here");
  }
  if (out_.PeerClosed()) [[unlikely]] {
    return PeerClosed();
  }
  return absl::OkStatus();
}

absl::StatusOr<LoanedBuffer> ChannelCore::Loan(size_t size, absl::Duration timeout) {
  if (absl::Status status = CheckOpen(); !status.ok()) return status;
  absl::StatusOr<LoanedBuffer> buffer = parts_.pool->Loan(size, timeout);
  if (absl::IsDataLoss(buffer.status()) || absl::IsFailedPrecondition(buffer.status())) return PoolClosed();
  return buffer;
}

absl::StatusOr<MessageSlot*> ChannelCore::Reserve(absl::Duration timeout) {
  char* slot = out_.Reserve();
  if (slot == nullptr && !out_.peer_lied()) {
    if (timeout <= absl::ZeroDuration()) {
      return absl::ResourceExhaustedError(absl::StrCat("the peer has not received ", parts_.out_shape.capacity, " messages yet"));
    }
    const int64_t deadline = DeadlineAfter(timeout);
    const auto has_news = [this] { return end_.load() != End::kOpen || out_.HasNews(); };
    bool in_time = true;
    while (in_time && !has_news()) in_time = out_.sleeper().Sleep(deadline, has_news);
    out_.sleeper().Withdraw();
    if (absl::Status status = CheckOpen(); !status.ok()) return status;
    slot = out_.Reserve();
    if (slot == nullptr && !out_.peer_lied()) {
      return absl::DeadlineExceededError(absl::StrCat("the peer has received nothing in ", absl::FormatDuration(timeout)));
    }
  }
  if (out_.peer_lied()) return PeerLied("the peer's index of received messages ran past what was sent");
  return reinterpret_cast<MessageSlot*>(slot);
}

absl::Status ChannelCore::CheckQuota(absl::Duration timeout) {
  const uint32_t quota = parts_.max_held_by_peer;
  if (quota == 0 || parts_.pool->AwaitOutBelow(quota, timeout)) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("the peer has ", quota, " buffers, which is its quota"));
}

absl::Status ChannelCore::AwaitRoom(absl::Duration timeout) {
  if (absl::Status status = CheckOpen(); !status.ok()) return status;
  if (absl::Status status = CheckQuota(timeout); !status.ok()) return status;
  return Reserve(timeout).status();
}

void ChannelCore::Publish(uint32_t meta) {
  out_.Place(meta);
  AtStep(Step::kPublished);
  if (out_.WakeConsumer()) send(parts_.socket.get(), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  AtStep(Step::kReceiverWoken);
}

absl::Status ChannelCore::Send(absl::string_view bytes, uint64_t tag, absl::Duration timeout) {
  if (bytes.size() > ReceivedView::kInlineBytes) {
    absl::StatusOr<LoanedBuffer> buffer = Loan(bytes.size(), timeout);
    if (!buffer.ok()) return buffer.status();
    std::memcpy(buffer->data(), bytes.data(), bytes.size());
    return Send(*std::move(buffer), tag, timeout);
  }
  if (absl::Status status = CheckOpen(); !status.ok()) return status;
  absl::StatusOr<MessageSlot*> slot = Reserve(timeout);
  if (!slot.ok()) return slot.status();
  if (!bytes.empty()) std::memcpy((*slot)->bytes, bytes.data(), bytes.size());
  (*slot)->tag = tag;
  AtStep(Step::kDescriptorWritten);
  Publish(static_cast<uint32_t>(bytes.size()));
  Add(sent_, 1);
  Add(bytes_sent_, bytes.size());
  return absl::OkStatus();
}

absl::Status ChannelCore::Send(LoanedBuffer&& buffer, uint64_t tag, absl::Duration timeout) {
  if (absl::Status status = CheckOpen(); !status.ok()) return status;
  if (!parts_.pool->Owns(buffer)) return absl::InvalidArgumentError("the buffer is empty, or was loaned from another channel");
  if (absl::Status status = CheckQuota(timeout); !status.ok()) return status;
  absl::StatusOr<MessageSlot*> slot = Reserve(timeout);
  if (!slot.ok()) return slot.status();
  const std::optional<BufferDescriptor> descriptor = parts_.pool->MarkSent(std::move(buffer));
  if (!descriptor.has_value()) return PoolClosed();
  std::memcpy((*slot)->bytes, &*descriptor, sizeof(*descriptor));
  (*slot)->tag = tag;
  AtStep(Step::kDescriptorWritten);
  Publish(kInBuffer);
  Add(sent_, 1);
  Add(bytes_sent_, descriptor->size);
  return absl::OkStatus();
}

bool ChannelCore::Pop(ReceivedView& view, absl::Status& problem) {
  uint32_t meta = 0;
  const char* const slot = in_.Peek(meta);
  if (slot == nullptr) {
    if (in_.peer_lied()) [[unlikely]] {
      problem = PeerLied("the peer's index of sent messages ran past the queue");
    }
    return false;
  }
  const MessageSlot& message = *reinterpret_cast<const MessageSlot*>(slot);
  if (meta <= ReceivedView::kInlineBytes) {
    view.FillInline(message.bytes, meta, message.tag);
  } else if (meta == kInBuffer) {
    BufferDescriptor descriptor;
    std::memcpy(&descriptor, message.bytes, sizeof(descriptor));
    // What is checked must be what is used: the compiler may not read the peer's memory again.
    asm volatile("" : "+m"(descriptor));
    if (absl::Status status = parts_.peer_buffers->Take(descriptor, message.tag, view); !status.ok()) {
      problem = PeerLied(status.message());
      return false;
    }
  } else {
    problem = PeerLied(absl::StrCat("the peer sent a message of a kind that does not exist: ", meta));
    return false;
  }
  in_.Advance();
  AtStep(Step::kSlotConsumed);
  Add(received_, 1);
  Add(bytes_received_, view.size());
  return true;
}

absl::StatusOr<bool> ChannelCore::TryReceive(ReceivedView& view) {
  if (guard_.InForkedChild()) [[unlikely]] {
    return ForkedChild();
  }
  view.Reset();
  // Before the look: what a peer sent before its end comes before the end.
  const End end = end_.load(std::memory_order_acquire);
  if (end >= End::kPeerLied) return status();
  if (parts_.peer_buffers->lied()) [[unlikely]] {
    return PeerLied("the peer changed the word of a buffer that is held here");
  }
  absl::Status problem;
  if (Pop(view, problem)) return true;
  if (!problem.ok()) return problem;
  if (end != End::kOpen) return status();
  if (in_.PeerClosed()) {
    if (Pop(view, problem)) return true;
    return problem.ok() ? PeerClosed() : problem;
  }
  return false;
}

bool ChannelCore::SpinForNews() {
  for (int i = 0; i < kFirstLooks; ++i) {
    if (in_.SlotHasChanged()) return true;
  }
  const int64_t until = MonotonicNanos() + parts_.spin_nanos;
  do {
    if (in_.HasNews()) return true;
    for (int i = 0; i < kLooksBetweenClocks; ++i) {
      if (in_.SlotHasChanged()) return true;
      Pause();
    }
  } while (MonotonicNanos() < until);
  return false;
}

absl::StatusOr<ReceivedView> ChannelCore::Receive(absl::Duration timeout) {
  absl::StatusOr<ReceivedView> view(absl::in_place);
  absl::StatusOr<bool> received = TryReceive(*view);
  if (received.ok() && *received) return view;
  if (received.ok() && timeout > absl::ZeroDuration()) {
    int64_t deadline = 0;
    bool in_time = true;
    while (received.ok() && !*received && in_time) {
      if (parts_.spin_nanos == 0 || !SpinForNews()) {
        if (deadline == 0) deadline = DeadlineAfter(timeout);
        in_time = in_.sleeper().Sleep(deadline, [this] { return end_.load() != End::kOpen || in_.HasNews(); });
        in_.sleeper().Withdraw();
      }
      received = TryReceive(*view);
    }
  }
  if (!received.ok()) return received.status();
  if (*received) return view;
  return absl::DeadlineExceededError(absl::StrCat("no message in ", absl::FormatDuration(timeout)));
}

absl::StatusOr<bool> ChannelCore::ArmFd() {
  if (guard_.InForkedChild()) return ForkedChild();
  char ring = 0;
  bool gone = false;
  for (int i = 0; i < kMaxRings; ++i) {
    const ssize_t size = recv(parts_.socket.get(), &ring, sizeof(ring), MSG_DONTWAIT);
    // A peer that dies before it has read everything resets the connection.
    gone = size == 0 || (size < 0 && errno == ECONNRESET);
    if (size <= 0) break;
  }
  if (gone) PeerDied();
  in_.sleeper().DeclareOnFd();
  if (end_.load() == End::kOpen && !in_.HasNews()) return true;
  in_.sleeper().Withdraw();
  return false;
}

ChannelStats ChannelCore::Stats() const {
  ChannelStats stats;
  stats.sent = sent_.load(std::memory_order_relaxed);
  stats.received = received_.load(std::memory_order_relaxed);
  stats.bytes_sent = bytes_sent_.load(std::memory_order_relaxed);
  stats.bytes_received = bytes_received_.load(std::memory_order_relaxed);
  stats.classes = parts_.pool->Stats();
  stats.own_buffers = parts_.pool->Census();
  stats.peer_buffers = parts_.peer_buffers->Census();
  return stats;
}

}  // namespace agentos::ipc
