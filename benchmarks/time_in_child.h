// Measures in a process of its own what would change the process that it runs in.
//
// libuv's threads stay once they have been used, and in a process with several threads every look-up of a descriptor costs an
// atomic operation more: whoever is measured next would pay for it.
//
// Thread rule: one thread, and no other in the process.
//
//   catalog.Add(work, Role::kPeer, "libuv", [](benchmark::State& state) { TimeInChild(state, Measure); }, {.manual_time = true});

#ifndef AGENTOS_BENCHMARKS_TIME_IN_CHILD_H_
#define AGENTOS_BENCHMARKS_TIME_IN_CHILD_H_

#include <chrono>
#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "benchmark/benchmark.h"

namespace agentos::bench {

// How long so many rounds took, without what has to be done before the first.
using MeasureRounds = std::function<absl::StatusOr<std::chrono::nanoseconds>(int64_t rounds)>;

// Runs as many rounds as `state` wants iterations, and tells it the time; skips it with the cause when that fails.
void TimeInChild(benchmark::State& state, const MeasureRounds& measure);

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_TIME_IN_CHILD_H_
