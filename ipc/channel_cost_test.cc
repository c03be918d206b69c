// What a message costs while both sides are awake, in system calls and allocations: nothing.

#include <sys/syscall.h>

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/ipc/channel.h"
#include "agentos/ipc/channel_options.h"
#include "agentos/ipc/channel_test_support.h"
#include "agentos/ipc/received_view.h"
#include "agentos/testing/allocation_count.h"
#include "agentos/testing/system_call_trace.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos::ipc {
namespace {

constexpr int kRounds = 2000;

// Never sleeps, as long as a test may run.
ChannelOptions AwakeOptions() {
  ChannelOptions options = SmallOptions();
  options.spin = absl::Hours(1);
  // The echo gives a buffer back after it has answered.
  options.pool.classes = {{4096, 4}, {65536, 4}};
  return options;
}

std::string Echo(Channel& channel) {
  for (;;) {
    absl::StatusOr<ReceivedView> view = channel.Receive();
    if (!view.ok()) return "";
    if (!channel.Send(view->view(), 0, absl::InfiniteDuration()).ok()) return "";
  }
}

std::string RoundTrips(Channel& channel, absl::string_view bytes, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    if (absl::Status sent = channel.Send(bytes); !sent.ok()) return sent.ToString();
    absl::StatusOr<ReceivedView> view = channel.Receive();
    if (!view.ok()) return view.status().ToString();
    if (view->size() != bytes.size()) return "another size";
  }
  return "";
}

class ChannelCostTest : public testing::TestWithParam<size_t> {};

TEST_P(ChannelCostTest, AMessageMakesNoSystemCallAndNoAllocationWhileBothAreAwake) {
  const std::string bytes(GetParam(), 'x');
  const SystemCallTrace trace = TraceSystemCalls([&bytes]() -> std::string {
    Peer peer(Echo, AwakeOptions());
    const std::unique_ptr<Channel> channel = peer.Connect(AwakeOptions());
    if (channel == nullptr) return peer.why().ToString();
    std::string problem = RoundTrips(*channel, bytes, 10);
    const size_t before = AllocationCount();
    MarkSystemCalls();
    if (problem.empty()) problem = RoundTrips(*channel, bytes, kRounds);
    MarkSystemCalls();
    if (const size_t allocations = AllocationCount() - before; allocations > 0)
      problem += absl::StrCat(allocations, " allocations");
    return problem;
  });
  if (trace.refused) GTEST_SKIP() << "this machine allows no tracing";
  ASSERT_EQ(trace.error, "");
  EXPECT_TRUE(trace.calls[0].empty()) << Describe(trace.calls[0]);
}

INSTANTIATE_TEST_SUITE_P(Sizes, ChannelCostTest, testing::Values(0, 64, ReceivedView::kInlineBytes, 4096, 65536));

TEST(ChannelCostAsleepTest, AReceiverThatSleepsCostsTheSenderAtMostOneCallAMessage) {
  constexpr int kMessages = 20;
  const SystemCallTrace trace = TraceSystemCalls([]() -> std::string {
    ChannelOptions sleepy = SmallOptions();
    sleepy.queue_capacity = 64;
    Peer peer(
        [](Channel& channel) -> std::string {
          for (;;) {
            if (!channel.Receive().ok()) return "";
          }
        },
        sleepy);
    const std::unique_ptr<Channel> channel = peer.Connect(sleepy);
    if (channel == nullptr) return peer.why().ToString();
    std::string problem;
    MarkSystemCalls();
    for (int i = 0; i < kMessages; ++i) {
      if (!channel->Send("x").ok()) problem = "full";
    }
    MarkSystemCalls();
    return problem;
  });
  if (trace.refused) GTEST_SKIP() << "this machine allows no tracing";
  ASSERT_EQ(trace.error, "");
  for (const auto& [number, count] : trace.calls[0]) {
    EXPECT_EQ(number, SYS_futex);
    EXPECT_LE(count, kMessages) << "one for each message at most";
  }
}

}  // namespace
}  // namespace agentos::ipc
