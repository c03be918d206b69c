#include "agentos/manager/caller_guard.h"

#include <latch>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "agentos/executor/executor_info.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;

class CallerGuardTest : public testing::TestWithParam<Threading> {};

INSTANTIATE_TEST_SUITE_P(Threading, CallerGuardTest, testing::Values(Threading::kAnyThread, Threading::kOneThread));

TEST_P(CallerGuardTest, LetsItsMakerCall) {
  const CallerGuard guard(GetParam());
  EXPECT_TRUE(guard.Check().ok());
  EXPECT_FALSE(guard.InForkedChild());
}

TEST_P(CallerGuardTest, RefusesAForkedChildWhichMayMakeAGuardOfItsOwn) {
  const CallerGuard guard(GetParam());
  EXPECT_EQ(RunInChild([&]() -> std::string {
              if (!guard.InForkedChild()) return "the child is not recognised";
              const absl::Status status = guard.Check();
              if (!Refused(status, kRefused, {"forked child"})) return status.ToString();
              const CallerGuard own(GetParam());
              if (!own.Check().ok()) return "its own guard refuses the child";
              return RunInChild([&]() -> std::string {
                return guard.InForkedChild() && own.InForkedChild() ? "" : "the grandchild is not recognised";
              });
            }),
            "");
  EXPECT_TRUE(guard.Check().ok()) << "the parent goes on";
  const CallerGuard later(GetParam());
  EXPECT_TRUE(later.Check().ok());
}

TEST_P(CallerGuardTest, KnowsTheThreadsApart) {
  const CallerGuard guard(GetParam());
  absl::Status of_another;
  std::thread([&] {
    of_another = guard.Check();
    // Makes no difference to who owns the first one.
    EXPECT_TRUE(CallerGuard(GetParam()).Check().ok());
  }).join();
  if (GetParam() == Threading::kAnyThread) {
    EXPECT_TRUE(of_another.ok()) << of_another;
  } else {
    EXPECT_TRUE(Refused(of_another, kRefused, {"kOneThread", "kAnyThread"}));
  }
  EXPECT_TRUE(guard.Check().ok());
}

TEST_P(CallerGuardTest, BelongsToTheThreadThatMadeItWhereverItIsKept) {
  std::unique_ptr<CallerGuard> guard;
  std::latch made(1);
  std::latch asked(1);
  absl::Status of_maker;
  std::thread maker([&] {
    guard = std::make_unique<CallerGuard>(GetParam());
    made.count_down();
    asked.wait();
    of_maker = guard->Check();
  });
  made.wait();
  EXPECT_EQ(guard->Check().ok(), GetParam() == Threading::kAnyThread);
  asked.count_down();
  maker.join();
  EXPECT_TRUE(of_maker.ok()) << of_maker;
}

}  // namespace
}  // namespace agentos
