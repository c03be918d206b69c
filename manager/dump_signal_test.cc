#include "agentos/manager/dump_signal.h"

#include <signal.h>

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

bool IsHandled(int signal) {
  struct sigaction now = {};
  EXPECT_EQ(sigaction(signal, nullptr, &now), 0);
  return now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN;
}

TEST(DumpSignal, CountsAsLongAsItLives) {
  {
    auto signal = DumpSignal::Install(SIGUSR2);
    ASSERT_TRUE(signal.ok()) << signal.status();
    EXPECT_FALSE(signal->TakeArrived());
    raise(SIGUSR2);
    raise(SIGUSR2);
    EXPECT_TRUE(signal->TakeArrived());
    EXPECT_FALSE(signal->TakeArrived());
    raise(SIGUSR2);
    DumpSignal moved = *std::move(signal);
    EXPECT_TRUE(moved.TakeArrived());
  }
  EXPECT_FALSE(IsHandled(SIGUSR2)) << "it was given back";
}

TEST(DumpSignal, SeveralMayCountTheSame) {
  auto first = DumpSignal::Install(SIGUSR2);
  ASSERT_TRUE(first.ok());
  {
    auto second = DumpSignal::Install(SIGUSR2);
    ASSERT_TRUE(second.ok());
    raise(SIGUSR2);
    EXPECT_TRUE(second->TakeArrived());
  }
  EXPECT_TRUE(IsHandled(SIGUSR2));
  EXPECT_TRUE(first->TakeArrived());
}

TEST(DumpSignal, TheProgramsOwnHandlerIsNotTouched) {
  struct sigaction own = {};
  own.sa_handler = [](int) {};
  struct sigaction before = {};
  ASSERT_EQ(sigaction(SIGUSR1, &own, &before), 0);
  EXPECT_TRUE(Refused(DumpSignal::Install(SIGUSR1).status(), absl::StatusCode::kFailedPrecondition, {"handler"}));
  struct sigaction now = {};
  ASSERT_EQ(sigaction(SIGUSR1, &before, &now), 0);
  EXPECT_EQ(now.sa_handler, own.sa_handler);
}

// The program took the signal over in the meantime.
TEST(DumpSignal, GivesBackOnlyWhatIsStillItsOwn) {
  struct sigaction own = {};
  own.sa_handler = [](int) {};
  {
    auto signal = DumpSignal::Install(SIGUSR1);
    ASSERT_TRUE(signal.ok());
    ASSERT_EQ(sigaction(SIGUSR1, &own, nullptr), 0);
  }
  struct sigaction now = {};
  ASSERT_EQ(sigaction(SIGUSR1, nullptr, &now), 0);
  EXPECT_EQ(now.sa_handler, own.sa_handler);
  signal(SIGUSR1, SIG_DFL);
}

TEST(DumpSignal, WhatIsNoSignalIsRefused) {
  for (const int number : {-1, 0, 65, 1000, SIGKILL, SIGSTOP}) {
    EXPECT_TRUE(Refused(DumpSignal::Install(number).status(), absl::StatusCode::kInvalidArgument, {"dump_signal"})) << number;
  }
}

}  // namespace
}  // namespace agentos
