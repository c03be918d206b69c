#include "agentos/examples/agent_pool/agent_pool.h"

#include <array>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

std::shared_ptr<IoUringManager> MakeManager() {
  absl::StatusOr<std::unique_ptr<IoUringManager>> manager = IoUringManager::Create({.kernel_rings = 1});
  EXPECT_TRUE(manager.ok()) << manager.status();
  return *std::move(manager);
}

TEST(AgentPoolTest, EveryAgentWorksAndFinishes) {
  const TempDir directory;
  const std::shared_ptr<IoUringManager> manager = MakeManager();
  absl::StatusOr<std::unique_ptr<AgentPool>> pool = AgentPool::Create(manager, {.agents = 200, .directory = directory.Path("")});
  ASSERT_TRUE(pool.ok()) << pool.status();
  std::array<AgentClassSum, 2> sums;
  do {
    (*pool)->Run(absl::Milliseconds(20));
    sums = (*pool)->Sum();
  } while (sums[0].messages < 2 * sums[0].agents || sums[1].messages < 2 * sums[1].agents);
  EXPECT_TRUE((*pool)->Finish(absl::InfiniteDuration()).ok());
  sums = (*pool)->Sum();
  EXPECT_EQ(sums[0].agents, 180u);
  EXPECT_EQ(sums[1].agents, 20u);
  EXPECT_EQ(sums[0].errors + sums[1].errors, 0u);
  // Sixteen reads for each write of a heavy one.
  EXPECT_EQ(sums[0].reads, sums[0].writes);
  EXPECT_EQ(sums[1].reads, 16 * sums[1].writes);
  EXPECT_EQ(manager->Stats().dropped, 0u);
}

TEST(AgentPoolTest, APoolThatIsDestroyedInTheMiddleLeavesNothingUnderWay) {
  const TempDir directory;
  const std::shared_ptr<IoUringManager> manager = MakeManager();
  {
    absl::StatusOr<std::unique_ptr<AgentPool>> pool = AgentPool::Create(manager, {.agents = 50, .directory = directory.Path("")});
    ASSERT_TRUE(pool.ok()) << pool.status();
    (*pool)->Run(absl::Milliseconds(5));
  }
  EXPECT_EQ(manager->Stats().pending, 0u);
}

TEST(AgentPoolTest, ErrorsAreCounted) {
  const std::shared_ptr<IoUringManager> manager = MakeManager();
  absl::StatusOr<std::unique_ptr<AgentPool>> pool = AgentPool::Create(manager, {.agents = 3, .directory = "/no/such/directory"});
  ASSERT_TRUE(pool.ok()) << pool.status();
  while ((*pool)->Sum()[0].errors == 0) (*pool)->Run(absl::Milliseconds(1));
  EXPECT_TRUE((*pool)->Finish(absl::InfiniteDuration()).ok());
  EXPECT_TRUE(Refused(AgentPool::Create(manager, {.agents = 0}).status(), absl::StatusCode::kInvalidArgument, {"agents is 0"}));
}

}  // namespace
}  // namespace agentos
