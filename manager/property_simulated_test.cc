// The same random programs on rings in which things go wrong (testing/simulated_ring.h). AGENTOS_TEST_SEED and AGENTOS_TEST_STEPS
// as in property_test.cc.

#include <cstdint>
#include <random>

#include "absl/strings/str_cat.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/manager/random_program.h"
#include "agentos/manager/test_manager.h"
#include "agentos/testing/simulated_ring.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class PropertySimulatedTest : public ThreadingTest {};

TEST_P(PropertySimulatedTest, P3P7P9P11EveryEntryOfAnyProgramEndsOnceWhateverGoesWrong) {
  const uint64_t seed = NumberFrom("AGENTOS_TEST_SEED", std::random_device()());
  const uint64_t entries = NumberFrom("AGENTOS_TEST_STEPS", kSanitized ? 20'000 : 500'000);
  for (const bool survivable : {true, false}) {
    SCOPED_TRACE(absl::StrCat("AGENTOS_TEST_SEED=", seed, survivable ? ", survivable faults" : ", all faults"));
    SimulatedRingOptions options;
    options.seed = seed;
    options.faults = survivable ? Faults::Survivable() : Faults::All();
    options.completion_entries = 8;
    RandomProgram program({.threading = GetParam(), .submission_rings = SimulatedRings(options)}, seed);
    program.Run(entries / 2);
    program.Finish();
  }
}

INSTANTIATE_TEST_SUITE_P(Threading, PropertySimulatedTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
