// 64-byte messages echoed over loopback TCP: 64 and 512 connections with one message in flight on each, a server process of one
// thread, and the same client for every server.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/benchmarks/bench_environment.h"
#include "agentos/benchmarks/catalog.h"
#include "agentos/benchmarks/core_placement.h"
#include "agentos/benchmarks/echo_load.h"
#include "agentos/benchmarks/echo_process.h"
#include "agentos/benchmarks/echo_servers.h"
#include "agentos/benchmarks/floor_ring.h"
#include "agentos/benchmarks/our_side.h"
#include "agentos/executor/executor_info.h"

namespace agentos::bench {
namespace {

struct Work {
  size_t connections;
  Placement placement;

  std::string Name() const {
    return "tcp_echo_" + std::to_string(connections) + (placement == Placement::kApart ? "_apart" : "_together");
  }
};

constexpr Work kWorks[] = {
    {64, Placement::kApart}, {64, Placement::kTogether}, {512, Placement::kApart}, {512, Placement::kTogether}};

constexpr auto kWarmUpLimit = std::chrono::seconds(10);

// Until every connection is known to be served.
absl::Status WarmUp(EchoLoad& load, size_t messages) {
  std::chrono::nanoseconds total{0};
  while (total < kWarmUpLimit) {
    const absl::StatusOr<std::chrono::nanoseconds> time = load.Exchange(messages);
    if (!time.ok()) return time.status();
    if (load.FewestEchoes() > 0) return absl::OkStatus();
    total += *time;
  }
  return absl::DeadlineExceededError("a connection was not served, while others were for ten seconds");
}

// Sets the time of an iteration: how long `messages` took, once everything is warm.
absl::Status Measure(benchmark::State& state, const EchoProcess::Server& serve, const Work& work, size_t messages) {
  CorePlacement cores(work.placement);
  EchoProcess server([&](int listener) {
    cores.BecomeServer();
    return serve(listener);
  });
  if (!server.status().ok()) return server.status();
  cores.BecomeClient();
  EchoLoad load(server, Scaled(work.connections, 16));
  if (absl::Status status = load.Connect(); !status.ok()) return status;
  if (absl::Status status = WarmUp(load, messages / 4); !status.ok()) return status;
  const std::chrono::nanoseconds busy = server.ProcessorTime();
  const absl::StatusOr<std::chrono::nanoseconds> time = load.Exchange(messages);
  if (!time.ok()) return time.status();
  state.counters["server_cpu_ns"] = static_cast<double>((server.ProcessorTime() - busy).count()) / static_cast<double>(messages);
  state.SetIterationTime(std::chrono::duration<double>(*time).count());
  return absl::OkStatus();
}

void Echo(benchmark::State& state, const EchoProcess::Server& serve, const Work& work) {
  const size_t messages = Scaled(50000, 2000);
  for (auto _ : state) {
    if (!Check(state, Measure(state, serve, work, messages))) return;
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * messages));
}

}  // namespace

void RegisterBenchmarks(Catalog& catalog) {
  for (const Work& work : kWorks) {
    const auto add = [&](Role role, const std::string& variant, const EchoProcess::Server& serve) {
      catalog.Add(work.Name(), role, variant, [=](benchmark::State& state) { Echo(state, serve, work); },
                  {.manual_time = true, .iterations = 1});
    };
    if (FloorAvailable()) {
      add(Role::kFloor, "multishot", [](int listener) { return EchoByLiburing(listener, /*direct=*/false); });
      add(Role::kFloor, "multishot_direct", [](int listener) { return EchoByLiburing(listener, /*direct=*/true); });
    }
    add(Role::kOurs, "one_thread", [](int listener) { return EchoByManager(listener, ExecutorKind::kAuto); });
    add(Role::kOurs, "threads_executor", [](int listener) { return EchoByManager(listener, ExecutorKind::kThreadPool); });
    add(Role::kPeer, "epoll", EchoByEpoll);
    add(Role::kPeer, "libuv", EchoByLibuv);
    add(Role::kPeer, "asio", EchoByAsio);
  }
}

}  // namespace agentos::bench
