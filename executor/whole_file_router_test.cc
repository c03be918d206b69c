#include "agentos/executor/whole_file_router.h"

#include <cstddef>
#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr size_t kMany = 100;
constexpr size_t kThreads = 2;
constexpr int64_t kQuick = WholeFileRouter::kSlowJobNs / 3;
constexpr int64_t kSlow = WholeFileRouter::kSlowJobNs * 3;

// As many as make up any average.
constexpr int kHabit = 200;

void EndChains(WholeFileRouter& router, bool at_once, int count = kHabit) {
  for (int i = 0; i < count; ++i) router.OnChainEnd(at_once);
}

void EndJobs(WholeFileRouter& router, int64_t duration_ns) {
  for (int i = 0; i < kHabit; ++i) router.OnJobEnd(duration_ns);
}

int WorkersOf(WholeFileRouter& router, int files, size_t under_way = kMany, size_t backlog = 0) {
  int workers = 0;
  for (int i = 0; i < files; ++i) workers += router.UseWorker(under_way, backlog) ? 1 : 0;
  return workers;
}

// How many files go to a worker until one is tried as a chain.
uint32_t FilesBeforeATry(WholeFileRouter& router) {
  uint32_t files = 0;
  while (router.UseWorker(kMany, 0)) ++files;
  return files;
}

TEST(WholeFileRouterTest, UsesNoWorkerWhereNoneGains) {
  struct Case {
    const char* what;
    size_t threads, under_way, backlog;
    int64_t job_ns;
    bool may;
  };
  constexpr size_t kFew = WholeFileRouter::kFew;
  constexpr size_t kBacklog = WholeFileRouter::kQuickBacklog;
  const Case kCases[] = {
      {"no threads", 0, kMany, 0, kQuick, false},
      {"a few files", kThreads, kFew - 1, 0, kQuick, false},
      {"enough files", kThreads, kFew, 0, kQuick, true},
      {"a backlog of quick jobs", kThreads, kMany, kBacklog - 1, kQuick, true},
      {"a backlog that is too long", kThreads, kMany, kBacklog, kQuick, false},
      {"slow jobs and a free thread", kThreads, kMany, kThreads - 1, kSlow, true},
      {"slow jobs and none", kThreads, kMany, kThreads, kSlow, false},
      {"as slow as may be", kThreads, kMany, kThreads, WholeFileRouter::kSlowJobNs, true},
      {"stopped clocks", kThreads, kMany, kThreads, 0, true},
  };
  for (const Case& c : kCases) {
    for (const bool at_once : {true, false}) {
      SCOPED_TRACE(testing::Message() << c.what << (at_once ? ", chains at once" : ", chains handed over"));
      WholeFileRouter router(c.threads);
      EndChains(router, at_once);
      EndJobs(router, c.job_ns);
      EXPECT_EQ(WorkersOf(router, 10, c.under_way, c.backlog) > 0, c.may);
    }
  }
}

TEST(WholeFileRouterTest, SharesFilesHalfAndHalfWhileChainsEndAtOnce) {
  WholeFileRouter router(kThreads);
  EXPECT_FALSE(router.chains_handed_over());
  EXPECT_EQ(WorkersOf(router, 1000), 500);
  EndChains(router, true);
  EXPECT_EQ(WorkersOf(router, 1000), 500);
  // What a refusal did not decide leaves the halves as they are.
  EXPECT_EQ(WorkersOf(router, 3, kMany, WholeFileRouter::kQuickBacklog), 0);
  EXPECT_EQ(WorkersOf(router, 1000), 500);
}

TEST(WholeFileRouterTest, ChangesItsMindOnlyAfterSeveralChains) {
  WholeFileRouter router(kThreads);
  EndChains(router, true);
  EndChains(router, false, 3);
  EXPECT_FALSE(router.chains_handed_over()) << "a few were slow";
  EndChains(router, false, 5);
  EXPECT_TRUE(router.chains_handed_over());
  EndChains(router, false);
  EndChains(router, true, 3);
  EXPECT_TRUE(router.chains_handed_over()) << "a few were quick";
  EndChains(router, true, 5);
  EXPECT_FALSE(router.chains_handed_over());
}

TEST(WholeFileRouterTest, TriesChainsEverMoreRarelyWhileTheyAreHandedOver) {
  WholeFileRouter router(kThreads);
  EndChains(router, false);
  // One that ended at once is hope, not yet a habit.
  router.OnChainEnd(true);
  ASSERT_TRUE(router.chains_handed_over());
  FilesBeforeATry(router);
  for (uint32_t gap = WholeFileRouter::kFirstTryAfter; gap <= WholeFileRouter::kLastTryAfter; gap *= 2) {
    EXPECT_EQ(FilesBeforeATry(router), gap - 1);
    EXPECT_EQ(FilesBeforeATry(router), gap - 1) << "the try has not ended yet";
    router.OnChainEnd(false);
  }
  EXPECT_EQ(FilesBeforeATry(router), WholeFileRouter::kLastTryAfter - 1);
  router.OnChainEnd(true);
  EXPECT_EQ(FilesBeforeATry(router), WholeFileRouter::kFirstTryAfter - 1);
}

TEST(WholeFileRouterTest, ForgetsSlowJobsWhenQuickOnesFollow) {
  WholeFileRouter router(kThreads);
  EndJobs(router, std::numeric_limits<int32_t>::max());
  EXPECT_EQ(WorkersOf(router, 10, kMany, kThreads), 0);
  EndJobs(router, kQuick);
  EXPECT_EQ(WorkersOf(router, 10, kMany, kThreads), 5);
}

}  // namespace
}  // namespace agentos
