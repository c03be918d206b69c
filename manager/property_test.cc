// Whatever a process does to its rings, every accepted entry ends exactly once, chains stop where they must, and nothing is left
// behind. The seed of a run is printed when it fails; AGENTOS_TEST_SEED repeats it, AGENTOS_TEST_STEPS makes it longer.

#include <cstdint>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/manager/random_program.h"
#include "agentos/manager/test_manager.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class PropertyTest : public ThreadingTest {};

TEST_P(PropertyTest, P3P7P9P11EveryEntryOfAnyProgramEndsOnce) {
  const uint64_t seed = NumberFrom("AGENTOS_TEST_SEED", std::random_device()());
  const uint64_t entries = NumberFrom("AGENTOS_TEST_STEPS", kSanitized ? 20'000 : 100'000);
  SCOPED_TRACE(absl::StrCat("AGENTOS_TEST_SEED=", seed));
  const size_t threads = ThreadCount();
  {
    RandomProgram program({.threading = GetParam()}, seed);
    program.Run(entries);
    program.Finish();
  }
  // Sanitizers have threads of their own.
  if (kSanitized) return;
  // The kernel's own workers go a moment after their ring.
  const absl::Time patience = absl::Now() + absl::Seconds(20);
  while (ThreadCount() > threads && absl::Now() < patience) std::this_thread::yield();
  EXPECT_EQ(ThreadCount(), threads);
}

INSTANTIATE_TEST_SUITE_P(Threading, PropertyTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
