// AcceptMany and RecvMany: entries that complete many times.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/ring/socket_address.h"
#include "agentos/testing/recording_observer.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class MultishotTest : public ManagerTest {
 protected:
  // Collects what has come and leaves it there.
  void Look(Pid pid = kPid) { EXPECT_TRUE(manager().ReapCompletions(pid, 0).ok()); }
  void AwaitMore(uint64_t count) {
    while (manager().Stats().multishot_completions < count) Look();
  }
  static Fd ConnectTo(const std::string& address) {
    Fd client = NewSocket(AF_INET, SOCK_STREAM);
    const auto parsed = ParseSocketAddress(address);
    EXPECT_TRUE(parsed.ok());
    EXPECT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&parsed->storage), parsed->length), 0);
    return client;
  }
};

std::vector<std::string> Numbers(size_t count) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < count; ++i) texts.push_back(absl::StrCat("message ", i));
  return texts;
}

TEST_P(MultishotTest, P3AcceptManyGivesEveryConnectionAndOneEnd) {
  std::string address;
  const Fd listener = Listen(AF_INET, 16, 0, address);
  const Seq seq = Submit(Entry::AcceptMany(kPid, listener.get(), 42));
  for (int i = 0; i < 5; ++i) {
    const Fd client = ConnectTo(address);
    const Done done = Wait(seq);
    ASSERT_TRUE(Succeeded(done));
    EXPECT_TRUE(done.more);
    EXPECT_EQ(done.user_data, 42u);
    EXPECT_EQ(done.seq, seq);
    const Fd server(static_cast<int>(done.result.value()));
    EXPECT_EQ(fcntl(server.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    ASSERT_EQ(write(client.get(), "x", 1), 1);
    EXPECT_EQ(ReadAll(server.get(), 1), "x");
  }
  EXPECT_EQ(manager().Stats().pending, 1u);
  EXPECT_EQ(manager().Stats().multishot_completions, 5u);
  ASSERT_TRUE(manager().Cancel(kPid, seq).ok());
  const Done last = Wait(seq);
  EXPECT_TRUE(WasCancelled(last));
  EXPECT_FALSE(last.more);
  EXPECT_TRUE(absl::IsNotFound(manager().WaitCompletion(kPid, seq).status()));
  EXPECT_EQ(manager().Stats().total_completions, 1u);
}

TEST_P(MultishotTest, P13RecvManyGivesAWholeStreamInOrderAndThenItsEnd) {
  for (const int flags : {0, static_cast<int>(SOCK_NONBLOCK)}) {
    SCOPED_TRACE(flags);
    const Pair sockets = MakeSocketPair(SOCK_STREAM | flags);
    const std::string content = Content(300'000);
    const Seq seq = Submit(Entry::RecvMany(kPid, sockets.first.get(), 0, 1));
    std::string got;
    for (size_t sent = 0; got.size() < content.size();) {
      if (sent < content.size()) {
        const ssize_t n = send(sockets.second.get(), content.data() + sent, content.size() - sent, MSG_DONTWAIT);
        if (n > 0) sent += static_cast<size_t>(n);
        if (sent == content.size()) shutdown(sockets.second.get(), SHUT_WR);
      }
      Done done = Wait(seq);
      ASSERT_TRUE(Succeeded(done));
      ASSERT_TRUE(done.more);
      EXPECT_LE(done.result.data().size(), operation::kRecvManyBytes);
      EXPECT_EQ(static_cast<size_t>(done.result.value()), done.result.data().size());
      got += done.result.TakeData();
    }
    EXPECT_TRUE(got == content);
    const Done end = Wait(seq);
    EXPECT_TRUE(Succeeded(end, 0));
    EXPECT_FALSE(end.more);
    EXPECT_EQ(end.result.data(), "");
  }
  EXPECT_EQ(manager().Stats().bytes, 600'000u);
}

TEST_P(MultishotTest, AnEmptyDatagramIsNotTheEnd) {
  const Pair sockets = MakeSocketPair(SOCK_DGRAM);
  const Seq seq = Submit(Entry::RecvMany(kPid, sockets.first.get(), 0, 1));
  for (const std::string text : {"one", "", "two"}) {
    ASSERT_EQ(send(sockets.second.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    Done done = Wait(seq);
    EXPECT_TRUE(Succeeded(done, static_cast<int64_t>(text.size())));
    EXPECT_TRUE(done.more);
    EXPECT_EQ(done.result.data(), text);
  }
  EXPECT_TRUE(manager().CancelFd(kPid, sockets.first.get()).ok());
  EXPECT_TRUE(WasCancelled(Wait(seq)));
}

TEST_P(MultishotTest, P4AFullQueuePausesItWithoutLoss) {
  for (const OverflowPolicy policy : {OverflowPolicy::kBackpressure, OverflowPolicy::kDropOldest}) {
    for (const size_t cq_size : {1, 2, 5}) {
      const Pid pid = kPid + static_cast<Pid>(cq_size) * 2 + (policy == OverflowPolicy::kDropOldest ? 1 : 0);
      SCOPED_TRACE(pid);
      RingOptions options;
      options.cq_size = cq_size;
      options.sq_size = 4;
      options.overflow = policy;
      ASSERT_TRUE(manager().CreateRing(pid, options).ok());
      const Pair sockets = MakeSocketPair(SOCK_DGRAM);
      const Seq seq = Submit(Entry::RecvMany(pid, sockets.first.get(), 0, 1), pid);
      const std::vector<std::string> texts = Numbers(200);
      std::vector<std::string> got;
      for (size_t sent = 0; got.size() < texts.size();) {
        while (sent < texts.size() && send(sockets.second.get(), texts[sent].data(), texts[sent].size(), MSG_DONTWAIT) >= 0) {
          ++sent;
          Look(pid);
        }
        auto some = manager().WaitCompletions(pid, 1, 1000, absl::InfiniteDuration());
        ASSERT_TRUE(some.ok()) << some.status();
        EXPECT_LE(some->size(), cq_size);
        for (Done& done : *some) {
          EXPECT_TRUE(done.more);
          got.push_back(done.result.TakeData());
        }
      }
      EXPECT_EQ(got, texts);
      ASSERT_TRUE(manager().Cancel(pid, seq).ok());
      EXPECT_TRUE(WasCancelled(Wait(seq, pid)));
    }
  }
  EXPECT_EQ(manager().Stats().dropped, 0u);
}

TEST_P(MultishotTest, P4WhoeverSendsToAFullQueueIsHeldUp) {
  constexpr int kMany = 1000;
  RingOptions options;
  options.cq_size = 3;
  options.sq_size = 3;
  ASSERT_TRUE(manager().CreateRing(kPid, options).ok());
  const Pair sockets = MakeSocketPair(SOCK_DGRAM);
  const Seq seq = Submit(Entry::RecvMany(kPid, sockets.first.get(), 0, 1));
  int sent = 0;
  while (sent < kMany && send(sockets.second.get(), "m", 1, MSG_DONTWAIT) == 1) {
    ++sent;
    Look();
  }
  EXPECT_LT(sent, kMany) << "it went on receiving although nobody took anything";
  for (int i = 0; i < sent; ++i) EXPECT_TRUE(Wait(seq).more);
  ASSERT_TRUE(manager().Cancel(kPid, seq).ok());
  EXPECT_TRUE(WasCancelled(Wait(seq)));
}

TEST_P(MultishotTest, P4OtherEntriesOfAFullRingKeepTheirCompletions) {
  RingOptions options;
  options.overflow = OverflowPolicy::kBackpressure;
  options.cq_size = 2;
  options.sq_size = 2;
  ASSERT_TRUE(manager().CreateRing(kPid, options).ok());
  const Pair sockets = MakeSocketPair(SOCK_DGRAM);
  const Pair pipe = MakePipe();
  const Seq many = Submit(Entry::RecvMany(kPid, sockets.first.get(), 0, 1));
  const Seq read = Submit(Entry::Read(kPid, pipe.first.get(), 8, kCurrentPosition, 2));
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(send(sockets.second.get(), "m", 1, 0), 1);
    Look();
  }
  ASSERT_EQ(write(pipe.second.get(), "r", 1), 1);
  EXPECT_EQ(manager().Submit(kPid, Entry::Nop(kPid, 3)).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Succeeded(Wait(read), 1));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Succeeded(Wait(many), 1));
  EXPECT_EQ(Reapable(), 0u);
  ASSERT_TRUE(manager().Cancel(kPid, many).ok());
  EXPECT_TRUE(WasCancelled(Wait(many)));
}

TEST_P(MultishotTest, P9CancelledWhileItPausesItEndsAndWhatCameStays) {
  RingOptions options;
  options.overflow = OverflowPolicy::kBackpressure;
  options.cq_size = 2;
  options.sq_size = 2;
  ASSERT_TRUE(manager().CreateRing(kPid, options).ok());
  const Pair sockets = MakeSocketPair(SOCK_DGRAM);
  const Seq seq = Submit(Entry::RecvMany(kPid, sockets.first.get(), 0, 1));
  for (int i = 0; i < 2; ++i) ASSERT_EQ(send(sockets.second.get(), "m", 1, 0), 1);
  AwaitMore(2);
  Look();
  ASSERT_TRUE(manager().Cancel(kPid, seq).ok());
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(Wait(seq).more);
  EXPECT_TRUE(WasCancelled(Wait(seq)));
}

TEST_P(MultishotTest, P8ATimeoutEndsIt) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  ASSERT_EQ(write(sockets.second.get(), "early", 5), 5);
  const Seq seq = Submit(Entry::RecvMany(kPid, sockets.first.get(), 0, 1).WithTimeout(absl::Milliseconds(20)));
  Done done = Wait(seq);
  EXPECT_TRUE(done.more);
  EXPECT_EQ(done.result.data(), "early");
  const Done last = Wait(seq);
  EXPECT_TRUE(FailedWith(last, ETIMEDOUT));
  EXPECT_FALSE(last.more);
}

TEST_P(MultishotTest, P7ALinkedEntryStartsWhenItHasEnded) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  std::vector<Entry> entries;
  entries.push_back(Entry::RecvMany(kPid, sockets.first.get(), 0, 1).WithLink());
  entries.push_back(Entry::Nop(kPid, 2));
  auto seqs = manager().SubmitBatch(kPid, std::move(entries));
  ASSERT_TRUE(seqs.ok());
  ASSERT_EQ(write(sockets.second.get(), "x", 1), 1);
  EXPECT_TRUE(Wait(seqs->front()).more);
  EXPECT_EQ(manager().WaitCompletion(kPid, seqs->back(), absl::ZeroDuration()).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  shutdown(sockets.second.get(), SHUT_WR);
  EXPECT_TRUE(Succeeded(Wait(seqs->back())));
  EXPECT_TRUE(Succeeded(Wait(seqs->front()), 0));
}

TEST_P(MultishotTest, P11DestroyingTheRingClosesConnectionsNobodyTook) {
  std::string address;
  const Fd listener = Listen(AF_INET, 16, 0, address);
  RingOptions options;
  options.cq_size = 2;
  options.sq_size = 2;
  ASSERT_TRUE(manager().CreateRing(kPid, options).ok());
  Submit(Entry::AcceptMany(kPid, listener.get(), 0));
  std::vector<Fd> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(ConnectTo(address));
    Look();
  }
  auto there = manager().WaitCompletions(kPid, 1, 1, absl::InfiniteDuration());
  ASSERT_TRUE(there.ok()) << there.status();
  const Fd taken(static_cast<int>(there->front().result.value()));
  // The fixture counts descriptors.
  EXPECT_TRUE(manager().DestroyRing(kPid).ok());
}

TEST_P(MultishotTest, OutOfDescriptorsItSaysSoAndGoesOn) {
  std::string address;
  const Fd listener = Listen(AF_INET, 16, 0, address);
  std::vector<Fd> clients;
  for (int i = 0; i < 2; ++i) clients.push_back(ConnectTo(address));
  // A first entry makes what the library itself needs descriptors for.
  EXPECT_TRUE(Succeeded(Run(Entry::Nop(kPid, 0))));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const Fd highest(dup(listener.get()));
  std::vector<Fd> fillers;
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(highest.get()) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  for (int fd = dup(listener.get()); fd >= 0; fd = dup(listener.get())) fillers.emplace_back(fd);
  const Seq seq = Submit(Entry::AcceptMany(kPid, listener.get(), 0));
  const Done refused = Wait(seq);
  EXPECT_TRUE(FailedWith(refused, EMFILE));
  EXPECT_TRUE(refused.more);
  fillers.clear();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  for (int accepted = 0; accepted < 2;) {
    const Done done = Wait(seq);
    EXPECT_TRUE(done.more);
    if (done.status.error_number() == EMFILE) continue;
    ASSERT_TRUE(Succeeded(done));
    close(static_cast<int>(done.result.value()));
    ++accepted;
  }
  ASSERT_TRUE(manager().Cancel(kPid, seq).ok());
  Done last = Wait(seq);
  while (last.more) last = Wait(seq);
  EXPECT_TRUE(WasCancelled(last));
}

TEST_P(MultishotTest, WhatCannotBeDoneEndsItAtOnce) {
  const Pair pipe = MakePipe();
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const auto ends_with = [&](Entry entry, int error_number) {
    const Done done = Run(std::move(entry));
    EXPECT_TRUE(FailedWith(done, error_number));
    EXPECT_FALSE(done.more);
  };
  ends_with(Entry::AcceptMany(kPid, ClosedFd(), 0), EBADF);
  ends_with(Entry::RecvMany(kPid, ClosedFd(), 0, 0), EBADF);
  ends_with(Entry::AcceptMany(kPid, pipe.first.get(), 0), ENOTSOCK);
  ends_with(Entry::RecvMany(kPid, pipe.first.get(), 0, 0), ENOTSOCK);
  ends_with(Entry::AcceptMany(kPid, sockets.first.get(), 0), EINVAL);
  const Fd unconnected = NewSocket(AF_INET, SOCK_STREAM);
  ends_with(Entry::RecvMany(kPid, unconnected.get(), 0, 0), ENOTCONN);
  EXPECT_TRUE(Refused(manager().Submit(kPid, Entry::RecvMany(kPid, 0, MSG_PEEK, 0)).status(), absl::StatusCode::kInvalidArgument,
                      {"RecvMany.flags", "0x2"}));
  EXPECT_TRUE(Refused(manager().Submit(kPid, Entry::AcceptMany(kPid, -1, 0)).status(), absl::StatusCode::kInvalidArgument,
                      {"AcceptMany.fd"}));
}

TEST_P(MultishotTest, MoreReceiversThanTheKernelHasMemoryForLoseNothing) {
  constexpr size_t kSockets = 150;
  RingOptions options;
  options.cq_size = 512;
  options.sq_size = 512;
  ASSERT_TRUE(manager().CreateRing(kPid, options).ok());
  std::vector<Pair> sockets;
  std::vector<Entry> entries;
  for (size_t i = 0; i < kSockets; ++i) {
    sockets.push_back(MakeSocketPair(SOCK_STREAM));
    entries.push_back(Entry::RecvMany(kPid, sockets.back().first.get(), 0, i));
  }
  ASSERT_TRUE(manager().SubmitBatch(kPid, std::move(entries)).ok());
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < kSockets; ++i) {
      const std::string text = absl::StrCat(round, " to ", i);
      ASSERT_EQ(send(sockets[i].second.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    }
    std::vector<bool> seen(kSockets);
    for (size_t got = 0; got < kSockets;) {
      auto some = manager().WaitCompletions(kPid, 1, kSockets, absl::InfiniteDuration());
      ASSERT_TRUE(some.ok()) << some.status();
      for (const Done& done : *some) {
        ASSERT_TRUE(Succeeded(done));
        EXPECT_EQ(done.result.data(), absl::StrCat(round, " to ", done.user_data));
        EXPECT_FALSE(seen[done.user_data]);
        seen[done.user_data] = true;
        ++got;
      }
    }
  }
  // With one thread the kernel delivers a few at a time, and what is filled is replaced in between.
  if (manager().Executor().kind == ExecutorKind::kIoUring && GetParam() == Threading::kAnyThread) {
    EXPECT_GT(manager().Stats().receive_buffer_exhaustions, 0u);
  }
}

TEST_P(MultishotTest, KeptResultsHoldNothingUp) {
  Pair sockets = MakeSocketPair(SOCK_DGRAM);
  const Seq seq = Submit(Entry::RecvMany(kPid, sockets.first.get(), 0, 0));
  std::vector<Done> kept;
  // More than there are buffers for the kernel to choose from at first.
  for (int i = 0; i < 300; ++i) {
    const std::string text = absl::StrCat("kept ", i);
    ASSERT_EQ(send(sockets.second.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    kept.push_back(Wait(seq));
  }
  sockets = Pair();
  EndManager();
  for (int i = 0; i < 300; ++i) EXPECT_EQ(kept[static_cast<size_t>(i)].result.data(), absl::StrCat("kept ", i));
}

TEST_P(MultishotTest, AnObserverHearsEachCompletion) {
  RecordingObserver observer;
  IoUringManagerOptions options = Options();
  options.observer = &observer;
  MakeManager(options);
  Pair sockets = MakeSocketPair(SOCK_STREAM);
  const Seq seq = Submit(Entry::RecvMany(kPid, sockets.first.get(), 0, 0));
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(send(sockets.second.get(), "m", 1, 0), 1);
    EXPECT_TRUE(Wait(seq).more);
  }
  shutdown(sockets.second.get(), SHUT_WR);
  EXPECT_TRUE(Succeeded(Wait(seq), 0));
  sockets = Pair();
  EndManager();
  EXPECT_EQ(observer.WordsFor(kPid, seq), "queued dispatched completed completed completed");
  std::vector<bool> more;
  for (const ObservedEvent& event : observer.Events()) {
    if (event.word == "completed") more.push_back(event.result.more);
  }
  EXPECT_EQ(more, (std::vector<bool>{true, true, false}));
}

INSTANTIATE_TEST_SUITE_P(Threading, MultishotTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
