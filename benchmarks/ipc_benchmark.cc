// Messages between two processes, each on a processor of its own: there and back, one way, and large buffers that change hands.

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agentos/benchmarks/catalog.h"
#include "agentos/benchmarks/child_process.h"
#include "agentos/benchmarks/core_placement.h"
#include "agentos/benchmarks/ipc_floors.h"
#include "agentos/ipc/buffer_pool.h"
#include "agentos/ipc/channel.h"
#include "agentos/ipc/channel_options.h"
#include "agentos/ipc/received_view.h"

namespace agentos::bench {
namespace {

constexpr absl::Duration kForever = absl::InfiniteDuration();
constexpr char kMessage[kMessageBytes] = "sixty-four bytes";
// Of the first byte: the other side shall end.
constexpr char kEnd = 1;

// A pair of them in shared memory, one for each way.
template <typename T>
class BothWays {
 public:
  BothWays()
      : pair_(new (mmap(nullptr, 2 * sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)) T[2]) {
  }
  ~BothWays() { munmap(static_cast<void*>(pair_), 2 * sizeof(T)); }
  BothWays(const BothWays&) = delete;
  BothWays& operator=(const BothWays&) = delete;
  T& there() { return pair_[0]; }
  T& back() { return pair_[1]; }

 private:
  T* const pair_;
};

bool StartPeer(benchmark::State& state, ChildProcess& child, CorePlacement& cores, const ChildProcess::Main& main) {
  const absl::Status started = child.Start([&] {
    cores.BecomeServer();
    return main();
  });
  if (!started.ok()) state.SkipWithError(started.ToString().c_str());
  cores.BecomeClient();
  return started.ok();
}

void EndPeer(benchmark::State& state, ChildProcess& child) {
  const absl::StatusOr<std::string> said = child.AwaitEnd();
  if (!said.ok()) state.SkipWithError(said.status().ToString().c_str());
  if (said.ok() && !said->empty()) state.SkipWithError(said->c_str());
}

template <typename T, void (T::*put)(const char*), void (T::*take)(char*)>
void FloorRoundTrip(benchmark::State& state) {
  BothWays<T> boxes;
  CorePlacement cores(Placement::kApart);
  ChildProcess child;
  char message[kMessageBytes];
  const auto echo = [&boxes]() -> std::string {
    char answer[kMessageBytes];
    do {
      (boxes.there().*take)(answer);
      (boxes.back().*put)(answer);
    } while (answer[0] != kEnd);
    return "";
  };
  if (!StartPeer(state, child, cores, echo)) return;
  for (auto _ : state) {
    (boxes.there().*put)(kMessage);
    (boxes.back().*take)(message);
  }
  if (std::memcmp(message, kMessage, kMessageBytes) != 0) state.SkipWithError("another message came back");
  message[0] = kEnd;
  (boxes.there().*put)(message);
  (boxes.back().*take)(message);
  EndPeer(state, child);
}

void FloorOneWay(benchmark::State& state) {
  BothWays<BareRing> rings;
  CorePlacement cores(Placement::kApart);
  ChildProcess child;
  const auto consume = [&rings]() -> std::string {
    char message[kMessageBytes];
    do {
      rings.there().Pop(message);
    } while (message[0] != kEnd);
    rings.back().Push(message);
    return "";
  };
  if (!StartPeer(state, child, cores, consume)) return;
  for (auto _ : state) rings.there().Push(kMessage);
  char message[kMessageBytes] = {kEnd};
  rings.there().Push(message);
  rings.back().Pop(message);
  state.SetItemsProcessed(state.iterations());
  EndPeer(state, child);
}

// This side's end of a channel, whose peer runs `main` in a process of its own until the channel is closed.
class OurPair {
 public:
  using Main = absl::Status (*)(ipc::Channel&);

  OurPair(benchmark::State& state, const ipc::ChannelOptions& options, Main main) : state_(state) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
      state.SkipWithError("socketpair");
      return;
    }
    const auto peer = [&]() -> std::string {
      close(sockets[0]);
      absl::StatusOr<std::unique_ptr<ipc::Channel>> channel = ipc::Channel::OverSocket(sockets[1], options);
      if (!channel.ok()) return channel.status().ToString();
      const absl::Status end = main(**channel);
      return absl::IsFailedPrecondition(end) ? "" : end.ToString();
    };
    const bool started = StartPeer(state, child_, cores_, peer);
    close(sockets[1]);
    absl::StatusOr<std::unique_ptr<ipc::Channel>> channel = ipc::Channel::OverSocket(sockets[0], options);
    if (started && !channel.ok()) state.SkipWithError(channel.status().ToString().c_str());
    if (channel.ok()) channel_ = *std::move(channel);
  }
  ~OurPair() {
    if (channel_ == nullptr) return;
    channel_->Close();
    EndPeer(state_, child_);
  }

  // Null when it could not be made.
  ipc::Channel* channel() const { return channel_.get(); }

 private:
  benchmark::State& state_;
  CorePlacement cores_{Placement::kApart};
  ChildProcess child_;
  std::unique_ptr<ipc::Channel> channel_;
};

bool Check(benchmark::State& state, const absl::Status& status) {
  if (!status.ok()) state.SkipWithError(status.ToString().c_str());
  return status.ok();
}

absl::Status Echo(ipc::Channel& channel) {
  for (;;) {
    absl::StatusOr<ReceivedView> view = channel.Receive();
    if (!view.ok()) return view.status();
    if (absl::Status sent = channel.Send(view->view(), 0, kForever); !sent.ok()) return sent;
  }
}

ipc::ChannelOptions Awake() {
  ipc::ChannelOptions options;
  options.spin = absl::Hours(1);
  return options;
}

ipc::ChannelOptions Asleep() {
  ipc::ChannelOptions options;
  options.spin = absl::ZeroDuration();
  return options;
}

void OurRoundTrip(benchmark::State& state, const ipc::ChannelOptions& options) {
  const OurPair pair(state, options, Echo);
  if (pair.channel() == nullptr) return;
  const absl::string_view message(kMessage, kMessageBytes);
  for (auto _ : state) {
    if (!Check(state, pair.channel()->Send(message))) return;
    absl::StatusOr<ReceivedView> answer = pair.channel()->Receive();
    if (!Check(state, answer.status())) return;
    if (answer->size() != kMessageBytes) return state.SkipWithError("another message came back");
  }
}

void OurOneWay(benchmark::State& state) {
  const OurPair pair(state, Awake(), [](ipc::Channel& channel) -> absl::Status {
    uint64_t received = 0;
    for (;;) {
      absl::StatusOr<ReceivedView> view = channel.Receive();
      if (!view.ok()) return view.status();
      ++received;
      if (view->data()[0] != kEnd) continue;
      if (absl::Status sent = channel.Send("", received); !sent.ok()) return sent;
    }
  });
  if (pair.channel() == nullptr) return;
  const absl::string_view message(kMessage, kMessageBytes);
  for (auto _ : state) {
    absl::Status sent = pair.channel()->Send(message);
    // A queue that is full is looked at again, as the floor does.
    while (absl::IsResourceExhausted(sent)) sent = pair.channel()->Send(message, 0, kForever);
    if (!Check(state, sent)) return;
  }
  if (!Check(state, pair.channel()->Send(absl::string_view(&kEnd, 1), 0, kForever))) return;
  absl::StatusOr<ReceivedView> total = pair.channel()->Receive();
  if (!Check(state, total.status())) return;
  if (total->tag() != static_cast<uint64_t>(state.iterations()) + 1) state.SkipWithError("messages are missing");
  state.SetItemsProcessed(state.iterations());
}

// What the sender pays for a buffer that it loans and sends, and the receiver for taking it and giving it back: there and back.
void HandOver(benchmark::State& state, size_t size) {
  ipc::ChannelOptions options = Awake();
  options.pool.classes = {{size, 4}};
  const OurPair pair(state, options, [](ipc::Channel& channel) -> absl::Status {
    for (;;) {
      absl::StatusOr<ReceivedView> view = channel.Receive();
      if (!view.ok()) return view.status();
      absl::StatusOr<LoanedBuffer> buffer = channel.Loan(view->size(), kForever);
      if (!buffer.ok()) return buffer.status();
      buffer->data()[0] = view->data()[0];
      if (absl::Status sent = channel.Send(*std::move(buffer), 0, kForever); !sent.ok()) return sent;
    }
  });
  if (pair.channel() == nullptr) return;
  for (auto _ : state) {
    absl::StatusOr<LoanedBuffer> buffer = pair.channel()->Loan(size, kForever);
    if (!Check(state, buffer.status())) return;
    buffer->data()[0] = 'x';
    if (!Check(state, pair.channel()->Send(*std::move(buffer)))) return;
    absl::StatusOr<ReceivedView> answer = pair.channel()->Receive();
    if (!Check(state, answer.status())) return;
    if (answer->size() != size || answer->data()[0] != 'x') return state.SkipWithError("another buffer came back");
  }
}

void LoanAndDrop(benchmark::State& state, size_t size) {
  absl::StatusOr<std::shared_ptr<BufferPool>> pool = BufferPool::Create({.classes = {{size, 4}}});
  if (!Check(state, pool.status())) return;
  for (auto _ : state) {
    absl::StatusOr<LoanedBuffer> buffer = (*pool)->Loan(size);
    if (!buffer.ok()) return state.SkipWithError("no buffer");
  }
}

}  // namespace

void RegisterBenchmarks(Catalog& catalog) {
  catalog.Add("ipc_round_trip_awake", Role::kFloor, "bare_ring", FloorRoundTrip<BareRing, &BareRing::Push, &BareRing::Pop>);
  catalog.Add("ipc_round_trip_awake", Role::kOurs, "channel", [](benchmark::State& state) { OurRoundTrip(state, Awake()); });
  catalog.Add("ipc_round_trip_asleep", Role::kFloor, "bare_futex", FloorRoundTrip<FutexBox, &FutexBox::Put, &FutexBox::Take>);
  catalog.Add("ipc_round_trip_asleep", Role::kOurs, "channel", [](benchmark::State& state) { OurRoundTrip(state, Asleep()); });
  catalog.Add("ipc_one_way", Role::kFloor, "bare_ring", FloorOneWay);
  catalog.Add("ipc_one_way", Role::kOurs, "channel", OurOneWay);
  for (const size_t size : {size_t{64}, size_t{4096}, size_t{65536}, size_t{1} << 20, size_t{16} << 20}) {
    catalog.Add("ipc_hand_over_" + std::to_string(size), Role::kOurs, "channel",
                [size](benchmark::State& state) { HandOver(state, size); });
    catalog.Add("ipc_loan_" + std::to_string(size), Role::kOurs, "pool",
                [size](benchmark::State& state) { LoanAndDrop(state, size); });
  }
}

}  // namespace agentos::bench
