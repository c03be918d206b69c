// Where the benchmarks put their files, and how large a run is.
//
// Environment: AGENTOS_BENCH_DIR (default $TEST_TMPDIR, then $TMPDIR, then /tmp) and AGENTOS_BENCH_SHM_DIR (default /dev/shm).
//
// Thread rule: SetQuickMode before any other thread starts; the rest from any thread.

#ifndef AGENTOS_BENCHMARKS_BENCH_ENVIRONMENT_H_
#define AGENTOS_BENCHMARKS_BENCH_ENVIRONMENT_H_

#include <chrono>
#include <cstddef>
#include <string>
#include <thread>

namespace agentos::bench {

// Quick mode shows that a program runs: every size shrinks and no figure means anything.
void SetQuickMode();
bool QuickMode();
size_t Scaled(size_t full, size_t quick);

enum class Place { kDisk, kTmpfs };

// "disk" or "tmpfs", as the works' names spell it.
std::string PlaceName(Place place);
std::string RootOf(Place place);

// Calls `make` until it makes something that is not `no_memory`, for two seconds at most. The kernel returns a closed ring's
// share of RLIMIT_MEMLOCK some milliseconds late, and a benchmark program makes and closes rings in quick succession.
template <typename Make, typename IsNoMemory>
auto RetryWhileOutOfMemory(Make make, IsNoMemory no_memory) {
  auto made = make();
  for (int attempt = 0; attempt < 200 && no_memory(made); ++attempt) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    made = make();
  }
  return made;
}

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_BENCH_ENVIRONMENT_H_
