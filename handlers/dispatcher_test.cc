#include "agentos/handlers/dispatcher.h"

#include <fcntl.h>

#include <string>

#include "absl/time/time.h"
#include "agentos/handlers/syscall.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

TEST(DispatcherTest, RingsTakeWhatTheKernelExecutes) {
  for (const Syscall* syscall :
       {new Syscall(Syscall::ReadFile("/p")), new Syscall(Syscall::Recv(3, 1 << 30, 0)), new Syscall(Syscall::Close(3)),
        new Syscall(Syscall::Sleep(absl::Seconds(1))), new Syscall(Syscall::IpcSend(3, std::string(10 << 20, 'x')))}) {
    EXPECT_EQ(Choose(*syscall).way, Way::kRing) << syscall->name();
    delete syscall;
  }
}

TEST(DispatcherTest, LargeTransfersAreStreams) {
  EXPECT_EQ(Choose(Syscall::ReadFile("/p"), kStreamFrom).way, Way::kStream);
  EXPECT_EQ(Choose(Syscall::ReadFile("/p"), kStreamFrom - 1).way, Way::kRing);
  EXPECT_EQ(Choose(Syscall::WriteFile("/p", std::string(kStreamFrom, 'x'))).way, Way::kStream);
  EXPECT_EQ(Choose(Syscall::Read(3, kStreamFrom, 0)).way, Way::kStream);
  // The caller knows that there is not so much.
  EXPECT_EQ(Choose(Syscall::Read(3, kStreamFrom, 0), 10).way, Way::kRing);
}

TEST(DispatcherTest, WhatNoRingExecutesIsATask) {
  EXPECT_EQ(Choose(Syscall::GetProcessInfo(3)).way, Way::kTask);
  EXPECT_EQ(Choose(Syscall::Named("Llm", "prompt")).way, Way::kTask);
  EXPECT_EQ(Choose(Syscall(Operation())).way, Way::kTask);
}

TEST(DispatcherTest, EveryChoiceHasANameAndAReason) {
  EXPECT_EQ(WayName(Way::kRing), "ring");
  EXPECT_EQ(WayName(Way::kStream), "stream");
  EXPECT_EQ(WayName(Way::kTask), "task");
  EXPECT_FALSE(Choose(Syscall::ReadFile("/p")).reason.empty());
}

}  // namespace
}  // namespace agentos
