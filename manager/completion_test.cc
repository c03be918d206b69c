// P3: every accepted entry completes exactly once, however it ends and whatever ends around it.

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <iterator>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/test_manager.h"
#include "agentos/testing/recording_observer.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class P3Completion : public ThreadingTest {
 protected:
  IoUringManagerOptions Observed() { return {.threading = GetParam(), .observer = &observer_}; }
  // How often an entry ended, by an observer's account.
  size_t Ends(Pid pid, Seq seq) const {
    size_t ends = 0;
    for (const ObservedEvent& event : observer_.Events()) {
      ends += event.pid == pid && event.seq == seq && (event.word == "completed" || event.word == "cancelled") ? 1 : 0;
    }
    return ends;
  }
  RecordingObserver observer_;
};
class P3Stress : public PromiseTest {};

TEST_P(P3Completion, ATakenCompletionIsNeverGivenAgain) {
  TestManager manager(Observed());
  const Seq nop = manager.Submit(Entry::Nop(kPid, 0));
  const Seq error = manager.Submit(Entry::Close(kPid, ClosedFd(), 0));
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const Seq cancelled = manager.Submit(Entry::Recv(kPid, sockets.first.get(), 1, 0, 0));
  ASSERT_TRUE(manager->Cancel(kPid, cancelled).ok());
  EXPECT_TRUE(Succeeded(manager.Wait(kPid, nop)));
  EXPECT_TRUE(FailedWith(manager.Wait(kPid, error), EBADF));
  EXPECT_TRUE(WasCancelled(manager.Wait(kPid, cancelled)));
  for (Seq seq : {nop, error, cancelled}) {
    EXPECT_TRUE(absl::IsNotFound(manager->WaitCompletion(kPid, seq).status()));
    EXPECT_TRUE(absl::IsNotFound(manager->Cancel(kPid, seq)));
    EXPECT_EQ(Ends(kPid, seq), 1u);
  }
  EXPECT_TRUE(manager.Reap(kPid).empty());
}

TEST_P(P3Completion, OneOfEveryKindInOneBatch) {
  TempDir dir;
  Spill(dir.Path("file"), "0123456789");
  Spill(dir.Path("to close"), "");
  const Fd file(open(dir.Path("file").c_str(), O_RDWR | O_CLOEXEC));
  const int to_close = open(dir.Path("to close").c_str(), O_RDONLY | O_CLOEXEC);
  const Pair stream = MakeSocketPair(SOCK_STREAM);
  const Pair datagram = MakeSocketPair(SOCK_DGRAM);
  std::string address;
  const Fd listener = Listen(AF_INET, 4, 0, address);
  const Fd client = NewSocket(AF_INET, SOCK_STREAM);
  const Fd udp = NewSocket(AF_INET, SOCK_DGRAM);
  Spill(dir.Path("to rename"), "");
  Spill(dir.Path("to unlink"), "");
  Spill(dir.Path("to size"), "");
  const Fd to_size(open(dir.Path("to size").c_str(), O_RDWR | O_CLOEXEC));
  const Pair from = MakePipe();
  const Pair to = MakePipe();
  ASSERT_EQ(write(from.second.get(), "spliced", 7), 7);
  const Pair to_shut = MakeSocketPair(SOCK_STREAM);

  TestManager manager(Observed());
  manager.MakeRing(kPid, {.sq_size = 40, .cq_size = 40});
  std::vector<Entry> entries;
  entries.push_back(Entry::Nop(kPid, 1));
  entries.push_back(Entry::ReadFile(kPid, dir.Path("file"), 2));
  entries.push_back(Entry::WriteFile(kPid, dir.Path("new"), "new", 3));
  entries.push_back(Entry::Open(kPid, dir.Path("file"), O_RDONLY, 0, 4));
  entries.push_back(Entry::Close(kPid, to_close, 5));
  entries.push_back(Entry::Read(kPid, file.get(), 4, 0, 6));
  entries.push_back(Entry::Write(kPid, file.get(), "x", 9, 7));
  entries.push_back(Entry::Fsync(kPid, file.get(), 8));
  entries.push_back(Entry::Lseek(kPid, file.get(), 0, SEEK_END, 9));
  entries.push_back(Entry::Send(kPid, stream.first.get(), "hello", 0, 10));
  entries.push_back(Entry::Recv(kPid, stream.second.get(), 100, 0, 11));
  entries.push_back(Entry::Accept(kPid, listener.get(), 12));
  entries.push_back(Entry::Connect(kPid, client.get(), address, 13));
  entries.push_back(Entry::SendTo(kPid, udp.get(), "datagram", address, 0, 14));
  entries.push_back(Entry::RecvFrom(kPid, datagram.first.get(), 100, 0, 15));
  entries.push_back(Entry::Send(kPid, datagram.second.get(), "for 15", 0, 16));
  entries.push_back(Entry::IpcRecv(kPid, 100, 17));
  entries.push_back(Entry::IpcSend(kPid, kPid, "message", 18));
  entries.push_back(Entry::Statx(kPid, dir.Path("file"), 0, STATX_SIZE, 19));
  entries.push_back(Entry::Rename(kPid, dir.Path("to rename"), dir.Path("renamed"), 0, 20));
  entries.push_back(Entry::Unlink(kPid, dir.Path("to unlink"), 0, 21));
  entries.push_back(Entry::Mkdir(kPid, dir.Path("directory"), 0755, 22));
  entries.push_back(Entry::Fallocate(kPid, to_size.get(), 0, 0, 4096, 23));
  entries.push_back(Entry::Ftruncate(kPid, to_size.get(), 100, 24));
  entries.push_back(Entry::Splice(kPid, from.first.get(), -1, to.second.get(), -1, 100, 0, 25));
  entries.push_back(Entry::Socket(kPid, AF_UNIX, SOCK_STREAM, 0, 26));
  entries.push_back(Entry::Shutdown(kPid, to_shut.first.get(), SHUT_RDWR, 27));
  entries.push_back(Entry::Poll(kPid, to.second.get(), POLLOUT, 28));
  entries.push_back(Entry::Sleep(kPid, absl::Milliseconds(1), 29));
  entries.push_back(Entry::ReadInto(kPid, file.get(), ResultBufferPool::NewUnpooled(4), 4, 0, 30));
  entries.push_back(Entry::RecvInto(kPid, to_shut.first.get(), ResultBufferPool::NewUnpooled(4), 4, 0, 31));
  entries.push_back(Entry::RecvMany(kPid, to_shut.first.get(), 0, 32));
  entries.push_back(Entry::CopyFileRange(kPid, file.get(), 0, to_size.get(), 0, 4, 33));
  const size_t count = entries.size();
  ASSERT_TRUE(manager->SubmitBatch(kPid, std::move(entries)).ok());

  std::map<uint64_t, int> times;
  size_t got = 0;
  while (got < count) {
    const absl::StatusOr<std::vector<Done>> some = manager->WaitCompletions(kPid, 1, count, absl::InfiniteDuration());
    ASSERT_TRUE(some.ok()) << some.status();
    for (const Done& done : *some) {
      EXPECT_TRUE(Succeeded(done)) << done.user_data;
      ++times[done.user_data];
      if (done.user_data == 4 || done.user_data == 12 || done.user_data == 26) close(static_cast<int>(done.result.value()));
    }
    got += some->size();
  }
  EXPECT_EQ(times.size(), count);
  for (Seq seq = 1; seq <= count; ++seq) EXPECT_EQ(Ends(kPid, seq), 1u) << seq;
  const IoUringStats stats = manager->Stats();
  for (size_t kind = 1; kind < kOperationKinds; ++kind) {
    // Never ends by itself.
    if (kind == static_cast<size_t>(OperationKind::kAcceptMany)) continue;
    EXPECT_GE(stats.completions_by_operation[kind], 1u) << kind;
  }
}

TEST_P(P3Completion, WhatTheKernelRefusesIsAnError) {
  TempDir dir;
  const Pair pipe = MakePipe();
  const Fd directory(open(dir.Path("").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  TestManager manager(Observed());
  const auto ends_with = [&](Entry entry, int error) {
    const Seq seq = manager.Submit(std::move(entry));
    EXPECT_TRUE(FailedWith(manager.Wait(kPid, seq), error));
    EXPECT_EQ(Ends(kPid, seq), 1u);
  };
  ends_with(Entry::Fsync(kPid, pipe.first.get(), 0), EINVAL);
  ends_with(Entry::Read(kPid, directory.get(), 10, 0, 0), EISDIR);
  ends_with(Entry::Lseek(kPid, pipe.first.get(), 0, SEEK_SET, 0), ESPIPE);
  ends_with(Entry::Accept(kPid, pipe.first.get(), 0), ENOTSOCK);
  ends_with(Entry::Recv(kPid, pipe.first.get(), 1, 0, 0), ENOTSOCK);
  ends_with(Entry::Write(kPid, pipe.first.get(), "x", 0, 0), EBADF);
  ends_with(Entry::ReadFile(kPid, dir.Path("absent"), 0), ENOENT);
  ends_with(Entry::WriteFile(kPid, dir.Path("absent/file"), "x", 0), ENOENT);
  ends_with(Entry::Open(kPid, dir.Path("absent"), O_RDONLY, 0, 0), ENOENT);
  ends_with(Entry::IpcSend(kPid, kPid + 1, "x", 0), ESRCH);
}

TEST_P(P3Completion, AnFdClosedUnderItsEntry) {
  TestManager manager(Observed());
  Pair sockets = MakeSocketPair(SOCK_STREAM);
  const Seq seq = manager.Submit(Entry::Recv(kPid, sockets.first.get(), 10, 0, 0));
  sockets.first.Reset();
  EXPECT_TRUE(absl::IsDeadlineExceeded(manager->WaitCompletion(kPid, seq, absl::ZeroDuration()).status()));
  sockets.second.Reset();
  EXPECT_TRUE(Succeeded(manager.Wait(kPid, seq), 0)) << "the end of the stream";

  Pair again = MakeSocketPair(SOCK_STREAM);
  const Seq stopped = manager.Submit(Entry::Recv(kPid, again.first.get(), 10, 0, 0));
  again.first.Reset();
  ASSERT_TRUE(manager->Cancel(kPid, stopped).ok());
  EXPECT_TRUE(WasCancelled(manager.Wait(kPid, stopped)));
  EXPECT_EQ(Ends(kPid, seq), 1u);
  EXPECT_EQ(Ends(kPid, stopped), 1u);
}

// A ring with entries in every state: one started, three that wait, and completions nobody has reaped, an open file among them.
struct BusyRing {
  explicit BusyRing(TestManager& manager) {
    Spill(dir.Path("file"), "x");
    manager.MakeRing(kPid, {.sq_size = 8, .cq_size = 8, .max_in_flight = 1});
    manager.Submit(Entry::Nop(kPid, 0));
    manager.Submit(Entry::Open(kPid, dir.Path("file"), O_RDONLY, 0, 0));
    manager.AwaitPlaced(kPid, 2);
    for (int i = 0; i < 4; ++i) manager.Submit(Entry::Recv(kPid, sockets.first.get(), 1, 0, 0));
    EXPECT_EQ(FdsTo(dir.Path("file")), 1u);
  }
  TempDir dir;
  Pair sockets = MakeSocketPair(SOCK_STREAM);
};

TEST_P(P3Completion, DestroyingTheRingEndsEverythingOnce) {
  TestManager manager(Observed());
  const BusyRing ring(manager);
  const absl::Status destroyed = manager->DestroyRing(kPid);
  EXPECT_TRUE(destroyed.ok()) << destroyed;
  EXPECT_EQ(observer_.WordsFor(kPid, 1), "queued dispatched completed");
  EXPECT_EQ(observer_.WordsFor(kPid, 2), "queued dispatched completed");
  EXPECT_EQ(observer_.WordsFor(kPid, 3), "queued dispatched cancelled");
  for (Seq seq : {4, 5, 6}) EXPECT_EQ(observer_.WordsFor(kPid, seq), "queued cancelled") << "never started";
  EXPECT_EQ(FdsTo(ring.dir.Path("file")), 0u) << "nobody can reap the descriptor any more";
  const IoUringStats stats = manager->Stats();
  EXPECT_EQ(stats.pending, 0u);
  EXPECT_EQ(stats.total_completions, 6u);
  EXPECT_EQ(stats.cancelled, 4u);
}

TEST_P(P3Completion, DestroyingTheManagerEndsEverythingOnce) {
  TestManager manager(Observed());
  const BusyRing ring(manager);
  const Seq message = manager.Submit(Entry::IpcRecv(8, 10, 0));
  const Seq send = manager.Submit(Entry::IpcSend(9, 8, "from a third", 0));
  manager.End();
  for (Seq seq = 1; seq <= 6; ++seq) EXPECT_EQ(Ends(kPid, seq), 1u) << seq;
  EXPECT_EQ(Ends(8, message), 1u);
  EXPECT_EQ(Ends(9, send), 1u);
  EXPECT_EQ(FdsTo(ring.dir.Path("file")), 0u);
}

TEST_P(P3Completion, WorkOfWorkerThreadsEndsBeforeItsRingIsGone) {
  TempDir dir;
  TestManager manager(Observed());
  for (int round = 0; round < 20; ++round) {
    std::vector<Entry> entries;
    for (uint64_t i = 0; i < 32; ++i) entries.push_back(Entry::WriteFile(kPid, dir.Path(std::to_string(i)), Content(3000), i));
    ASSERT_TRUE(manager->SubmitBatch(kPid, std::move(entries)).ok());
    const absl::Status destroyed = manager->DestroyRing(kPid);
    ASSERT_TRUE(destroyed.ok()) << destroyed;
  }
  EXPECT_EQ(observer_.SeqsOf(kPid, "completed").size() + observer_.SeqsOf(kPid, "cancelled").size(), 20u * 32);
  EXPECT_EQ(manager->Stats().pending, 0u);
}

TEST_P(P3Completion, CompletionsOutliveRingAndManager) {
  TempDir dir;
  Spill(dir.Path("file"), Content(10000));
  std::vector<Done> kept;
  {
    TestManager manager(Observed());
    kept.push_back(manager.Run(Entry::ReadFile(kPid, dir.Path("file"), 0)));
    kept.push_back(manager.Run(Entry::ReadFile(kPid, dir.Path("absent"), 0)));
    ASSERT_TRUE(manager->DestroyRing(kPid).ok());
  }
  EXPECT_EQ(kept[0].result.data(), Content(10000));
  EXPECT_TRUE(FailedWith(kept[1], ENOENT));
  EXPECT_NE(kept[1].status.error_message().find("absent"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Threading, P3Completion, BothThreadings(), ThreadingName);

// Follows every accepted entry by its user_data, which the stress test never uses twice, through all lives of all rings.
class Ledger final : public RingObserver {
 public:
  void OnQueued(const SyscallSubmissionEntry& entry, Seq seq, int64_t /*now_ns*/) override {
    std::lock_guard<std::mutex> lock(mutex_);
    ++queued_;
    Account& account = accounts_[entry.user_data()];
    Check(account.ends == 0 && ++account.accepted == 1, "accepted twice", entry.user_data());
    // A ring's earlier life may have used the number; its entry must have ended.
    const auto former = current_.find({entry.pid(), seq});
    if (former != current_.end()) Check(accounts_[former->second].ends == 1, "outlived its ring", former->second);
    current_[{entry.pid(), seq}] = entry.user_data();
  }
  void OnDispatched(Pid pid, Seq seq, OperationKind, int64_t /*queued_ns*/) override {
    std::lock_guard<std::mutex> lock(mutex_);
    Account& account = Find(pid, seq);
    Check(++account.starts == 1 && account.ends == 0, "started twice or too late", current_[{pid, seq}]);
  }
  void OnCompleted(Pid pid, Seq seq, OperationKind, const ObservedResult&) override { End(pid, seq); }
  void OnCancelled(Pid pid, Seq seq, OperationKind, const ObservedResult&) override { End(pid, seq); }
  void OnDropped(Pid pid, Seq seq, OperationKind) override {
    std::lock_guard<std::mutex> lock(mutex_);
    Account& account = Find(pid, seq);
    Check(account.ends == 1 && ++account.drops == 1, "dropped twice or before its end", current_[{pid, seq}]);
    ++dropped_;
  }
  // Somebody was given the completion.
  void Taken(const Done& done) {
    std::lock_guard<std::mutex> lock(mutex_);
    Account& account = accounts_[done.user_data];
    Check(account.ends == 1, "was given out before its end", done.user_data);
    Check(++account.takes == 1, "was given out twice", done.user_data);
    Check(account.drops == 0, "was dropped and given out", done.user_data);
    ++taken_;
  }

  void ExpectAllEndedOnce() {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [user_data, account] : accounts_) Check(account.ends == 1, "did not end once", user_data);
  }
  uint64_t queued() const { return queued_; }
  uint64_t taken() const { return taken_; }
  uint64_t dropped() const { return dropped_; }
  std::vector<std::string> problems() {
    std::lock_guard<std::mutex> lock(mutex_);
    return problems_;
  }

 private:
  struct Account {
    int accepted = 0;
    int starts = 0;
    int ends = 0;
    int drops = 0;
    int takes = 0;
  };

  void End(Pid pid, Seq seq) {
    std::lock_guard<std::mutex> lock(mutex_);
    Check(++Find(pid, seq).ends == 1, "ended twice", current_[{pid, seq}]);
  }
  Account& Find(Pid pid, Seq seq) {
    const auto it = current_.find({pid, seq});
    if (it == current_.end()) problems_.push_back("an entry that was never accepted");
    return accounts_[it == current_.end() ? 0 : it->second];
  }
  void Check(bool holds, const char* what, uint64_t user_data) {
    if (!holds && problems_.size() < 20) problems_.push_back("entry " + std::to_string(user_data) + " " + what);
  }

  std::mutex mutex_;
  std::map<uint64_t, Account> accounts_;
  std::map<std::pair<Pid, Seq>, uint64_t> current_;
  uint64_t queued_ = 0;
  uint64_t taken_ = 0;
  uint64_t dropped_ = 0;
  std::vector<std::string> problems_;
};

// Several threads that do to a few tiny rings whatever the interface offers, in an order that only the seeds decide.
class Stress {
 public:
  static constexpr Pid kPids = 5;
  static constexpr int kSteps = 4000;

  explicit Stress(size_t kernel_rings)
      : manager_(IoUringManagerOptions{.observer = &ledger_, .kernel_rings = kernel_rings, .kernel_ring_entries = 16}) {
    Spill(dir_.Path("small"), "small");
    Spill(dir_.Path("large"), Content(100000));
    for (Pair& pair : sockets_) pair = MakeSocketPair(SOCK_STREAM);
    for (Pid pid = 1; pid <= kPids; ++pid) static_cast<void>(manager_->CreateRing(pid, OptionsOf(pid)));
  }

  void Run(unsigned seed, size_t threads, int steps) {
    std::vector<std::thread> all;
    for (size_t t = 0; t < threads; ++t) {
      all.emplace_back([this, t, seed, steps] {
        std::mt19937 random(seed + static_cast<unsigned>(t));
        for (int i = 0; i < steps; ++i) Step(random);
      });
    }
    for (std::thread& thread : all) thread.join();
  }

  // After this every entry has ended.
  void Finish() {
    while (manager_->Stats().pending > 0) {
      for (Pid pid = 1; pid <= kPids; ++pid) {
        static_cast<void>(manager_->CancelAll(pid));
        TakeAll(manager_->ReapCompletions(pid));
      }
    }
    const IoUringStats stats = manager_->Stats();
    EXPECT_EQ(stats.pending, 0u);
    EXPECT_EQ(stats.total_submissions, ledger_.queued());
    EXPECT_EQ(stats.total_submissions, accepted_.load());
    EXPECT_EQ(stats.total_completions, ledger_.queued());
    EXPECT_EQ(stats.dropped, ledger_.dropped());
    EXPECT_EQ(stats.rejected, rejected_.load());
    manager_.End();
    ledger_.ExpectAllEndedOnce();
    EXPECT_EQ(ledger_.problems(), std::vector<std::string>());
    EXPECT_GT(ledger_.taken(), 100u);
    EXPECT_GT(rejected_.load(), 0u);
  }

 private:
  // Odd processes drop, even ones push back.
  static RingOptions OptionsOf(Pid pid) {
    RingOptions options;
    options.sq_size = 6;
    options.cq_size = pid % 2 == 0 ? 8 : 3;
    options.overflow = pid % 2 == 0 ? OverflowPolicy::kBackpressure : OverflowPolicy::kDropOldest;
    options.max_in_flight = 4;
    options.mailbox_messages = 2;
    return options;
  }

  Entry RandomEntry(std::mt19937& random, Pid pid) {
    const Pair& pair = sockets_[random() % std::size(sockets_)];
    const unsigned kind = random() % 10;
    const uint64_t id = NextId(kind == 2);
    switch (kind) {
      case 0:
        return Entry::ReadFile(pid, dir_.Path(random() % 2 == 0 ? "small" : "large"), id);
      case 1:
        return Entry::WriteFile(pid, dir_.Path("written by " + std::to_string(pid)), "text", id);
      case 2:
        return Entry::Open(pid, dir_.Path("small"), O_RDONLY, 0, id);
      case 3:
      case 4:
        return Entry::Recv(pid, pair.first.get(), 1, 0, id);
      case 5:
        return Entry::IpcSend(pid, 1 + random() % kPids, "message", id);
      case 6:
        return Entry::IpcRecv(pid, random() % 4 == 0 ? 3 : 100, id);
      case 7:
        return Entry::Close(pid, ClosedFd(), id);
      default:
        return Entry::Nop(pid, id);
    }
  }

  void Step(std::mt19937& random) {
    const Pid pid = 1 + random() % kPids;
    const absl::Duration timeout = absl::Microseconds(random() % 3 == 0 ? 0 : random() % 500);
    switch (random() % 16) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        return Submit(random, pid);
      case 5:
      case 6:
        return TakeAll(manager_->ReapCompletions(pid, 1 + random() % 4));
      case 7:
      case 8:
        return TakeAll(manager_->WaitCompletions(pid, 1 + random() % 3, 3, timeout));
      case 9:
      case 10:
      case 11: {
        absl::StatusOr<Done> done = manager_->WaitCompletion(pid, RecentSeq(random, pid), timeout);
        if (done.ok()) Take(*done);
        return;
      }
      case 12:
        static_cast<void>(manager_->Cancel(pid, RecentSeq(random, pid)));
        return;
      case 13:
        if (random() % 4 == 0) static_cast<void>(manager_->CancelAll(pid));
        return;
      case 14:
        send(sockets_[random() % std::size(sockets_)].second.get(), "x", 1, MSG_DONTWAIT);
        return;
      case 15:
        if (random() % 8 != 0) return;
        if (const absl::Status destroyed = manager_->DestroyRing(pid); !destroyed.ok()) {
          EXPECT_TRUE(absl::IsNotFound(destroyed) || absl::IsFailedPrecondition(destroyed)) << destroyed;
        }
        static_cast<void>(manager_->CreateRing(pid, OptionsOf(pid)));
        return;
    }
  }

  void Submit(std::mt19937& random, Pid pid) {
    std::vector<Entry> batch;
    const size_t size = 1 + random() % 3;
    for (size_t i = 0; i < size; ++i) batch.push_back(RandomEntry(random, pid));
    std::vector<Seq> seqs(size);
    if (random() % 3 != 0) {
      const bool accepted = manager_->SubmitBatch(pid, absl::MakeSpan(batch), absl::MakeSpan(seqs)).ok();
      EXPECT_EQ(accepted, IsTakenOver(batch));
    } else {
      std::vector<Done> out(3);
      const absl::StatusOr<size_t> count = manager_->SubmitAndWait(pid, absl::MakeSpan(batch), absl::MakeSpan(seqs), 1,
                                                                   absl::MakeSpan(out), absl::Microseconds(random() % 200));
      for (size_t i = 0; i < count.value_or(0); ++i) Take(out[i]);
    }
    // A call that failed while it waited had accepted its entries before.
    (IsTakenOver(batch) ? accepted_ : rejected_).fetch_add(size);
    if (IsTakenOver(batch)) last_seq_[pid].store(seqs.back());
  }

  static bool IsTakenOver(const std::vector<Entry>& batch) { return batch.front().kind() == OperationKind::kNone; }

  void Take(const Done& done) {
    if (IsOpen(done.user_data) && done.status.is_success()) close(static_cast<int>(done.result.value()));
    ledger_.Taken(done);
  }

  void TakeAll(absl::StatusOr<std::vector<Done>> all) {
    if (!all.ok()) return;
    for (const Done& done : *all) Take(done);
  }

  // Whoever takes a completion must know whether there is a descriptor to close: the lowest bit of user_data says so.
  uint64_t NextId(bool is_open) { return 2 * (next_id_.fetch_add(1) + 1) + (is_open ? 1 : 0); }
  static bool IsOpen(uint64_t user_data) { return user_data % 2 == 1; }

  // The number of one of the latest entries of a process.
  Seq RecentSeq(std::mt19937& random, Pid pid) {
    const Seq last = last_seq_[pid].load();
    return last - std::min<Seq>(last, random() % 6);
  }

  TempDir dir_;
  Pair sockets_[3];
  Ledger ledger_;
  std::atomic<uint64_t> next_id_{0};
  std::atomic<uint64_t> accepted_{0};
  std::atomic<uint64_t> rejected_{0};
  std::atomic<Seq> last_seq_[kPids + 1] = {};
  // Ends before what it uses does.
  TestManager manager_;
};

TEST_F(P3Stress, OnOneKernelRing) {
  Stress stress(1);
  stress.Run(1, 4, Stress::kSteps);
  stress.Finish();
}

TEST_F(P3Stress, OnSeveralKernelRings) {
  Stress stress(3);
  stress.Run(1000, 4, Stress::kSteps);
  stress.Finish();
}

// The same within one thread, where the order is the seed's alone.
TEST_F(P3Stress, ByOneThread) {
  Stress stress(2);
  stress.Run(2000, 1, 2 * Stress::kSteps);
  stress.Finish();
}

}  // namespace
}  // namespace agentos
