// What 10,000 rings of default size cost that do nothing: memory for each, and the time to make one.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/benchmarks/bench_environment.h"
#include "agentos/benchmarks/catalog.h"
#include "agentos/benchmarks/our_side.h"
#include "agentos/benchmarks/process_memory.h"
#include "agentos/ring/submission_entry.h"

namespace agentos::bench {
namespace {

absl::Status UseOnce(IoUringManager& manager, Pid pid) {
  const absl::StatusOr<Seq> seq = manager.Submit(pid, SyscallSubmissionEntry::Nop(pid, 0));
  if (!seq.ok()) return seq.status();
  SyscallCompletionEntry done;
  return ReapExactly(manager, pid, absl::MakeSpan(&done, 1));
}

double PerRing(int64_t bytes, Pid rings) { return static_cast<double>(bytes) / rings; }

void IdleRings(benchmark::State& state, Threading threading) {
  const Pid rings = static_cast<Pid>(Scaled(10000, 100));
  int64_t idle = 0;
  int64_t used = 0;
  for (auto _ : state) {
    std::unique_ptr<IoUringManager> manager = MakeManager(state, threading);
    if (manager == nullptr) return;
    // What the manager makes on its first use belongs to none of the rings.
    if (!Check(state, UseOnce(*manager, rings))) return;
    const int64_t before = ResidentBytes();
    const auto begin = std::chrono::steady_clock::now();
    for (Pid pid = 0; pid < rings; ++pid) {
      if (!Check(state, manager->CreateRing(pid))) return;
    }
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    idle = ResidentBytes() - before;
    for (Pid pid = 0; pid < rings; ++pid) {
      if (!Check(state, UseOnce(*manager, pid))) return;
    }
    used = ResidentBytes() - before;
  }
  state.counters["bytes_per_idle_ring"] = PerRing(idle, rings);
  state.counters["bytes_per_used_ring"] = PerRing(used, rings);
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * rings));
}

}  // namespace

void RegisterBenchmarks(Catalog& catalog) {
  for (Threading threading : kAllThreadings) {
    catalog.Add("idle_rings", Role::kOurs, ThreadingName(threading),
                [threading](benchmark::State& state) { IdleRings(state, threading); },
                // Once: a second time would find the memory that the first one left to the process.
                {.manual_time = true, .iterations = 1});
  }
}

}  // namespace agentos::bench
