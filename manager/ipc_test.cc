// IpcSend and IpcRecv between the processes of one manager: mailboxes with bounds, and no byte copied on the way.

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/test_manager.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr Pid kAlice = 1;
constexpr Pid kBob = 2;
constexpr size_t kAnySize = 1 << 20;

class Ipc : public ThreadingTest {
 protected:
  // Bob's mailbox is what the test says; Alice has the default one.
  void MakeBoth(RingOptions bobs = {}) {
    manager_.MakeRing(kAlice, {});
    manager_.MakeRing(kBob, bobs);
  }
  Seq Send(Bytes data, Pid from = kAlice, Pid to = kBob) { return manager_.Submit(Entry::IpcSend(from, to, std::move(data), 0)); }
  Seq Receive(size_t size = kAnySize, Pid pid = kBob) { return manager_.Submit(Entry::IpcRecv(pid, size, 0)); }
  // What Bob's next messages say, put together.
  std::string Received(int count = 1) {
    std::string all;
    while (count-- > 0) all += manager_.Run(Entry::IpcRecv(kBob, kAnySize, 0)).result.TakeData();
    return all;
  }
  bool IsUnderWay(Pid pid, Seq seq) {
    return absl::IsDeadlineExceeded(manager_->WaitCompletion(pid, seq, absl::ZeroDuration()).status());
  }

  TestManager manager_{GetParam()};
};
class IpcByThreads : public PromiseTest {};

TEST_P(Ipc, MessagesArriveInOrderAndSayFromWhom) {
  MakeBoth();
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(Succeeded(manager_.Wait(kAlice, Send(std::to_string(i))), i < 10 ? 1 : 2));
  for (int i = 0; i < 100; ++i) {
    const Done done = manager_.Run(Entry::IpcRecv(kBob, 100, static_cast<uint64_t>(i)));
    ASSERT_TRUE(Succeeded(done, i < 10 ? 1 : 2));
    EXPECT_EQ(done.result.data(), std::to_string(i));
    EXPECT_EQ(done.result.peer_address(), "pid:1");
    EXPECT_EQ(done.user_data, static_cast<uint64_t>(i));
  }
}

TEST_P(Ipc, AReceiverMayComeFirst) {
  MakeBoth();
  const Seq first = Receive();
  const Seq second = Receive();
  EXPECT_TRUE(IsUnderWay(kBob, first));
  Send("one");
  Send("two");
  EXPECT_EQ(manager_.Wait(kBob, second).result.data(), "two");
  EXPECT_EQ(manager_.Wait(kBob, first).result.data(), "one") << "receivers are served in order";
}

TEST_P(Ipc, NoByteIsCopied) {
  MakeBoth();
  std::string text = Content(100000);
  const char* const text_at = text.data();
  Send(std::move(text));
  Done done = manager_.Run(Entry::IpcRecv(kBob, kAnySize, 0));
  EXPECT_EQ(done.result.data().data(), text_at);
  const std::string taken = done.result.TakeData();
  EXPECT_EQ(taken.data(), text_at);
  EXPECT_EQ(taken, Content(100000));

  std::vector<char> vector(5000, 'v');
  const char* const vector_at = vector.data();
  const Seq waiting = Receive();
  Send(std::move(vector));
  Bytes bytes = manager_.Wait(kBob, waiting).result.TakeBytes();
  EXPECT_EQ(bytes.data(), vector_at) << "handed over to one that waited";

  // And on, without ever being copied.
  Send(std::move(bytes), kBob, kAlice);
  EXPECT_EQ(manager_.Run(Entry::IpcRecv(kAlice, kAnySize, 0)).result.TakeBytes().data(), vector_at);
}

TEST_P(Ipc, WhatWasReadFromAFileTravelsInItsBuffer) {
  MakeBoth();
  TempDir dir;
  Spill(dir.Path("file"), Content(20000));
  Bytes bytes = manager_.Run(Entry::ReadFile(kAlice, dir.Path("file"), 0)).result.TakeBytes();
  const char* const at = bytes.data();
  Send(std::move(bytes));
  const Done done = manager_.Run(Entry::IpcRecv(kBob, kAnySize, 0));
  EXPECT_EQ(done.result.data().data(), at);
  EXPECT_EQ(done.result.data(), Content(20000));
}

TEST_P(Ipc, AnEmptyMessageIsAMessage) {
  MakeBoth();
  EXPECT_TRUE(Succeeded(manager_.Wait(kAlice, Send("")), 0));
  const Done done = manager_.Run(Entry::IpcRecv(kBob, 1, 0));
  EXPECT_TRUE(Succeeded(done, 0));
  EXPECT_EQ(done.result.peer_address(), "pid:1");
}

TEST_P(Ipc, AProcessMayWriteToItself) {
  MakeBoth();
  const Seq receiver = Receive(kAnySize, kAlice);
  Send("note", kAlice, kAlice);
  const Done done = manager_.Wait(kAlice, receiver);
  EXPECT_EQ(done.result.data(), "note");
  EXPECT_EQ(done.result.peer_address(), "pid:1");
}

TEST_P(Ipc, AFullMailboxMakesTheSenderWait) {
  MakeBoth({.mailbox_messages = 2});
  EXPECT_TRUE(Succeeded(manager_.Wait(kAlice, Send("a")), 1));
  EXPECT_TRUE(Succeeded(manager_.Wait(kAlice, Send("b")), 1));
  const Seq third = Send("c");
  const Seq fourth = Send("d");
  EXPECT_TRUE(IsUnderWay(kAlice, third));
  EXPECT_EQ(Received(), "a");
  EXPECT_TRUE(Succeeded(manager_.Wait(kAlice, third), 1));
  EXPECT_TRUE(IsUnderWay(kAlice, fourth)) << "there was room for one";
  EXPECT_EQ(Received(3), "bcd");
  EXPECT_TRUE(Succeeded(manager_.Wait(kAlice, fourth), 1));
}

TEST_P(Ipc, TheMailboxBoundsBytesToo) {
  MakeBoth({.mailbox_bytes = 10});
  EXPECT_TRUE(Succeeded(manager_.Wait(kAlice, Send("12345678")), 8));
  const Seq large = Send("abc");
  const Seq small = Send("x");
  EXPECT_TRUE(IsUnderWay(kAlice, large));
  EXPECT_TRUE(IsUnderWay(kAlice, small)) << "it would fit, but nobody overtakes";
  EXPECT_EQ(Received(), "12345678");
  EXPECT_TRUE(Succeeded(manager_.Wait(kAlice, large), 3));
  EXPECT_TRUE(Succeeded(manager_.Wait(kAlice, small), 1));
  EXPECT_EQ(Received(2), "abcx");
  EXPECT_TRUE(FailedWith(manager_.Wait(kAlice, Send("12345678901")), EMSGSIZE)) << "it would never fit";
  EXPECT_TRUE(Succeeded(manager_.Wait(kAlice, Send("1234567890")), 10));
}

TEST_P(Ipc, AnUnknownTargetIsEsrch) {
  manager_.MakeRing(kAlice, {});
  const Done done = manager_.Wait(kAlice, Send("x"));
  EXPECT_TRUE(FailedWith(done, ESRCH));
  EXPECT_NE(done.status.error_message().find("pid 2"), std::string::npos) << done.status.error_message();
  manager_.MakeRing(kBob, {});
  EXPECT_TRUE(Succeeded(manager_.Wait(kAlice, Send("x")), 1));
  ASSERT_TRUE(manager_->DestroyRing(kBob).ok());
  EXPECT_TRUE(FailedWith(manager_.Wait(kAlice, Send("x")), ESRCH));
  manager_.MakeRing(kBob, {});
  EXPECT_TRUE(IsUnderWay(kBob, Receive())) << "the former ring's mail is gone";
}

TEST_P(Ipc, ATargetThatGoesAwayIsEpipe) {
  MakeBoth({.mailbox_messages = 1});
  EXPECT_TRUE(Succeeded(manager_.Wait(kAlice, Send("in the mailbox")), 14));
  const Seq second = Send("waits");
  const Seq third = Send("waits as well");
  ASSERT_TRUE(manager_->DestroyRing(kBob).ok());
  EXPECT_TRUE(FailedWith(manager_.Wait(kAlice, second), EPIPE));
  EXPECT_TRUE(FailedWith(manager_.Wait(kAlice, third), EPIPE));
}

TEST_P(Ipc, WhatASenderLeftBehindCanBeRead) {
  MakeBoth({.mailbox_messages = 1});
  Send("sent");
  Send("was waiting");
  ASSERT_TRUE(manager_->DestroyRing(kAlice).ok());
  const Done done = manager_.Run(Entry::IpcRecv(kBob, kAnySize, 0));
  EXPECT_EQ(done.result.data(), "sent");
  EXPECT_EQ(done.result.peer_address(), "pid:1");
  EXPECT_TRUE(IsUnderWay(kBob, Receive())) << "what waited was cancelled with its sender";
}

TEST_P(Ipc, AReceiverThatIsTooSmallLeavesTheMessage) {
  MakeBoth();
  Send("12345");
  EXPECT_TRUE(FailedWith(manager_.Run(Entry::IpcRecv(kBob, 4, 0)), EMSGSIZE));
  const Done done = manager_.Run(Entry::IpcRecv(kBob, 5, 0));
  EXPECT_TRUE(Succeeded(done, 5));
  EXPECT_EQ(done.result.data(), "12345");

  const Seq small = Receive(2);
  const Seq large = Receive(3);
  const Seq sent = Send("abc");
  EXPECT_TRUE(FailedWith(manager_.Wait(kBob, small), EMSGSIZE)) << "one that waited";
  EXPECT_EQ(manager_.Wait(kBob, large).result.data(), "abc");
  EXPECT_TRUE(Succeeded(manager_.Wait(kAlice, sent), 3));
}

TEST_P(Ipc, ACancelledReceiverTakesNothing) {
  MakeBoth();
  const Seq first = Receive();
  const Seq second = Receive();
  ASSERT_TRUE(manager_->Cancel(kBob, first).ok());
  EXPECT_TRUE(WasCancelled(manager_.Wait(kBob, first)));
  Send("x");
  EXPECT_EQ(manager_.Wait(kBob, second).result.data(), "x");
  EXPECT_TRUE(Refused(manager_->Cancel(kBob, second), absl::StatusCode::kNotFound));
}

TEST_P(Ipc, ACancelledSenderSendsNothing) {
  MakeBoth({.mailbox_bytes = 10});
  Send("12345678");
  const Seq large = Send("abcdefgh");
  const Seq small = Send("x");
  ASSERT_TRUE(manager_->Cancel(kAlice, large).ok());
  EXPECT_TRUE(WasCancelled(manager_.Wait(kAlice, large)));
  EXPECT_TRUE(Succeeded(manager_.Wait(kAlice, small), 1)) << "it held this one up";
  EXPECT_EQ(Received(2), "12345678x");
}

TEST_P(Ipc, CancelAllAndDestroyEndThoseThatWait) {
  MakeBoth({.mailbox_messages = 1});
  Receive(kAnySize, kAlice);
  Receive(kAnySize, kAlice);
  Send("a");
  Send("b");
  EXPECT_EQ(manager_->CancelAll(kAlice).value_or(0), 3u);
  manager_.AwaitPlaced(kAlice, 4);
  size_t cancelled = 0;
  for (const Done& done : manager_.Reap(kAlice)) cancelled += done.status.is_cancelled() ? 1 : 0;
  EXPECT_EQ(cancelled, 3u);
  Receive();
  Receive();
  ASSERT_TRUE(manager_->DestroyRing(kBob).ok());
  EXPECT_EQ(manager_->Stats().pending, 0u);
}

TEST_P(Ipc, PingPongWithinOneThread) {
  MakeBoth();
  for (int i = 0; i < 3000; ++i) {
    const Seq bobs = Receive();
    const Seq alices = Receive(kAnySize, kAlice);
    Send(std::to_string(i));
    Send(manager_.Wait(kBob, bobs).result.TakeBytes(), kBob, kAlice);
    ASSERT_EQ(manager_.Wait(kAlice, alices).result.data(), std::to_string(i));
    manager_.Reap(kAlice);
    manager_.Reap(kBob);
  }
}

TEST_P(Ipc, MessagesAreCountedAsTheirBytes) {
  MakeBoth();
  Send("12345");
  Received();
  EXPECT_EQ(manager_->Stats().bytes, 10u) << "once out, once in";
}

void PingPongBetweenThreads(TestManager& manager) {
  constexpr int kRounds = 2000;
  manager.MakeRing(kAlice, {});
  manager.MakeRing(kBob, {});
  std::thread bob([&] {
    for (int i = 0; i < kRounds; ++i) {
      Done ping = manager.Run(Entry::IpcRecv(kBob, kAnySize, 0));
      ASSERT_TRUE(Succeeded(ping));
      ASSERT_TRUE(Succeeded(manager.Run(Entry::IpcSend(kBob, kAlice, ping.result.TakeBytes(), 0))));
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    ASSERT_TRUE(Succeeded(manager.Run(Entry::IpcSend(kAlice, kBob, std::to_string(i), 0))));
    ASSERT_EQ(manager.Run(Entry::IpcRecv(kAlice, kAnySize, 0)).result.data(), std::to_string(i));
  }
  bob.join();
}

TEST_F(IpcByThreads, PingPongOnOneKernelRing) {
  TestManager manager(IoUringManagerOptions{.kernel_rings = 1});
  PingPongBetweenThreads(manager);
}

TEST_F(IpcByThreads, PingPongAcrossKernelRings) {
  TestManager manager(IoUringManagerOptions{.kernel_rings = 3});
  PingPongBetweenThreads(manager);
}

TEST_F(IpcByThreads, ManySendersKeepTheirOrderThroughATinyMailbox) {
  constexpr Pid kSenders = 4;
  constexpr int kMessages = 300;
  TestManager manager(IoUringManagerOptions{.kernel_rings = 2});
  constexpr Pid kTarget = 100;
  manager.MakeRing(kTarget, {.mailbox_messages = 2});
  std::vector<std::thread> threads;
  for (Pid sender = 1; sender <= kSenders; ++sender) {
    threads.emplace_back([&, sender] {
      for (int i = 0; i < kMessages; i += 3) {
        std::vector<Entry> three;
        for (int k = i; k < i + 3; ++k) three.push_back(Entry::IpcSend(sender, kTarget, std::to_string(k), 0));
        ASSERT_TRUE(manager->SubmitBatch(sender, std::move(three)).ok());
        const absl::StatusOr<std::vector<Done>> sent = manager->WaitCompletions(sender, 3, 3, absl::InfiniteDuration());
        ASSERT_TRUE(sent.ok()) << sent.status();
        for (const Done& done : *sent) ASSERT_TRUE(Succeeded(done));
      }
    });
  }
  std::map<std::string, int> next;
  for (int i = 0; i < static_cast<int>(kSenders) * kMessages; ++i) {
    const Done done = manager.Run(Entry::IpcRecv(kTarget, kAnySize, 0));
    ASSERT_TRUE(Succeeded(done));
    ASSERT_EQ(done.result.data(), std::to_string(next[std::string(done.result.peer_address())]++));
  }
  EXPECT_EQ(next.size(), kSenders);
  for (std::thread& thread : threads) thread.join();
}

TEST_F(IpcByThreads, ATargetThatComesAndGoesLosesNobody) {
  TestManager manager(IoUringManagerOptions{.kernel_rings = 2});
  constexpr int kRounds = 200;
  manager.MakeRing(kAlice, {});
  std::thread target([&] {
    for (int i = 0; i < kRounds; ++i) {
      manager.MakeRing(kBob, {.mailbox_messages = 1});
      manager.Submit(Entry::IpcRecv(kBob, kAnySize, 0));
      const absl::Status destroyed = manager->DestroyRing(kBob);
      ASSERT_TRUE(destroyed.ok()) << destroyed;
    }
  });
  for (int i = 0; i < 3 * kRounds; ++i) {
    // More than the mailbox takes, so that one may be waiting when the target goes.
    const absl::StatusOr<std::vector<Seq>> seqs = [&] {
      std::vector<Entry> three;
      for (int k = 0; k < 3; ++k) three.push_back(Entry::IpcSend(kAlice, kBob, "x", 0));
      return manager->SubmitBatch(kAlice, std::move(three));
    }();
    ASSERT_TRUE(seqs.ok()) << seqs.status();
    for (Seq seq : *seqs) {
      const absl::StatusOr<Done> done = manager->WaitCompletion(kAlice, seq, absl::Milliseconds(1));
      if (!done.ok()) continue;
      const int error = done->status.error_number();
      ASSERT_TRUE(done->status.is_success() || error == ESRCH || error == EPIPE) << done->status.error_message();
    }
    manager.Reap(kAlice);
  }
  target.join();
  // The last target is gone: nobody may be waiting for it any more.
  while (manager->Stats().pending > 0) manager.Reap(kAlice);
}

INSTANTIATE_TEST_SUITE_P(Threading, Ipc, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
