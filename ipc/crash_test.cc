// A peer that is killed: at every step of its life, and at random moments. AGENTOS_IPC_KILLS says how many of those.

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/ipc/buffer_word.h"
#include "agentos/ipc/channel.h"
#include "agentos/ipc/channel_options.h"
#include "agentos/ipc/channel_test_support.h"
#include "agentos/ipc/received_view.h"
#include "agentos/ipc/steps.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos::ipc {
namespace {

// What a killed process leaves behind of what it knew.
struct Testimony {
  // Send has answered OK so often.
  std::atomic<uint64_t> acknowledged;
  // The number of the last message that Receive gave.
  std::atomic<uint64_t> received;
  // A message came twice, or one was left out.
  std::atomic<bool> disorder;
};

class SharedTestimony {
 public:
  SharedTestimony()
      : testimony_(new (mmap(nullptr, sizeof(Testimony), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
                       Testimony{}) {}
  ~SharedTestimony() { munmap(testimony_, sizeof(Testimony)); }
  SharedTestimony(const SharedTestimony&) = delete;
  SharedTestimony& operator=(const SharedTestimony&) = delete;
  Testimony* operator->() const { return testimony_; }
  Testimony& operator*() const { return *testimony_; }

 private:
  Testimony* const testimony_;
};

// Large enough for a buffer, except every third.
std::string Message(uint64_t number) {
  std::string text = absl::StrCat(number, "|");
  text.resize(number % 3 == 0 ? 40 : 2000, 'x');
  return text;
}

bool IsMessage(const ReceivedView& view, uint64_t number) { return view.tag() == number && view.view() == Message(number); }

// Sends and receives for ever, and testifies. Keeps the last view for a while, so that a kill finds it held.
absl::Status Talk(Channel& channel, Testimony& testimony, uint64_t rounds = ~uint64_t{0}) {
  ReceivedView view;
  for (uint64_t round = 0; round < rounds; ++round) {
    const uint64_t number = testimony.acknowledged + 1;
    const absl::Status sent = channel.Send(Message(number), number);
    if (sent.ok()) {
      testimony.acknowledged = number;
    } else if (!absl::IsResourceExhausted(sent)) {
      return sent;
    }
    absl::StatusOr<bool> received = channel.TryReceive(view);
    if (!received.ok()) return received.status();
    if (*received) {
      if (!IsMessage(view, testimony.received + 1)) testimony.disorder = true;
      testimony.received = testimony.received + 1;
    }
  }
  return absl::OkStatus();
}

// What can still be received; then how the channel ended.
absl::Status Drain(Channel& channel, Testimony& testimony) {
  for (;;) {
    absl::StatusOr<ReceivedView> view = channel.Receive();
    if (!view.ok()) return view.status();
    if (!IsMessage(*view, testimony.received + 1)) testimony.disorder = true;
    testimony.received = testimony.received + 1;
  }
}

std::string WhatIsWrong(Channel& channel, const Testimony& mine, const Testimony& dead) {
  std::string wrong;
  if (mine.disorder || dead.disorder) absl::StrAppend(&wrong, "a message came twice or out of order; ");
  // The last one may have been sent without the sender's living to know it.
  if (mine.received < dead.acknowledged || mine.received > dead.acknowledged + 1) {
    absl::StrAppend(&wrong, "acknowledged ", dead.acknowledged.load(), ", received ", mine.received.load(), "; ");
  }
  if (dead.received > mine.acknowledged) absl::StrAppend(&wrong, "received what was never sent; ");
  const ChannelStats stats = channel.Stats();
  size_t total = 0;
  for (const SizeClassStats& each : stats.classes) {
    total += each.count;
    if (each.free != each.count) absl::StrAppend(&wrong, each.count - each.free, " buffers of ", each.size, " are lost; ");
  }
  if (stats.own_buffers != BufferCensus{total}) absl::StrAppend(&wrong, "the words of free buffers do not say so; ");
  const BufferCensus& theirs = stats.peer_buffers;
  if (theirs[kBufferStates] != 0 || std::accumulate(theirs.begin(), theirs.end(), size_t{0}) != total) {
    absl::StrAppend(&wrong, "a buffer of the dead is in no state; ");
  }
  return wrong;
}

Step step_to_die_at;
int times_to_pass;

void DieAtStep(Step step) {
  if (step == step_to_die_at && times_to_pass-- == 0) raise(SIGKILL);
}

class CrashAtStepTest : public testing::TestWithParam<int> {};

TEST_P(CrashAtStepTest, NothingIsLostAndNothingComesTwice) {
  for (const int passes : {0, 1, 5}) {
    SCOPED_TRACE(passes);
    SharedTestimony mine;
    SharedTestimony dead;
    Peer peer([&dead, passes](Channel& channel) {
      step_to_die_at = static_cast<Step>(GetParam());
      times_to_pass = passes;
      SetStepHook(&DieAtStep);
      return absl::StrCat("survived: ", Talk(channel, *dead).ToString());
    });
    const std::unique_ptr<Channel> channel = peer.Connect();
    ASSERT_NE(channel, nullptr) << peer.why();
    const absl::Status end = Talk(*channel, *mine);
    EXPECT_TRUE(Refused(end, absl::StatusCode::kUnavailable, {absl::StrCat("process ", peer.pid()), "died"}));
    EXPECT_EQ(Drain(*channel, *mine), end);
    EXPECT_EQ(WhatIsWrong(*channel, *mine, *dead), "");
    EXPECT_EQ(peer.AwaitEnd(), "killed by Killed");
  }
}

INSTANTIATE_TEST_SUITE_P(EverySendingAndReceivingStep, CrashAtStepTest,
                         testing::Range(static_cast<int>(Step::kLoanMarked), static_cast<int>(kSteps)));

TEST(CrashInHandshakeTest, ThePeerIsMissed) {
  for (const Step step : {Step::kHelloSent, Step::kVerdictSent}) {
    const std::unique_ptr<Peer> peer = Peer::WithSocket([step](int socket) {
      step_to_die_at = step;
      times_to_pass = 0;
      SetStepHook(&DieAtStep);
      return absl::StrCat("survived: ", Channel::OverSocket(socket, SmallOptions()).status().ToString());
    });
    const std::unique_ptr<Channel> channel = peer->Connect();
    // Who has agreed before it died is missed a little later.
    const absl::Status status = channel == nullptr ? peer->why() : channel->Receive().status();
    EXPECT_TRUE(Refused(status, absl::StatusCode::kUnavailable)) << static_cast<int>(step);
    EXPECT_EQ(peer->AwaitEnd(), "killed by Killed");
  }
}

TEST(CrashTest, WhoeverSleepsIsWokenByTheDeath) {
  SharedTestimony unused;
  Peer peer([](Channel& channel) { return channel.Receive().status().ToString(); });
  const std::unique_ptr<Channel> channel = peer.Connect();
  ASSERT_NE(channel, nullptr) << peer.why();
  const pid_t sleeper = ThisThread();
  std::thread killer([&peer, sleeper] {
    AwaitAsleep(sleeper);
    peer.Kill();
  });
  EXPECT_TRUE(Refused(channel->Receive().status(), absl::StatusCode::kUnavailable));
  killer.join();
}

TEST(CrashTest, TheBuffersOfADeadReceiverAreBackAndALoanIsWokenByThat) {
  Peer peer([](Channel& channel) {
    // Holds all that there is.
    std::vector<absl::StatusOr<ReceivedView>> held;
    for (int i = 0; i < 3; ++i) held.push_back(channel.Receive());
    channel.Send("got them").IgnoreError();
    return channel.Receive().status().ToString();
  });
  const std::unique_ptr<Channel> channel = peer.Connect();
  ASSERT_NE(channel, nullptr) << peer.why();
  for (const size_t size : {1000, 1000, 65536}) ASSERT_TRUE(channel->Send(std::string(size, 'x')).ok());
  ASSERT_TRUE(channel->Receive().ok());
  EXPECT_EQ(channel->Stats().own_buffers[static_cast<size_t>(BufferState::kHeld)], 3u);
  const pid_t sleeper = ThisThread();
  std::thread killer([&peer, sleeper] {
    AwaitAsleep(sleeper);
    peer.Kill();
  });
  EXPECT_TRUE(Refused(channel->Loan(1, absl::InfiniteDuration()).status(), absl::StatusCode::kUnavailable));
  killer.join();
  EXPECT_EQ(channel->Stats().own_buffers, BufferCensus{3});
}

int Kills() {
  int kills = 0;
  const char* const wanted = std::getenv("AGENTOS_IPC_KILLS");
  if (wanted != nullptr && absl::SimpleAtoi(wanted, &kills)) return kills;
  return kSanitized ? 50 : 300;
}

#if defined(__SANITIZE_THREAD__)
// It follows no child that was forked beside a thread, and while the bystander is watched there is one.
constexpr bool kHasBystander = false;
#else
constexpr bool kHasBystander = true;
#endif

TEST(CrashTest, AtRandomMomentsNothingIsLostAndNothingComesTwice) {
  // One that lives through all of it: what happens to others is none of its business.
  SharedTestimony bystander_said;
  SharedTestimony said_to_bystander;
  Peer bystander([&bystander_said](Channel& channel) {
    const absl::Status end = Talk(channel, *bystander_said);
    return absl::IsFailedPrecondition(end) ? "" : end.ToString();
  });
  const std::unique_ptr<Channel> quiet = kHasBystander ? bystander.Connect() : nullptr;
  ASSERT_EQ(quiet != nullptr, kHasBystander) << bystander.why();

  std::mt19937_64 random(20240229);
  for (int i = 0; i < Kills(); ++i) {
    SharedTestimony mine;
    SharedTestimony dead;
    Peer peer([&dead](Channel& channel) { return Talk(channel, *dead).ToString(); });
    const std::unique_ptr<Channel> channel = peer.Connect();
    ASSERT_NE(channel, nullptr) << peer.why();
    const auto until = std::chrono::steady_clock::now() + std::chrono::nanoseconds(random() % 300'000);
    absl::Status end;
    while (end.ok() && std::chrono::steady_clock::now() < until) end = Talk(*channel, *mine, 1 + random() % 8);
    ASSERT_TRUE(end.ok()) << end;
    peer.Kill();
    end = Talk(*channel, *mine);
    ASSERT_TRUE(Refused(end, absl::StatusCode::kUnavailable)) << "kill " << i;
    ASSERT_EQ(Drain(*channel, *mine), end);
    ASSERT_EQ(WhatIsWrong(*channel, *mine, *dead), "") << "kill " << i;
    if (quiet != nullptr) {
      ASSERT_TRUE(Talk(*quiet, *said_to_bystander, 1).ok());
    }
  }
  if (quiet == nullptr) return;
  quiet->Close();
  EXPECT_EQ(bystander.AwaitEnd(), "");
  EXPECT_FALSE(bystander_said->disorder || said_to_bystander->disorder);
}

}  // namespace
}  // namespace agentos::ipc
