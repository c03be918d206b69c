// IpcSend and IpcRecv between the managers of two operating-system processes.

#include "agentos/ipc/bridge.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/ipc/channel.h"
#include "agentos/ipc/channel_test_support.h"
#include "agentos/ipc/lent_buffers.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/test_manager.h"
#include "agentos/ring/bytes.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos::ipc {
namespace {

constexpr Pid kHere = 3;
constexpr Pid kThere = 7;
constexpr size_t kAnySize = 1 << 20;

// The other process: a manager whose kThere has a mailbox for so many messages, joined to this test's.
std::unique_ptr<Peer> StartPeer(std::function<std::string(TestManager&, Bridge&)> body, size_t mailbox_messages = 256) {
  return Peer::WithSocket([body, mailbox_messages](int socket) -> std::string {
    TestManager manager;
    manager.MakeRing(kThere, {.mailbox_messages = mailbox_messages});
    absl::StatusOr<std::unique_ptr<Channel>> channel = Channel::OverSocket(socket, SmallOptions());
    if (!channel.ok()) return channel.status().ToString();
    auto bridge = Bridge::Create(*manager, *std::move(channel), {.remote = {kHere}, .reachable = {kThere}});
    if (!bridge.ok()) return bridge.status().ToString();
    return body(manager, **bridge);
  });
}

// Sends back what comes until the other side ends.
std::string Echo(TestManager& manager, Bridge& bridge) {
  for (;;) {
    const Seq seq = manager.Submit(Entry::IpcRecv(kThere, kAnySize, 0));
    absl::StatusOr<Done> got = absl::DeadlineExceededError("");
    while (absl::IsDeadlineExceeded(got.status())) {
      if (!bridge.status().ok()) return "";
      got = manager->WaitCompletion(kThere, seq, absl::Milliseconds(10));
    }
    if (got->result.peer_address() != "pid:3") return absl::StrCat("a message from ", got->result.peer_address());
    manager.Run(Entry::IpcSend(kThere, kHere, got->result.TakeBytes(), 0));
  }
}

// Receives nothing until the other side has ended.
std::string Idle(TestManager& /*manager*/, Bridge& bridge) {
  bridge.AwaitEnd(absl::InfiniteDuration());
  return "";
}

class BridgeTest : public PromiseTest {
 protected:
  // Before this process has threads.
  void Start(std::function<std::string(TestManager&, Bridge&)> body, size_t mailbox_messages = 256) {
    peer_ = StartPeer(std::move(body), mailbox_messages);
    Join();
  }
  void Join() {
    manager_.emplace();
    manager_->MakeRing(kHere, {});
    std::unique_ptr<Channel> channel = peer_->Connect();
    ASSERT_NE(channel, nullptr) << peer_->why();
    auto bridge = Bridge::Create(**manager_, std::move(channel), {.remote = {kThere}});
    ASSERT_TRUE(bridge.ok()) << bridge.status();
    bridge_ = *std::move(bridge);
  }
  Seq Send(Bytes data) { return manager_->Submit(Entry::IpcSend(kHere, kThere, std::move(data), 0)); }
  Done Receive() { return manager_->Run(Entry::IpcRecv(kHere, kAnySize, 0)); }
  bool IsUnderWay(Seq seq) {
    return absl::IsDeadlineExceeded((*manager_)->WaitCompletion(kHere, seq, absl::ZeroDuration()).status());
  }
  // To a peer that receives nothing, into a mailbox for one message: what it answers will wait.
  Seq FillUp() {
    // One in the mailbox, one in the hands of the peer's bridge, the others in the channel.
    for (int i = 0; i < 6; ++i) EXPECT_TRUE(Succeeded(manager_->Wait(kHere, Send("filler"))));
    return Send("one too many");
  }

  std::unique_ptr<Peer> peer_;
  std::optional<TestManager> manager_;
  std::unique_ptr<Bridge> bridge_;
};

TEST_F(BridgeTest, MessagesOfAllSizesGoBothWays) {
  Start(Echo);
  for (const size_t size : {0, 1, 112, 113, 4096, 4097, 65536}) {
    SCOPED_TRACE(size);
    const std::string content = Content(size);
    EXPECT_TRUE(Succeeded(manager_->Wait(kHere, Send(content)), static_cast<int64_t>(size)));
    const Done done = Receive();
    ASSERT_TRUE(Succeeded(done, static_cast<int64_t>(size)));
    EXPECT_TRUE(done.result.data() == content);
    EXPECT_EQ(done.result.peer_address(), "pid:7");
  }
  const BridgeStats stats = bridge_->Stats();
  EXPECT_EQ(stats.received, 7u);
  EXPECT_EQ(stats.undeliverable, 0u);
  bridge_.reset();
  EXPECT_EQ(peer_->AwaitEnd(), "");
}

TEST_F(BridgeTest, ManyMessagesKeepTheirOrderThroughSmallQueues) {
  Start(Echo, /*mailbox_messages=*/2);
  // What is not taken yet has the peer's buffers, which are few.
  constexpr int kAhead = 3;
  int received = 0;
  const auto receive = [&] {
    const Done done = Receive();
    EXPECT_EQ(done.result.data().substr(0, done.result.data().find(' ')), std::to_string(received));
    ++received;
  };
  for (int i = 0; i < 500; ++i) {
    // All three ways: in the slot, copied at once, and copied by the bridge's thread.
    const size_t sizes[] = {10, 3000, 30000};
    EXPECT_TRUE(Succeeded(manager_->Wait(kHere, Send(absl::StrCat(i, " ", Content(sizes[i % 3]))))));
    if (i >= kAhead) receive();
  }
  while (received < 500) receive();
}

TEST_F(BridgeTest, ALoanIsSentWithoutACopyAndReadWhereItLies) {
  Start(Echo);
  const std::string content = Content(50000);
  absl::StatusOr<LoanedBuffer> loan = bridge_->Loan(content.size());
  ASSERT_TRUE(loan.ok()) << loan.status();
  std::memcpy(loan->data(), content.data(), content.size());
  EXPECT_TRUE(Succeeded(manager_->Wait(kHere, Send(AsBytes(*std::move(loan)))), 50000));
  const Done done = Receive();
  EXPECT_TRUE(done.result.data() == content);
  EXPECT_EQ(bridge_->Stats().copied, 0u);
}

TEST_F(BridgeTest, OneBatchReadsAFileIntoALoanAndSendsIt) {
  Start(Echo);
  const TempDir tree;
  const std::string content = Content(40000);
  Spill(tree.Path("file"), content);
  const Fd file(open(tree.Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  absl::StatusOr<LoanedBuffer> loan = bridge_->Loan(65536);
  ASSERT_TRUE(loan.ok()) << loan.status();
  auto [to_fill, to_send] = ToFillAndSend(*std::move(loan));
  std::vector<Entry> batch;
  batch.push_back(Entry::ReadInto(kHere, file.get(), std::move(to_fill), 65536, 0, 1).WithLink());
  batch.push_back(Entry::IpcSend(kHere, kThere, std::move(to_send), 2));
  const absl::StatusOr<std::vector<Seq>> seqs = (*manager_)->SubmitBatch(kHere, std::move(batch));
  ASSERT_TRUE(seqs.ok()) << seqs.status();
  const Done read = manager_->Wait(kHere, (*seqs)[0]);
  EXPECT_TRUE(Succeeded(read, 40000));
  EXPECT_EQ(read.result.data(), "");
  EXPECT_TRUE(Succeeded(manager_->Wait(kHere, (*seqs)[1]), 40000));
  EXPECT_TRUE(Receive().result.data() == content);
  EXPECT_EQ(bridge_->Stats().copied, 0u);
}

TEST_F(BridgeTest, AReadThatFailsSendsNothingAndTheLoanComesBack) {
  Start(Idle);
  for (int i = 0; i < 10; ++i) {
    // There is one such buffer.
    absl::StatusOr<LoanedBuffer> loan = bridge_->Loan(65536);
    ASSERT_TRUE(loan.ok()) << loan.status();
    auto [to_fill, to_send] = ToFillAndSend(*std::move(loan));
    std::vector<Entry> batch;
    batch.push_back(Entry::ReadInto(kHere, 12345, std::move(to_fill), 65536, 0, 1).WithLink());
    batch.push_back(Entry::IpcSend(kHere, kThere, std::move(to_send), 2));
    const absl::StatusOr<std::vector<Seq>> seqs = (*manager_)->SubmitBatch(kHere, std::move(batch));
    ASSERT_TRUE(seqs.ok()) << seqs.status();
    EXPECT_TRUE(FailedWith(manager_->Wait(kHere, (*seqs)[0]), EBADF));
    EXPECT_TRUE(WasCancelled(manager_->Wait(kHere, (*seqs)[1])));
  }
  EXPECT_EQ(bridge_->Stats().sent, 0u);
}

TEST_F(BridgeTest, WhatIsStillBeingFilledIsNotSent) {
  Start(Idle);
  Pair pipe = MakePipe();
  absl::StatusOr<LoanedBuffer> loan = bridge_->Loan(100);
  ASSERT_TRUE(loan.ok()) << loan.status();
  auto [to_fill, to_send] = ToFillAndSend(*std::move(loan));
  const Seq read = manager_->Submit(Entry::ReadInto(kHere, pipe.first.get(), std::move(to_fill), 100, kCurrentPosition, 0));
  EXPECT_TRUE(FailedWith(manager_->Run(Entry::IpcSend(kHere, kThere, std::move(to_send), 0)), EBUSY));
  pipe.second.Reset();
  EXPECT_TRUE(Succeeded(manager_->Wait(kHere, read), 0));
}

TEST_F(BridgeTest, AFullChannelMakesSendersWaitWhichCanBeCancelledAndTimeOut) {
  Start(Idle, /*mailbox_messages=*/1);
  const Seq waiting = FillUp();
  const Seq behind = Send("behind");
  EXPECT_TRUE(FailedWith(manager_->Run(Entry::IpcSend(kHere, kThere, "late", 0).WithTimeout(absl::Milliseconds(1))), ETIMEDOUT));
  EXPECT_TRUE((*manager_)->Cancel(kHere, waiting).ok());
  EXPECT_TRUE(WasCancelled(manager_->Wait(kHere, waiting)));
  EXPECT_TRUE(IsUnderWay(behind));
  EXPECT_TRUE((*manager_)->DestroyRing(kHere).ok());
}

TEST_F(BridgeTest, WhoWaitsWhenThePeerDiesIsToldAndLaterOnesToo) {
  Start(Idle, /*mailbox_messages=*/1);
  const Seq waiting = FillUp();
  // Too large to be copied at once.
  const Seq large = Send(Content(5000));
  peer_->Kill();
  EXPECT_TRUE(FailedWith(manager_->Wait(kHere, waiting), EPIPE));
  EXPECT_TRUE(FailedWith(manager_->Wait(kHere, large), EPIPE));
  EXPECT_TRUE(bridge_->AwaitEnd(absl::InfiniteDuration()));
  EXPECT_TRUE(absl::IsUnavailable(bridge_->status())) << bridge_->status();
  // The gateway closes a moment after.
  bridge_.reset();
  EXPECT_TRUE(FailedWith(manager_->Run(Entry::IpcSend(kHere, kThere, "anybody?", 0)), ESRCH));
  // The process may have a ring here now.
  EXPECT_TRUE((*manager_)->CreateRing(kThere).ok());
}

TEST_F(BridgeTest, WhatArrivedBeforeThePeerDiedIsStillReceived) {
  Start([](TestManager& manager, Bridge& /*bridge*/) -> std::string {
    for (int i = 0; i < 2; ++i) manager.Run(Entry::IpcSend(kThere, kHere, Content(3000 + static_cast<size_t>(i)), 0));
    _exit(0);
  });
  EXPECT_EQ(peer_->AwaitEnd(), "");
  for (int64_t i = 0; i < 2; ++i) EXPECT_TRUE(Succeeded(Receive(), 3000 + i));
}

TEST_F(BridgeTest, WhatIsTooLargeForTheChannelIsAnErrorOfItsEntry) {
  Start(Echo);
  EXPECT_TRUE(FailedWith(manager_->Wait(kHere, Send(Content(65537))), EMSGSIZE));
  EXPECT_TRUE(Succeeded(manager_->Wait(kHere, Send("goes on"))));
  EXPECT_EQ(Receive().result.data(), "goes on");
}

TEST_F(BridgeTest, NobodySpeaksForAnotherOrReachesWhomItMayNot) {
  peer_ = std::make_unique<Peer>([](Channel& channel) -> std::string {
    const auto tag = [](uint64_t from, uint64_t to) { return from << 32 | to; };
    for (const uint64_t wrong :
         {tag(kHere, kHere), tag(99, kHere), tag(kThere, 4), tag(kThere, kThere), tag(0, 0), ~uint64_t{0}}) {
      if (absl::Status sent = channel.Send("forged", wrong, absl::InfiniteDuration()); !sent.ok()) return sent.ToString();
    }
    return channel.Send("true", tag(kThere, kHere), absl::InfiniteDuration()).ok() ? "" : "not sent";
  });
  Join();
  EXPECT_EQ(Receive().result.data(), "true");
  EXPECT_EQ(bridge_->Stats().undeliverable, 6u);
}

TEST_F(BridgeTest, AForkedChildThatDestroysItHarmsNobody) {
  Start(Echo);
  const pid_t child = fork();
  if (child == 0) {
    bridge_.reset();
    _exit(0);
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(Succeeded(manager_->Wait(kHere, Send("goes on"))));
  EXPECT_EQ(Receive().result.data(), "goes on");
}

TEST_F(BridgeTest, WhatCannotBeJoinedIsRefused) {
  Start(Idle);
  EXPECT_TRUE(absl::IsFailedPrecondition((*manager_)->CreateRing(kThere)));
  EXPECT_TRUE(absl::IsFailedPrecondition((*manager_)->Submit(kThere, Entry::Nop(kThere, 0)).status()));
  EXPECT_FALSE((*manager_)->HasRing(kThere));
  EXPECT_TRUE(absl::IsInvalidArgument(Bridge::Create(**manager_, nullptr, {.remote = {9}}).status()));
  struct Unused final : IpcRoute {
    Carried TryCarry(Pid, Pid, Bytes&) override { return Carried::kNeverMore; }
    void OnWaiting() override {}
    void OnRoom() override {}
  } route;
  EXPECT_TRUE(absl::IsAlreadyExists((*manager_)->OpenGateway({9, kHere}, &route).status()));
  EXPECT_TRUE(absl::IsAlreadyExists((*manager_)->OpenGateway({kThere}, &route).status()));
  EXPECT_TRUE(absl::IsInvalidArgument((*manager_)->OpenGateway({9}, nullptr).status()));
  TestManager of_one_thread(Threading::kOneThread);
  EXPECT_TRUE(absl::IsFailedPrecondition(of_one_thread->OpenGateway({9}, &route).status()));
}

}  // namespace
}  // namespace agentos::ipc
