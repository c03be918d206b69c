#include "agentos/ipc/bridge.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <thread>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/time/clock.h"
#include "agentos/ipc/fork_guard.h"
#include "agentos/ipc/lent_buffers.h"
#include "agentos/manager/ipc_route.h"

namespace agentos::ipc {

namespace {

// What is copied while the manager's locks are held; more is left to a thread.
constexpr size_t kCopiedAtOnce = 4096;

// Who sends and to whom travels in the message's tag.
uint64_t TagOf(Pid from, Pid to) { return uint64_t{from} << 32 | to; }
Pid SenderOf(uint64_t tag) { return static_cast<Pid>(tag >> 32); }
Pid TargetOf(uint64_t tag) { return static_cast<Pid>(tag); }

}  // namespace

// Locks are taken in this order: gateway_mutex_, those of the manager, mutex_. The channel is sent to with the manager's held, or by
// the sending thread while preparing_ or parked_ keep everybody else from it.
class Bridge::Impl final : public IpcRoute {
 public:
  Impl(std::unique_ptr<Channel> channel, std::vector<Pid> reachable)
      : channel_(std::move(channel)), reachable_(std::move(reachable)) {
    for (const SizeClassStats& size_class : channel_->Stats().classes) largest_ = std::max(largest_, size_class.size);
  }

  absl::Status Start(IoUringManager& manager, const std::vector<Pid>& remote) {
    absl::StatusOr<std::unique_ptr<IpcGateway>> gateway = manager.OpenGateway(remote, this);
    if (!gateway.ok()) return gateway.status();
    gateway_ = *std::move(gateway);
    receiving_ = std::thread([this] { ReceiveAll(); });
    sending_ = std::thread([this] { SendWaiting(); });
    return absl::OkStatus();
  }

  ~Impl() override {
    End(absl::FailedPreconditionError("this side has closed the bridge"));
    if (receiving_.joinable()) receiving_.join();
    if (sending_.joinable()) sending_.join();
  }

  Carried TryCarry(Pid from, Pid to, Bytes& data) override {
    const uint64_t tag = TagOf(from, to);
    const size_t size = data.size();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!status_.ok()) return Carried::kNeverMore;
      // Behind the one that a thread makes room for, or copies.
      if (preparing_ || parked_.has_value()) return Carried::kNotNow;
    }
    if (LoanedBuffer loan = TakeLoan(data)) {
      const absl::Status sent = channel_->Send(std::move(loan), tag);
      if (sent.ok()) return Carried::kYes;
      data = AsBytes(std::move(loan));
      // A loan of another channel is as good as any other bytes.
      if (!absl::IsInvalidArgument(sent)) return NotNow(sent, /*buffer_bytes=*/0);
    }
    if (size > std::max(largest_, ReceivedView::kInlineBytes)) return Carried::kTooLarge;
    if (size > kCopiedAtOnce) return Park(data, tag) ? Carried::kYes : NotNow(channel_->status(), size);
    const absl::Status sent = channel_->Send(data.view(), tag);
    if (!sent.ok()) return NotNow(sent, size);
    data.Clear();
    copied_.fetch_add(1, std::memory_order_relaxed);
    return Carried::kYes;
  }

  void OnWaiting() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    any_waits_ = true;
    changed_.notify_all();
  }

  void OnRoom() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    has_room_ = true;
    changed_.notify_all();
  }

  Channel& channel() { return *channel_; }
  bool InForkedChild() const { return guard_.InForkedChild(); }

  absl::Status status() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return status_;
  }

  bool AwaitEnd(absl::Duration timeout) const {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto has_ended = [this] { return !status_.ok(); };
    if (timeout == absl::InfiniteDuration()) {
      changed_.wait(lock, has_ended);
      return true;
    }
    return changed_.wait_until(lock, absl::ToChronoTime(absl::Now() + timeout), has_ended);
  }

  BridgeStats Stats() const {
    const ChannelStats channel = channel_->Stats();
    BridgeStats stats;
    stats.sent = channel.sent;
    stats.received = channel.received;
    stats.bytes_sent = channel.bytes_sent;
    stats.bytes_received = channel.bytes_received;
    stats.copied = copied_.load(std::memory_order_relaxed);
    stats.undeliverable = undeliverable_.load(std::memory_order_relaxed);
    return stats;
  }

 private:
  // A message that has been accepted and is copied next.
  struct Parked {
    Bytes data;
    LoanedBuffer buffer;
    uint64_t tag;
  };

  // Leaves a message to the sending thread, if there is a buffer for it.
  bool Park(Bytes& data, uint64_t tag) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!spare_ || spare_.capacity() < data.size()) return false;
    parked_ = Parked{std::move(data), std::move(spare_), tag};
    any_waits_ = true;
    changed_.notify_all();
    return true;
  }

  // Of a message that needs a buffer of so many bytes, and was not taken because of `why`.
  Carried NotNow(const absl::Status& why, size_t buffer_bytes) {
    // What is no lack of room is the channel's end.
    if (!why.ok() && !absl::IsResourceExhausted(why)) return Carried::kNeverMore;
    const std::lock_guard<std::mutex> lock(mutex_);
    buffer_bytes_ = buffer_bytes;
    preparing_ = true;
    return Carried::kNotNow;
  }

  void End(absl::Status why) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (status_.ok()) status_ = std::move(why);
      changed_.notify_all();
    }
    channel_->Close();
    const std::lock_guard<std::shared_mutex> lock(gateway_mutex_);
    gateway_ = nullptr;
  }

  // Runs `call` on the gateway unless that is gone.
  template <typename Result, typename Call>
  Result WithGateway(Result without, Call call) {
    const std::shared_lock<std::shared_mutex> lock(gateway_mutex_);
    return gateway_ == nullptr ? without : call(*gateway_);
  }

  void ReceiveAll() {
    for (;;) {
      absl::StatusOr<ReceivedView> view = channel_->Receive();
      if (!view.ok()) return End(view.status());
      const uint64_t tag = view->tag();
      const Pid to = TargetOf(tag);
      Bytes data = AsBytes(*std::move(view));
      const bool may_reach = reachable_.empty() || std::find(reachable_.begin(), reachable_.end(), to) != reachable_.end();
      while (DeliverOnce(SenderOf(tag), to, data, may_reach) == IpcGateway::Delivered::kNoRoom) {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return has_room_ || !status_.ok(); });
        if (!status_.ok()) return;
      }
    }
  }

  IpcGateway::Delivered DeliverOnce(Pid from, Pid to, Bytes& data, bool may_reach) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      has_room_ = false;
    }
    IpcGateway::Delivered delivered = IpcGateway::Delivered::kRefused;
    if (may_reach) {
      delivered = WithGateway(delivered, [&](IpcGateway& gateway) { return gateway.Deliver(from, to, data); });
    }
    if (delivered == IpcGateway::Delivered::kRefused) undeliverable_.fetch_add(1, std::memory_order_relaxed);
    return delivered;
  }

  // Until the bridge ends: what was not carried at once, as soon as there is room for it. The channel's end is told by the receiving
  // thread, once it has received everything.
  void SendWaiting() {
    for (;;) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        spare_.Reset();
        changed_.wait(lock, [this] { return any_waits_ || !status_.ok(); });
        if (!status_.ok()) return;
        any_waits_ = false;
      }
      bool any_waits = true;
      while (any_waits) {
        SendParked();
        MakeRoom();
        any_waits = WithGateway(false, [](IpcGateway& gateway) { return gateway.CarryWaiting(); });
      }
      SendParked();
    }
  }

  // While it waits nobody else sends. When it fails the next TryCarry finds out why.
  void MakeRoom() {
    size_t buffer_bytes;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!preparing_) return;
      buffer_bytes = buffer_bytes_;
      spare_.Reset();
    }
    LoanedBuffer buffer;
    if (buffer_bytes > ReceivedView::kInlineBytes) {
      absl::StatusOr<LoanedBuffer> loan = channel_->Loan(buffer_bytes, absl::InfiniteDuration());
      if (loan.ok()) buffer = *std::move(loan);
    }
    channel_->AwaitRoom().IgnoreError();
    const std::lock_guard<std::mutex> lock(mutex_);
    // What is copied at once takes its buffer from the pool.
    if (buffer_bytes > kCopiedAtOnce) spare_ = std::move(buffer);
    preparing_ = false;
  }

  void SendParked() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!parked_.has_value()) return;
    }
    // Nobody else changes it now.
    Parked& message = *parked_;
    message.buffer.Resize(message.data.size()).IgnoreError();
    std::memcpy(message.buffer.data(), message.data.data(), message.data.size());
    // Fails at the channel's end only, and then the message is lost with everything in the channel.
    channel_->Send(std::move(message.buffer), message.tag, absl::InfiniteDuration()).IgnoreError();
    copied_.fetch_add(1, std::memory_order_relaxed);
    const std::lock_guard<std::mutex> lock(mutex_);
    parked_.reset();
  }

  const ForkGuard guard_;
  const std::unique_ptr<Channel> channel_;
  const std::vector<Pid> reachable_;
  // What the channel's buffers hold at most.
  size_t largest_ = 0;

  std::shared_mutex gateway_mutex_;
  std::unique_ptr<IpcGateway> gateway_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  absl::Status status_;
  bool any_waits_ = false;
  bool has_room_ = false;
  bool preparing_ = false;
  // What the message that waits first needs.
  size_t buffer_bytes_ = 0;
  std::optional<Parked> parked_;
  // A buffer for the next message that has to be copied.
  LoanedBuffer spare_;

  std::atomic<uint64_t> copied_{0};
  std::atomic<uint64_t> undeliverable_{0};
  std::thread receiving_;
  std::thread sending_;
};

absl::StatusOr<std::unique_ptr<Bridge>> Bridge::Create(IoUringManager& manager, std::unique_ptr<Channel> channel,
                                                       BridgeOptions options) {
  if (channel == nullptr) return absl::InvalidArgumentError("channel is null");
  if (options.remote.empty()) {
    return absl::InvalidArgumentError("BridgeOptions.remote is empty: name the processes that the peer has");
  }
  auto impl = std::make_unique<Impl>(std::move(channel), std::move(options.reachable));
  if (absl::Status status = impl->Start(manager, options.remote); !status.ok()) return status;
  return absl::WrapUnique(new Bridge(std::move(impl)));
}

Bridge::Bridge(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Bridge::~Bridge() {
  // Threads, locks and the channel are the parent's.
  if (impl_->InForkedChild()) static_cast<void>(impl_.release());
}

absl::StatusOr<LoanedBuffer> Bridge::Loan(size_t size, absl::Duration timeout) { return impl_->channel().Loan(size, timeout); }

absl::Status Bridge::status() const { return impl_->status(); }

bool Bridge::AwaitEnd(absl::Duration timeout) const { return impl_->AwaitEnd(timeout); }

const PeerIdentity& Bridge::peer() const { return impl_->channel().peer(); }

BridgeStats Bridge::Stats() const { return impl_->Stats(); }

}  // namespace agentos::ipc
