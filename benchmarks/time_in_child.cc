#include "agentos/benchmarks/time_in_child.h"

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "agentos/benchmarks/child_process.h"

namespace agentos::bench {
namespace {

absl::StatusOr<std::chrono::nanoseconds> MeasureInChild(const MeasureRounds& measure, int64_t rounds) {
  ChildProcess child;
  const absl::Status started = child.Start([&] {
    const absl::StatusOr<std::chrono::nanoseconds> time = measure(rounds);
    return time.ok() ? std::to_string(time->count()) : time.status().ToString();
  });
  if (!started.ok()) return started;
  const absl::StatusOr<std::string> said = child.AwaitEnd();
  if (!said.ok()) return said.status();
  int64_t nanoseconds = 0;
  if (!absl::SimpleAtoi(*said, &nanoseconds)) return absl::InternalError(*said);
  return std::chrono::nanoseconds(nanoseconds);
}

}  // namespace

void TimeInChild(benchmark::State& state, const MeasureRounds& measure) {
  const int64_t rounds = static_cast<int64_t>(state.max_iterations);
  const absl::StatusOr<std::chrono::nanoseconds> time = MeasureInChild(measure, rounds);
  if (!time.ok()) return state.SkipWithError(time.status().ToString().c_str());
  const double seconds = std::chrono::duration<double>(*time).count() / static_cast<double>(rounds);
  for (auto _ : state) state.SetIterationTime(seconds);
}

}  // namespace agentos::bench
