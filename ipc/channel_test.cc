#include "agentos/ipc/channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/ipc/channel_options.h"
#include "agentos/ipc/channel_test_support.h"
#include "agentos/ipc/received_view.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos::ipc {
namespace {

constexpr absl::Duration kForever = absl::InfiniteDuration();

std::string Text(const absl::Status& status) { return status.ok() ? "" : status.ToString(); }

// Sends back what comes, up to the end.
std::string Echo(Channel& channel) {
  for (;;) {
    absl::StatusOr<ReceivedView> view = channel.Receive();
    if (absl::IsFailedPrecondition(view.status())) return "";
    if (!view.ok()) return view.status().ToString();
    if (absl::Status sent = channel.Send(view->view(), view->tag(), kForever); !sent.ok()) return sent.ToString();
  }
}

// Both ends in this process.
struct TwoEnds {
  explicit TwoEnds(const ChannelOptions& options = SmallOptions()) {
    Pair sockets = MakeSocketPair(SOCK_SEQPACKET);
    std::thread other([&] {
      absl::StatusOr<std::unique_ptr<Channel>> made = Channel::OverSocket(dup(sockets.second.get()), options);
      EXPECT_TRUE(made.ok()) << made.status();
      if (made.ok()) second = *std::move(made);
    });
    absl::StatusOr<std::unique_ptr<Channel>> made = Channel::OverSocket(dup(sockets.first.get()), options);
    EXPECT_TRUE(made.ok()) << made.status();
    if (made.ok()) first = *std::move(made);
    other.join();
  }

  std::unique_ptr<Channel> first;
  std::unique_ptr<Channel> second;
};

TEST(ChannelTest, MessagesOfAllSizesGoToAnotherProcessAndBack) {
  Peer peer(Echo);
  const std::unique_ptr<Channel> channel = peer.Connect();
  ASSERT_NE(channel, nullptr) << peer.why();
  EXPECT_EQ(channel->peer().pid, peer.pid());
  EXPECT_EQ(channel->peer().uid, geteuid());
  uint64_t tag = 0;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{64}, ReceivedView::kInlineBytes, ReceivedView::kInlineBytes + 1,
                            size_t{4096}, size_t{4097}, size_t{65536}}) {
    const std::string content = Content(size);
    // The echo gives a buffer back after it has answered, so that there may be a wait for the large one.
    ASSERT_EQ(Text(channel->Send(content, ++tag, kForever)), "") << size;
    absl::StatusOr<ReceivedView> view = channel->Receive();
    ASSERT_TRUE(view.ok()) << view.status();
    EXPECT_EQ(view->view(), content);
    EXPECT_EQ(view->tag(), tag);
    EXPECT_EQ(view->in_shared_memory(), size > ReceivedView::kInlineBytes);
  }
  channel->Close();
  EXPECT_EQ(peer.AwaitEnd(), "");
}

TEST(ChannelTest, BothDirectionsAtOnceKeepTheirOrder) {
  constexpr int kMessages = kSanitized ? 2000 : 20000;
  const auto both_ways = [](Channel& channel) -> std::string {
    std::string problem;
    std::thread sender([&channel, &problem] {
      for (int i = 0; i < kMessages && problem.empty(); ++i) {
        // Sizes that take turns between the slot and the pool.
        const std::string content = absl::StrCat(i, ":", std::string(i % 300, 'x'));
        problem = Text(channel.Send(content, i, kForever));
      }
    });
    std::string wrong;
    for (int i = 0; i < kMessages && wrong.empty(); ++i) {
      absl::StatusOr<ReceivedView> view = channel.Receive();
      if (!view.ok()) {
        wrong = view.status().ToString();
      } else if (view->view() != absl::StrCat(i, ":", std::string(i % 300, 'x'))) {
        wrong = absl::StrCat("message ", i, " is wrong");
      }
    }
    sender.join();
    return problem + wrong;
  };
  Peer peer(both_ways);
  const std::unique_ptr<Channel> channel = peer.Connect();
  ASSERT_NE(channel, nullptr) << peer.why();
  EXPECT_EQ(both_ways(*channel), "");
  EXPECT_EQ(peer.AwaitEnd(), "");
  const ChannelStats stats = channel->Stats();
  EXPECT_EQ(stats.sent, uint64_t{kMessages});
  EXPECT_EQ(stats.received, uint64_t{kMessages});
  EXPECT_EQ(stats.classes[0].free, 2u);
}

TEST(ChannelTest, ALoanedBufferMovesAndTheHandleIsEmpty) {
  TwoEnds ends;
  absl::StatusOr<LoanedBuffer> buffer = ends.first->Loan(65536);
  ASSERT_TRUE(buffer.ok());
  const std::string content = Content(65536);
  std::memcpy(buffer->data(), content.data(), content.size());
  EXPECT_TRUE(ends.first->Send(*std::move(buffer), 7).ok());
  EXPECT_FALSE(*buffer);
  absl::StatusOr<ReceivedView> view = ends.second->Receive();
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(view->view(), content);
  EXPECT_EQ(view->tag(), 7u);
  ReceivedView moved = *std::move(view);
  EXPECT_EQ(moved.view(), content);
  EXPECT_TRUE(Refused(ends.first->Loan(65536).status(), absl::StatusCode::kResourceExhausted)) << "the receiver has it";
  moved.Reset();
  EXPECT_TRUE(ends.first->Loan(65536).ok());
}

TEST(ChannelTest, WhatCannotBeSentStaysWithTheCaller) {
  TwoEnds ends;
  LoanedBuffer empty;
  EXPECT_TRUE(Refused(ends.first->Send(std::move(empty)), absl::StatusCode::kInvalidArgument, {"empty"}));
  LoanedBuffer foreign = *ends.second->Loan(1);
  EXPECT_TRUE(Refused(ends.first->Send(std::move(foreign)), absl::StatusCode::kInvalidArgument, {"another channel"}));
  EXPECT_TRUE(foreign);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(ends.first->Send("fill").ok());
  LoanedBuffer buffer = *ends.first->Loan(1);
  EXPECT_TRUE(Refused(ends.first->Send(std::move(buffer)), absl::StatusCode::kResourceExhausted, {"4 messages"}));
  EXPECT_TRUE(buffer) << "it was not moved";
  EXPECT_TRUE(ends.second->Receive().ok());
  EXPECT_TRUE(ends.first->Send(std::move(buffer)).ok());
  EXPECT_FALSE(buffer);
}

TEST(ChannelTest, TooLargeIsRefusedAndSaysHowLargeIsPossible) {
  TwoEnds ends;
  EXPECT_TRUE(Refused(ends.first->Send(std::string(65537, 'x')), absl::StatusCode::kInvalidArgument, {"65537", "65536"}));
  EXPECT_TRUE(Refused(ends.first->Loan(65537).status(), absl::StatusCode::kInvalidArgument));
}

TEST(ChannelTest, WaitsEndAtTheirDeadline) {
  TwoEnds ends;
  EXPECT_TRUE(Refused(ends.second->Receive(absl::Milliseconds(1)).status(), absl::StatusCode::kDeadlineExceeded, {"1ms"}));
  EXPECT_TRUE(Refused(ends.second->Receive(absl::ZeroDuration()).status(), absl::StatusCode::kDeadlineExceeded));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(ends.first->Send("fill").ok());
  EXPECT_TRUE(Refused(ends.first->Send("more", 0, absl::Milliseconds(1)), absl::StatusCode::kDeadlineExceeded, {"1ms"}));
  const std::string large(65536, 'x');
  EXPECT_TRUE(ends.second->Send(large).ok());
  EXPECT_TRUE(Refused(ends.second->Send(large, 0, absl::Milliseconds(1)), absl::StatusCode::kDeadlineExceeded, {"65536"}));
}

TEST(ChannelTest, AFullQueueIsWaitedFor) {
  TwoEnds ends;
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(ends.first->Send("fill").ok());
  std::atomic<pid_t> waiter = 0;
  std::thread sender([&] {
    waiter = ThisThread();
    EXPECT_TRUE(ends.first->Send("fifth", 0, kForever).ok());
  });
  while (waiter == 0) std::this_thread::yield();
  AwaitAsleep(waiter);
  EXPECT_TRUE(ends.second->Receive().ok());
  sender.join();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(ends.second->Receive().ok());
  EXPECT_EQ(ends.second->Receive()->view(), "fifth");
}

TEST(ChannelTest, AQuotaBoundsWhatThePeerHolds) {
  ChannelOptions options = SmallOptions();
  options.max_held_by_peer = 1;
  TwoEnds ends(options);
  const std::string content(1000, 'x');
  EXPECT_TRUE(ends.first->Send(content).ok());
  LoanedBuffer second = *ends.first->Loan(1000);
  EXPECT_TRUE(Refused(ends.first->Send(std::move(second)), absl::StatusCode::kResourceExhausted, {"quota"}));
  EXPECT_TRUE(ends.first->Send("small ones need none").ok());
  absl::StatusOr<ReceivedView> view = ends.second->Receive();
  EXPECT_TRUE(Refused(ends.first->Send(std::move(second)), absl::StatusCode::kResourceExhausted)) << "received is not given back";
  std::atomic<pid_t> waiter = 0;
  std::thread sender([&] {
    waiter = ThisThread();
    EXPECT_TRUE(ends.first->Send(std::move(second), 0, kForever).ok());
  });
  while (waiter == 0) std::this_thread::yield();
  AwaitAsleep(waiter);
  view->Reset();
  sender.join();
}

TEST(ChannelTest, ClosingLetsThePeerReceiveWhatWasSent) {
  TwoEnds ends;
  EXPECT_TRUE(ends.first->Send("one").ok());
  EXPECT_TRUE(ends.first->Send(std::string(1000, 'x')).ok());
  ends.first->Close();
  EXPECT_TRUE(Refused(ends.first->Send("late"), absl::StatusCode::kFailedPrecondition, {"this side has closed"}));
  EXPECT_TRUE(Refused(ends.first->Receive().status(), absl::StatusCode::kFailedPrecondition, {"this side has closed"}));
  EXPECT_TRUE(Refused(ends.first->Loan(1).status(), absl::StatusCode::kFailedPrecondition, {"this side has closed"}));
  EXPECT_TRUE(Refused(ends.second->Send("to nobody"), absl::StatusCode::kFailedPrecondition, {"the peer has closed"}));
  EXPECT_EQ(ends.second->Receive()->view(), "one");
  EXPECT_EQ(ends.second->Receive()->size(), 1000u);
  EXPECT_TRUE(Refused(ends.second->Receive().status(), absl::StatusCode::kFailedPrecondition, {"the peer has closed"}));
}

TEST(ChannelTest, ClosingWakesWhoeverWaitsOnEitherSide) {
  TwoEnds ends;
  std::atomic<pid_t> waiters[2] = {};
  std::vector<std::thread> threads;
  for (Channel* each : {ends.first.get(), ends.second.get()}) {
    threads.emplace_back([each, &waiter = waiters[threads.size()]] {
      waiter = ThisThread();
      EXPECT_TRUE(Refused(each->Receive().status(), absl::StatusCode::kFailedPrecondition, {"closed"}));
    });
  }
  for (std::atomic<pid_t>& waiter : waiters) {
    while (waiter == 0) std::this_thread::yield();
    AwaitAsleep(waiter);
  }
  ends.first->Close();
  for (std::thread& thread : threads) thread.join();
}

TEST(ChannelTest, ClosingWakesAPeerThatWaitsForABufferOrForRoom) {
  TwoEnds ends;
  const std::string large(65536, 'x');
  EXPECT_TRUE(ends.first->Send(large).ok());
  std::atomic<pid_t> waiter = 0;
  std::thread loaning([&] {
    waiter = ThisThread();
    EXPECT_TRUE(
        Refused(ends.first->Loan(65536, kForever).status(), absl::StatusCode::kFailedPrecondition, {"the peer has closed"}));
  });
  while (waiter == 0) std::this_thread::yield();
  AwaitAsleep(waiter);
  ends.second->Close();
  loaning.join();

  TwoEnds others;
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(others.first->Send("fill").ok());
  waiter = 0;
  std::thread sending([&] {
    waiter = ThisThread();
    EXPECT_TRUE(Refused(others.first->Send("more", 0, kForever), absl::StatusCode::kFailedPrecondition, {"the peer has closed"}));
  });
  while (waiter == 0) std::this_thread::yield();
  AwaitAsleep(waiter);
  others.second.reset();
  sending.join();
}

TEST(ChannelTest, ViewsOutliveTheirChannelAndItsPeer) {
  TwoEnds ends;
  const std::string content = Content(65536);
  EXPECT_TRUE(ends.first->Send(content).ok());
  absl::StatusOr<ReceivedView> view = ends.second->Receive();
  LoanedBuffer loaned = *ends.first->Loan(1);
  ends.first.reset();
  ends.second.reset();
  EXPECT_EQ(view->view(), content);
  loaned.Reset();
}

bool Readable(int fd) {
  pollfd poll_fd = {.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&poll_fd, 1, 0) == 1;
}

TEST(ChannelFdTest, IsReadableWhenThereIsSomethingToReceive) {
  TwoEnds ends;
  ReceivedView view;
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(*ends.second->ArmFd());
    EXPECT_FALSE(Readable(ends.second->fd()));
    EXPECT_TRUE(ends.first->Send("one").ok());
    EXPECT_TRUE(Readable(ends.second->fd()));
    EXPECT_TRUE(ends.first->Send("two").ok());
    EXPECT_FALSE(*ends.second->ArmFd()) << "there is something to receive";
    EXPECT_TRUE(*ends.second->TryReceive(view));
    EXPECT_EQ(view.view(), "one");
    EXPECT_TRUE(*ends.second->TryReceive(view));
    EXPECT_EQ(view.view(), "two");
    EXPECT_FALSE(*ends.second->TryReceive(view));
  }
}

TEST(ChannelFdTest, IsLeftAloneWhileTheReceiverIsAwake) {
  TwoEnds ends;
  EXPECT_TRUE(ends.first->Send("one").ok());
  EXPECT_FALSE(Readable(ends.second->fd()));
}

TEST(ChannelFdTest, IsReadableWhenThePeerCloses) {
  TwoEnds ends;
  ASSERT_TRUE(*ends.second->ArmFd());
  ends.first->Close();
  EXPECT_TRUE(Readable(ends.second->fd()));
  EXPECT_FALSE(*ends.second->ArmFd());
  ReceivedView view;
  EXPECT_TRUE(Refused(ends.second->TryReceive(view).status(), absl::StatusCode::kFailedPrecondition, {"the peer has closed"}));
}

TEST(ChannelFdTest, IsReadableWhenThePeerDies) {
  Peer peer([](Channel& channel) { return Text(channel.Receive().status()); });
  const std::unique_ptr<Channel> channel = peer.Connect();
  ASSERT_NE(channel, nullptr) << peer.why();
  ASSERT_TRUE(*channel->ArmFd());
  peer.Kill();
  pollfd poll_fd = {.fd = channel->fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&poll_fd, 1, -1), 1);
  EXPECT_FALSE(*channel->ArmFd());
  ReceivedView view;
  EXPECT_TRUE(
      Refused(channel->TryReceive(view).status(), absl::StatusCode::kUnavailable, {absl::StrCat("process ", peer.pid())}));
}

TEST(ChannelTest, WrongSocketsAndOptionsAreRefused) {
  Pair stream = MakeSocketPair(SOCK_STREAM);
  EXPECT_TRUE(
      Refused(Channel::OverSocket(dup(stream.first.get())).status(), absl::StatusCode::kInvalidArgument, {"SOCK_SEQPACKET"}));
  Pair pipe = MakePipe();
  EXPECT_FALSE(Channel::OverSocket(dup(pipe.first.get())).ok());
  const auto refused = [](const ChannelOptions& options, const char* what) {
    Pair sockets = MakeSocketPair(SOCK_SEQPACKET);
    return Refused(Channel::OverSocket(dup(sockets.first.get()), options).status(), absl::StatusCode::kInvalidArgument, {what});
  };
  ChannelOptions options = SmallOptions();
  options.queue_capacity = 0;
  EXPECT_TRUE(refused(options, "queue_capacity 0"));
  options = SmallOptions();
  options.spin = -absl::Seconds(1);
  EXPECT_TRUE(refused(options, "spin"));
  options = SmallOptions();
  options.pool.classes.clear();
  EXPECT_TRUE(refused(options, "size classes"));
}

TEST(ChannelTest, AForkedChildIsRefusedAndClosesNothing) {
  TwoEnds ends;
  EXPECT_EQ(RunInChild([&ends] {
              std::string said(ends.first->Send("x").message());
              ReceivedView view;
              said += "|" + std::string(ends.second->TryReceive(view).status().message());
              ends.first->Close();
              ends.first.reset();
              ends.second.reset();
              return said;
            }),
            "this channel belongs to the parent process|this channel belongs to the parent process");
  EXPECT_TRUE(ends.first->Send("still open").ok());
  EXPECT_EQ(ends.second->Receive()->view(), "still open");
}

TEST(ChannelTest, NothingIsLeftOfAChannel) {
  const size_t fds = OpenFds();
  const size_t threads = ThreadCount();
  {
    TwoEnds ends;
    EXPECT_EQ(ThreadCount(), threads + 1) << "one thread watches all peers";
    const TwoEnds more;
    EXPECT_EQ(ThreadCount(), threads + 1);
  }
  EXPECT_EQ(OpenFds(), fds);
  EXPECT_EQ(ThreadCount(), threads);
}

}  // namespace
}  // namespace agentos::ipc
