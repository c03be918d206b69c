// Random programs: what processes do to their rings, in an order that a seed decides, and the books of what came of it.
//
// Thread rule: one thread.
//
//   RandomProgram program({.threading = Threading::kOneThread}, seed);
//   program.Run(/*entries=*/100'000);
//   program.Finish();  // every entry ended exactly once, chains stopped where they must, nothing is left

#ifndef AGENTOS_MANAGER_RANDOM_PROGRAM_H_
#define AGENTOS_MANAGER_RANDOM_PROGRAM_H_

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/manager/test_manager.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {

inline uint64_t NumberFrom(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// Hears of every entry, from whichever thread drives it, and keeps the books of the present life of each process.
class Books : public RingObserver {
 public:
  void OnQueued(const SyscallSubmissionEntry& entry, Seq seq, int64_t /*now_ns*/) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    Life& life = lives_[entry.pid()];
    if (seq == 1) life = Life();
    if (seq != ++life.last) Problem(absl::StrCat("pid ", entry.pid(), ": ", seq, " follows ", life.last - 1));
    life.under_way[seq] = false;
    if (life.linked) life.after[seq] = seq - 1;
    life.linked = entry.link() == Link::kOnSuccess;
    ++queued_;
  }
  void OnDispatched(Pid pid, Seq seq, OperationKind /*kind*/, int64_t /*queued_ns*/) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = lives_[pid].under_way.find(seq);
    if (found == lives_[pid].under_way.end() || found->second) return Problem(absl::StrCat("dispatched: ", pid, " ", seq));
    found->second = true;
  }
  void OnCompleted(Pid pid, Seq seq, OperationKind kind, const ObservedResult& result) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (result.more) {
      More(pid, seq, kind);
    } else {
      End(pid, seq, /*failed=*/result.error_number != 0);
    }
    if (result.value < 0 && kind != OperationKind::kLseek) Problem(absl::StrCat(OperationName(kind), " gave ", result.value));
  }
  void OnCancelled(Pid pid, Seq seq, OperationKind /*kind*/, const ObservedResult& /*result*/) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    End(pid, seq, /*failed=*/true);
  }
  void OnDropped(Pid /*pid*/, Seq /*seq*/, OperationKind /*kind*/) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++dropped_;
  }

  size_t under_way() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    size_t count = 0;
    for (const auto& [pid, life] : lives_) count += life.under_way.size();
    return count;
  }
  uint64_t queued() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return queued_;
  }
  uint64_t ended() const { return ended_; }
  uint64_t dropped() const { return dropped_; }
  uint64_t more() const { return more_; }
  uint64_t broken_chains() const { return broken_chains_; }
  std::vector<std::string> problems() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return problems_;
  }

 private:
  struct Life {
    Seq last = 0;
    // Whether the last one is linked to the next.
    bool linked = false;
    // And whether they were started.
    std::map<Seq, bool> under_way;
    std::map<Seq, Seq> after;
    std::set<Seq> failed;
  };

  void Problem(std::string what) {
    if (problems_.size() < 10) problems_.push_back(std::move(what));
  }

  void More(Pid pid, Seq seq, OperationKind kind) {
    ++more_;
    const Life& life = lives_[pid];
    const auto found = life.under_way.find(seq);
    if (found == life.under_way.end() || !found->second) Problem(absl::StrCat("more, but not under way: ", pid, " ", seq));
    if (kind != OperationKind::kAcceptMany && kind != OperationKind::kRecvMany) {
      Problem(absl::StrCat("more of a ", OperationName(kind)));
    }
  }

  void End(Pid pid, Seq seq, bool failed) {
    Life& life = lives_[pid];
    const auto found = life.under_way.find(seq);
    if (found == life.under_way.end()) return Problem(absl::StrCat("ended, but not under way: ", pid, " ", seq));
    const bool started = found->second;
    life.under_way.erase(found);
    ++ended_;
    if (const auto link = life.after.find(seq); link != life.after.end()) {
      if (life.failed.contains(link->second)) {
        ++broken_chains_;
        if (started) Problem(absl::StrCat("started after a failure: ", pid, " ", seq));
        if (!failed) Problem(absl::StrCat("succeeded after a failure: ", pid, " ", seq));
      } else if (started && life.under_way.contains(link->second)) {
        Problem(absl::StrCat("ended before the one it is linked to: ", pid, " ", seq));
      }
    }
    if (failed) life.failed.insert(seq);
  }

  mutable std::mutex mutex_;
  std::map<Pid, Life> lives_;
  uint64_t queued_ = 0;
  uint64_t ended_ = 0;
  uint64_t dropped_ = 0;
  uint64_t more_ = 0;
  uint64_t broken_chains_ = 0;
  std::vector<std::string> problems_;
};

class RandomProgram {
 public:
  RandomProgram(IoUringManagerOptions options, uint64_t seed) : random_(seed), manager_(Observed(std::move(options))) {
    for (Pair& pipe : pipes_) pipe = MakePipe();
    for (Pair& pair : sockets_) pair = MakeSocketPair(SOCK_STREAM | (Below(2) == 0 ? 0 : static_cast<int>(SOCK_NONBLOCK)));
    for (int i = 0; i < kFiles; ++i) Spill(File(i), Content(static_cast<size_t>(i) * 9000));
    for (int i = 0; i < kFiles; ++i) files_[static_cast<size_t>(i)] = Fd(open(File(i).c_str(), O_RDWR | O_CLOEXEC));
    EXPECT_EQ(mkfifo(dir_.Path("fifo").c_str(), 0600), 0);
    listener_ = Listen(AF_INET, 64, 0, address_);
  }

  void Run(uint64_t entries) {
    while (books_.queued() < entries && books_.problems().empty()) Step();
  }

  void Finish() {
    for (Pid pid = 1; pid <= kPids; ++pid) {
      if (!manager_->HasRing(pid)) continue;
      Take(manager_->ReapCompletions(pid));
      const absl::Status destroyed = manager_->DestroyRing(pid);
      EXPECT_TRUE(destroyed.ok()) << destroyed;
    }
    const IoUringStats stats = manager_->Stats();
    manager_.End();
    EXPECT_EQ(books_.problems(), std::vector<std::string>());
    EXPECT_EQ(books_.under_way(), 0u);
    EXPECT_EQ(books_.queued(), books_.ended());
    EXPECT_EQ(stats.total_submissions, books_.queued());
    EXPECT_EQ(stats.total_completions, books_.ended());
    EXPECT_EQ(stats.dropped, books_.dropped());
    EXPECT_EQ(stats.multishot_completions, books_.more());
    EXPECT_EQ(stats.pending, 0u);
    EXPECT_GT(books_.broken_chains(), 100u) << "or else chains are not tested";
    EXPECT_GT(stats.cancelled, 100u);
    EXPECT_GT(stats.multishot_completions, 100u);
    EXPECT_GT(stats.errors, 100u);
    EXPECT_GT(stats.dropped, 100u);
  }

 private:
  static constexpr Pid kPids = 4;
  static constexpr int kFiles = 6;

  IoUringManagerOptions Observed(IoUringManagerOptions options) {
    options.observer = &books_;
    options.kernel_ring_entries = 16;
    return options;
  }

  uint64_t Below(uint64_t bound) { return random_() % bound; }
  bool OneIn(uint64_t bound) { return Below(bound) == 0; }
  std::string File(int i) const { return dir_.Path(absl::StrCat("file", i)); }
  int AnyFile() { return OneIn(20) ? ClosedFd() : files_[Below(kFiles)].get(); }
  const Pair& AnyPipe() { return pipes_[Below(pipes_.size())]; }
  const Pair& AnySockets() { return sockets_[Below(sockets_.size())]; }
  int64_t AnyOffset() { return OneIn(3) ? kCurrentPosition : static_cast<int64_t>(Below(60'000)); }
  // Those whose value is an fd, and nothing else, are odd.
  uint64_t Id(bool makes_fd) { return 2 * ++last_id_ + (makes_fd ? 1 : 0); }

  Entry AnyOperation(Pid pid) {
    switch (Below(32)) {
      case 0:
        return Entry::ReadFile(pid, OneIn(10) ? "/proc/version" : File(static_cast<int>(Below(kFiles + 1))), Id(false));
      case 1:
        return Entry::WriteFile(pid, dir_.Path(absl::StrCat("written", Below(3))), Content(Below(5000)), Id(false));
      case 2:
        return Entry::Open(pid, OneIn(8) ? dir_.Path("fifo") : File(static_cast<int>(Below(kFiles + 1))), O_RDONLY, 0, Id(true));
      case 3:
        return Entry::Close(pid, ClosedFd(), Id(false));
      case 4:
      case 5:
      case 6:
        return Entry::Read(pid, AnyFile(), 1 + Below(20'000), AnyOffset(), Id(false));
      case 7:
      case 8:
        return Entry::Read(pid, AnyPipe().first.get(), 1 + Below(100), kCurrentPosition, Id(false));
      case 9:
        return Entry::Write(pid, AnyFile(), Content(1 + Below(3000)), AnyOffset(), Id(false));
      case 10:
      case 11:
        return Entry::Write(pid, AnyPipe().second.get(), Content(1 + Below(5000)), kCurrentPosition, Id(false));
      case 12:
        return Entry::Fsync(pid, AnyPipe().first.get(), Id(false));
      case 13:
        return Entry::Lseek(pid, AnyFile(), static_cast<int64_t>(Below(1000)), SEEK_SET, Id(false));
      case 14:
      case 15:
        return Entry::Send(pid, AnySockets().first.get(), Content(1 + Below(8000)), 0, Id(false));
      case 16:
      case 17:
        return Entry::Recv(pid, AnySockets().second.get(), 1 + Below(8000), OneIn(4) ? MSG_DONTWAIT : 0, Id(false));
      case 18:
        return Entry::Accept(pid, listener_.get(), Id(true));
      case 19:
        return Entry::IpcSend(pid, static_cast<Pid>(1 + Below(kPids + 1)), Content(Below(300)), Id(false));
      case 20:
        return Entry::IpcRecv(pid, 1 + Below(300), Id(false));
      case 21:
        return Entry::Statx(pid, File(static_cast<int>(Below(kFiles + 1))), 0, 0x7ff, Id(false));
      case 22:
        return Entry::Splice(pid, AnyPipe().first.get(), -1, AnyPipe().second.get(), -1, 1 + Below(100), 0, Id(false));
      case 23:
        return Entry::Socket(pid, AF_UNIX, OneIn(5) ? 77 : SOCK_STREAM, 0, Id(true));
      case 24:
        return Entry::Poll(pid, AnySockets().first.get(), OneIn(2) ? POLLIN : POLLOUT, Id(false));
      case 25:
        return Entry::Sleep(pid, absl::Microseconds(Below(2000)), Id(false));
      case 26:
        return Entry::ReadInto(pid, AnyFile(), ResultBufferPool::NewUnpooled(4096), 1 + Below(4096), AnyOffset(), Id(false));
      case 27:
        return Entry::Ftruncate(pid, files_[0].get(), static_cast<int64_t>(Below(9000)), Id(false));
      // With an end that is near, or they would take all places for entries under way.
      case 28:
        return Entry::AcceptMany(pid, listener_.get(), Id(true)).WithTimeout(absl::Microseconds(1 + Below(1500)));
      case 29:
        return Entry::RecvMany(pid, AnySockets().second.get(), 0, Id(false)).WithTimeout(absl::Microseconds(1 + Below(1500)));
      default:
        return Entry::Nop(pid, Id(false));
    }
  }

  Entry AnyEntry(Pid pid) {
    Entry entry = AnyOperation(pid);
    if (OneIn(8)) entry = std::move(entry).WithTimeout(absl::Microseconds(1 + Below(1500)));
    if (OneIn(5)) entry = std::move(entry).WithPriority(static_cast<Priority>(Below(3)));
    return entry;
  }

  void SubmitSome(Pid pid) {
    const size_t count = 1 + Below(OneIn(4) ? 10 : 3);
    const bool chained = count > 1 && OneIn(2);
    std::vector<Entry> entries;
    for (size_t i = 0; i < count; ++i) {
      entries.push_back(AnyEntry(pid));
      if (chained && i + 1 < count) entries.back() = std::move(entries.back()).WithLink();
    }
    if (OneIn(25)) entries.front() = std::move(entries.front()).WithDrain();
    const absl::StatusOr<std::vector<Seq>> seqs = manager_->SubmitBatch(pid, std::move(entries));
    if (seqs.ok()) last_seq_[pid] = seqs->back();
  }

  void Take(absl::StatusOr<std::vector<Done>> all) {
    if (!all.ok()) return;
    for (const Done& done : *all) Take(done);
  }
  static void Take(const Done& done) {
    if (done.status.is_success() && done.user_data % 2 == 1) close(static_cast<int>(done.result.value()));
  }

  // What the world outside does: data comes and goes, somebody connects.
  void Stir() {
    char memory[4096] = {};
    const Pair& pipe = AnyPipe();
    const Pair& sockets = AnySockets();
    pollfd ready[] = {{pipe.first.get(), POLLIN, 0}, {pipe.second.get(), POLLOUT, 0}};
    poll(ready, 2, 0);
    switch (Below(5)) {
      case 0:
        // Not more than a reader of the library's may have left.
        fcntl(pipe.first.get(), F_SETFL, O_NONBLOCK);
        static_cast<void>(!read(pipe.first.get(), memory, sizeof(memory)));
        fcntl(pipe.first.get(), F_SETFL, 0);
        break;
      case 1:
        // A writer of the library's may have been quicker.
        if (const iovec byte = {memory, 1}; ready[1].revents == POLLOUT) {
          static_cast<void>(!pwritev2(pipe.second.get(), &byte, 1, -1, RWF_NOWAIT));
        }
        break;
      case 2:
        send(sockets.first.get(), memory, 1 + Below(100), MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
      case 3:
        recv(sockets.second.get(), memory, sizeof(memory), MSG_DONTWAIT);
        break;
      case 4: {
        const Fd client = NewSocket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
        sockaddr_storage to;
        socklen_t size = sizeof(to);
        getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&to), &size);
        connect(client.get(), reinterpret_cast<sockaddr*>(&to), size);
        break;
      }
    }
  }

  void Step() {
    const auto pid = static_cast<Pid>(1 + Below(kPids));
    if (!manager_->HasRing(pid)) {
      RingOptions options;
      options.sq_size = 4 + Below(30);
      options.cq_size = 4 + Below(30);
      options.overflow = OneIn(2) ? OverflowPolicy::kBackpressure : OverflowPolicy::kDropOldest;
      options.max_in_flight = Below(10);
      options.mailbox_messages = 1 + Below(4);
      options.weight = 1 + Below(3);
      options.max_bytes_in_flight = OneIn(3) ? 1 + Below(20'000) : 0;
      manager_.MakeRing(pid, options);
      last_seq_[pid] = 0;
    }
    switch (Below(40)) {
      case 0:
        static_cast<void>(manager_->CancelAll(pid));
        break;
      case 1:
        static_cast<void>(manager_->CancelFd(pid, AnyPipe().first.get()));
        break;
      case 2:
      case 3:
      case 4:
        static_cast<void>(manager_->Cancel(pid, 1 + Below(last_seq_[pid] + 1)));
        break;
      case 5: {
        const absl::StatusOr<Done> done =
            manager_->WaitCompletion(pid, last_seq_[pid] - Below(5), absl::Microseconds(Below(200)));
        if (done.ok()) Take(*done);
        break;
      }
      case 6:
        Take(manager_->WaitCompletions(pid, Below(3), 3 + Below(10), absl::Microseconds(Below(200))));
        break;
      case 7:
        if (OneIn(8)) {
          Take(manager_->ReapCompletions(pid));
          const absl::Status destroyed = manager_->DestroyRing(pid);
          EXPECT_TRUE(destroyed.ok()) << destroyed;
        }
        break;
      case 8:
      case 9:
      case 10:
      case 11:
      case 12:
        Take(manager_->ReapCompletions(pid, 1 + Below(20)));
        break;
      case 13:
      case 14:
      case 15:
      case 16:
        Stir();
        break;
      default:
        SubmitSome(pid);
        break;
    }
  }

  std::mt19937_64 random_;
  Books books_;
  TempDir dir_;
  std::array<Pair, 3> pipes_;
  std::array<Pair, 3> sockets_;
  std::array<Fd, kFiles> files_;
  std::string address_;
  Fd listener_;
  std::map<Pid, Seq> last_seq_;
  uint64_t last_id_ = 0;
  TestManager manager_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_RANDOM_PROGRAM_H_
