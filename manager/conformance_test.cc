// The conformance suite as others run it: on rings that a program brings itself.

#include <memory>

#include "absl/status/statusor.h"
#include "agentos/executor/thread_pools.h"
#include "agentos/executor/thread_ring.h"
#include "agentos/manager/manager_fixture.h"
#include "gtest/gtest.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  agentos::SetSubject([](agentos::IoUringManagerOptions& options) {
    options.submission_rings =
        [pools = std::make_shared<agentos::ThreadPools>()]() -> absl::StatusOr<std::unique_ptr<agentos::SubmissionRing>> {
      return agentos::ThreadRing::Create({.entries = 64}, pools);
    };
  });
  return RUN_ALL_TESTS();
}
