// P16: no input, however wrong, crashes the process, hangs a thread or corrupts another ring; and what is refused is named.

#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;

std::vector<Entry> ReadsOfVersion() {
  std::vector<Entry> entries;
  for (int i = 0; i < 8; ++i) entries.push_back(Entry::ReadFile(kPid, "/proc/version", 0));
  return entries;
}

struct BadEntry {
  std::function<Entry()> make;
  std::vector<std::string> named;
};

std::vector<BadEntry> BadEntries() {
  const std::string nul("/tmp/a\0b", 8);
  const std::string too_long(PATH_MAX, 'p');
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  return {
      {[] { return Entry(); }, {"no operation"}},
      {[] {
         Entry entry = Entry::Nop(kPid, 0);
         const Entry taken = std::move(entry);
         return entry;
       },
       {"no operation", "moved from"}},
      {[] { return Entry::Nop(kPid + 1, 0); }, {"pid", "8", "7"}},
      {[] { return Entry::ReadFile(0, "/proc/version", 0); }, {"pid"}},
      {[] { return Entry::ReadFile(kPid, "", 0); }, {"ReadFile", "path", "empty"}},
      {[] { return Entry::WriteFile(kPid, "", Bytes("x"), 0); }, {"WriteFile", "path", "empty"}},
      {[] { return Entry::Open(kPid, "", O_RDONLY, 0, 0); }, {"Open", "path", "empty"}},
      {[=] { return Entry::ReadFile(kPid, nul, 0); }, {"ReadFile", "path", "NUL"}},
      {[=] { return Entry::WriteFile(kPid, nul, Bytes("x"), 0); }, {"WriteFile", "path", "NUL"}},
      {[=] { return Entry::Open(kPid, nul, O_RDONLY, 0, 0); }, {"Open", "path", "NUL"}},
      {[=] { return Entry::ReadFile(kPid, too_long, 0); }, {"ReadFile", "path", "4096"}},
      {[=] { return Entry::WriteFile(kPid, too_long, Bytes("x"), 0); }, {"WriteFile", "path", "4096"}},
      {[=] { return Entry::Open(kPid, too_long, O_RDONLY, 0, 0); }, {"Open", "path", "4096"}},
      {[] { return Entry::Open(kPid, "/tmp", 1 << 30, 0, 0); }, {"Open", "flags"}},
      {[] { return Entry::Open(kPid, "/tmp", -1, 0, 0); }, {"Open", "flags"}},
      {[] { return Entry::Open(kPid, "/tmp", O_ACCMODE, 0, 0); }, {"Open", "flags"}},
      {[] { return Entry::Open(kPid, "/tmp", O_CREAT | O_WRONLY, 010000, 0); }, {"Open", "mode"}},
      {[] { return Entry::Close(kPid, -1, 0); }, {"Close", "fd", "-1"}},
      {[] { return Entry::Close(kPid, INT_MIN, 0); }, {"Close", "fd"}},
      {[] { return Entry::Read(kPid, -1, 1, 0, 0); }, {"Read", "fd"}},
      {[] { return Entry::Read(kPid, AT_FDCWD, 1, 0, 0); }, {"Read", "fd"}},
      {[] { return Entry::Read(kPid, 0, 0, 0, 0); }, {"Read", "size", "0"}},
      {[] { return Entry::Read(kPid, 0, kMaxTransferSize + 1, 0, 0); }, {"Read", "size"}},
      {[] { return Entry::Read(kPid, 0, SIZE_MAX, 0, 0); }, {"Read", "size"}},
      {[] { return Entry::Read(kPid, 0, 1, -2, 0); }, {"Read", "offset", "-2"}},
      {[] { return Entry::Read(kPid, 0, 2, kMost - 1, 0); }, {"Read", "offset"}},
      {[] { return Entry::Write(kPid, -1, Bytes("x"), 0, 0); }, {"Write", "fd"}},
      {[] { return Entry::Write(kPid, 0, Bytes("x"), INT64_MIN, 0); }, {"Write", "offset"}},
      {[] { return Entry::Write(kPid, 0, Bytes("x"), kMost, 0); }, {"Write", "offset"}},
      {[] { return Entry::Fsync(kPid, -1, 0); }, {"Fsync", "fd"}},
      {[] { return Entry::Lseek(kPid, -1, 0, SEEK_SET, 0); }, {"Lseek", "fd"}},
      {[] { return Entry::Lseek(kPid, 0, 0, -1, 0); }, {"Lseek", "whence", "-1"}},
      {[] { return Entry::Lseek(kPid, 0, 0, 5, 0); }, {"Lseek", "whence", "5"}},
      {[] { return Entry::Send(kPid, -1, Bytes("x"), 0, 0); }, {"Send", "fd"}},
      {[] { return Entry::Send(kPid, 0, Bytes("x"), MSG_PEEK, 0); }, {"Send", "flags"}},
      {[] { return Entry::Send(kPid, 0, Bytes("x"), MSG_FASTOPEN, 0); }, {"Send", "flags"}},
      {[] { return Entry::Recv(kPid, -1, 1, 0, 0); }, {"Recv", "fd"}},
      {[] { return Entry::Recv(kPid, 0, 0, 0, 0); }, {"Recv", "size"}},
      {[] { return Entry::Recv(kPid, 0, kMaxTransferSize + 1, 0, 0); }, {"Recv", "size"}},
      {[] { return Entry::Recv(kPid, 0, 1, MSG_ERRQUEUE, 0); }, {"Recv", "flags"}},
      {[] { return Entry::Recv(kPid, 0, 1, MSG_TRUNC, 0); }, {"Recv", "flags"}},
      {[] { return Entry::Accept(kPid, -1, 0); }, {"Accept", "fd"}},
      {[] { return Entry::Connect(kPid, -1, "127.0.0.1:80", 0); }, {"Connect", "fd"}},
      {[] { return Entry::Connect(kPid, 0, "localhost:80", 0); }, {"Connect", "address", "localhost"}},
      {[] { return Entry::SendTo(kPid, -1, Bytes("x"), "127.0.0.1:80", 0, 0); }, {"SendTo", "fd"}},
      {[] { return Entry::SendTo(kPid, 0, Bytes("x"), "", 0, 0); }, {"SendTo", "address"}},
      {[] { return Entry::SendTo(kPid, 0, Bytes("x"), "127.0.0.1:80", MSG_WAITALL, 0); }, {"SendTo", "flags"}},
      {[] { return Entry::RecvFrom(kPid, -1, 1, 0, 0); }, {"RecvFrom", "fd"}},
      {[] { return Entry::RecvFrom(kPid, 0, 0, 0, 0); }, {"RecvFrom", "size"}},
      {[] { return Entry::RecvFrom(kPid, 0, 1, 1 << 29, 0); }, {"RecvFrom", "flags"}},
      {[] { return Entry::IpcRecv(kPid, 0, 0); }, {"IpcRecv", "size"}},
      {[] { return Entry::IpcRecv(kPid, SIZE_MAX, 0); }, {"IpcRecv", "size"}},
  };
}

class HostileTest : public ManagerTest {};

TEST_P(HostileTest, P16BadEntriesAreRefusedByNameAndQueueNothing) {
  uint64_t rejected = 0;
  for (const BadEntry& bad : BadEntries()) {
    SCOPED_TRACE(absl::StrJoin(bad.named, " "));
    EXPECT_TRUE(Refused(manager().Submit(kPid, bad.make()).status(), kInvalid, bad.named));
    EXPECT_EQ(manager().Stats().rejected, ++rejected);
  }
  EXPECT_EQ(manager().Stats().total_submissions, 0u);
  EXPECT_EQ(Submit(Entry::Nop(kPid, 0)), 1u);
}

TEST_P(HostileTest, P2ABadEntryRefusesItsBatchByIndexAndLeavesTheOthersAsTheyWere) {
  for (const BadEntry& bad : BadEntries()) {
    SCOPED_TRACE(absl::StrJoin(bad.named, " "));
    std::vector<Entry> entries;
    entries.push_back(Entry::WriteFile(kPid, Path("never"), Bytes("content"), 1));
    entries.push_back(Entry::Nop(kPid, 2));
    entries.push_back(bad.make());
    entries.push_back(Entry::Open(kPid, Path("never"), O_CREAT | O_RDWR, 0644, 4));
    std::vector<Seq> seqs(entries.size(), 99);
    std::vector<std::string> named = bad.named;
    named.push_back("entry 2");
    EXPECT_TRUE(Refused(manager().SubmitBatch(kPid, absl::MakeSpan(entries), absl::MakeSpan(seqs)), kInvalid, named));
    const auto& write = std::get<operation::WriteFile>(entries[0].operation());
    EXPECT_EQ(write.path, Path("never"));
    EXPECT_EQ(write.data.view(), "content");
    EXPECT_EQ(entries[0].user_data(), 1u);
    EXPECT_EQ(std::get<operation::Open>(entries[3].operation()).path, Path("never"));
    EXPECT_EQ(seqs, std::vector<Seq>(4, 99));
    std::vector<Done> out(4);
    EXPECT_TRUE(Refused(
        manager()
            .SubmitAndWait(kPid, absl::MakeSpan(entries), absl::MakeSpan(seqs), 1, absl::MakeSpan(out), absl::InfiniteDuration())
            .status(),
        kInvalid, named));
  }
  EXPECT_EQ(manager().Stats().rejected, 8 * BadEntries().size());
  EXPECT_EQ(manager().Stats().total_submissions, 0u);
  EXPECT_EQ(Submit(Entry::Nop(kPid, 0)), 1u);
  EXPECT_NE(access(Path("never").c_str(), F_OK), 0);
}

TEST_P(HostileTest, P16PidsWithoutARing) {
  std::vector<Done> out(1);
  for (Pid pid : {Pid{0}, kPid, std::numeric_limits<Pid>::max()}) {
    const std::string named = absl::StrCat("pid ", pid);
    EXPECT_FALSE(manager().HasRing(pid));
    EXPECT_TRUE(Refused(manager().ReapCompletions(pid).status(), kNotFound, {named}));
    EXPECT_TRUE(Refused(manager().ReapCompletions(pid, absl::MakeSpan(out)).status(), kNotFound, {named}));
    EXPECT_TRUE(Refused(manager().WaitCompletion(pid, 1).status(), kNotFound, {named}));
    EXPECT_TRUE(Refused(manager().WaitCompletions(pid, 1, 1, absl::InfiniteDuration()).status(), kNotFound, {named}));
    EXPECT_TRUE(
        Refused(manager().WaitCompletions(pid, 1, absl::MakeSpan(out), absl::InfiniteDuration()).status(), kNotFound, {named}));
    EXPECT_TRUE(Refused(manager().Cancel(pid, 1), kNotFound, {named}));
    EXPECT_TRUE(Refused(manager().CancelAll(pid).status(), kNotFound, {named}));
    EXPECT_TRUE(Refused(manager().DestroyRing(pid), kNotFound, {named}));
    EXPECT_TRUE(Succeeded(Run(Entry::IpcSend(1, pid == 1 ? 2 : 1, Bytes("x"), 0), 1)));
    EXPECT_TRUE(FailedWith(Run(Entry::IpcSend(1, pid, Bytes("x"), 0), 1), ESRCH));
  }
  EXPECT_EQ(manager().Stats().active_rings, 1u);
}

TEST_P(HostileTest, P16QueueSizesOutOfRangeAreNamedAndOddOnesAreTakenAsTheyAre) {
  const std::pair<const char*, size_t RingOptions::*> kFields[] = {
      {"sq_size", &RingOptions::sq_size},
      {"cq_size", &RingOptions::cq_size},
      {"mailbox_messages", &RingOptions::mailbox_messages},
      {"mailbox_bytes", &RingOptions::mailbox_bytes},
      {"max_file_size", &RingOptions::max_file_size},
  };
  for (const auto& [name, field] : kFields) {
    for (size_t value : {size_t{0}, SIZE_MAX}) {
      RingOptions options;
      options.*field = value;
      EXPECT_TRUE(Refused(manager().CreateRing(kPid, options), kInvalid, {name, absl::StrCat(value)}));
    }
  }
  RingOptions options;
  options.max_in_flight = kMaxQueueSize + 1;
  EXPECT_TRUE(Refused(manager().CreateRing(kPid, options), kInvalid, {"max_in_flight"}));
  options = RingOptions();
  options.destroy_timeout = -absl::Nanoseconds(1);
  EXPECT_TRUE(Refused(manager().CreateRing(kPid, options), kInvalid, {"destroy_timeout"}));
  options.destroy_timeout = -absl::InfiniteDuration();
  EXPECT_TRUE(Refused(manager().CreateRing(kPid, options), kInvalid, {"destroy_timeout"}));
  options = RingOptions();
  options.sq_size = kMaxQueueSize + 1;
  EXPECT_TRUE(Refused(manager().CreateRing(kPid, options), kInvalid, {"sq_size", "262145", "262144"}));
  EXPECT_FALSE(manager().HasRing(kPid));

  Pid pid = 100;
  for (size_t size : {size_t{1}, size_t{3}, size_t{100}, kMaxQueueSize}) {
    SCOPED_TRACE(size);
    options = RingOptions();
    options.sq_size = size;
    options.cq_size = size;
    ASSERT_TRUE(manager().CreateRing(++pid, options).ok());
    EXPECT_TRUE(Refused(manager().CreateRing(pid, options), absl::StatusCode::kAlreadyExists, {absl::StrCat("pid ", pid)}));
    std::vector<Entry> entries;
    for (size_t i = 0; i < size; ++i) entries.push_back(Entry::Nop(pid, i));
    ASSERT_TRUE(manager().SubmitBatch(pid, std::move(entries)).ok());
    const absl::StatusOr<std::vector<Done>> done = manager().WaitCompletions(pid, size, size, absl::Seconds(60));
    ASSERT_TRUE(done.ok()) << done.status();
    EXPECT_EQ(done->size(), size);
  }
}

TEST_P(HostileTest, P16ManagerOptionsOutOfRangeAreNamed) {
  const std::pair<const char*, std::function<void(IoUringManagerOptions&)>> kCases[] = {
      {"kernel_rings", [](IoUringManagerOptions& o) { o.kernel_rings = 1025; }},
      {"kernel_rings", [](IoUringManagerOptions& o) { o.kernel_rings = SIZE_MAX; }},
      {"kernel_ring_entries", [](IoUringManagerOptions& o) { o.kernel_ring_entries = 0; }},
      {"kernel_ring_entries", [](IoUringManagerOptions& o) { o.kernel_ring_entries = 32769; }},
      {"file_workers", [](IoUringManagerOptions& o) { o.file_workers = SIZE_MAX; }},
  };
  for (const auto& [name, set] : kCases) {
    IoUringManagerOptions options = Options();
    set(options);
    EXPECT_TRUE(Refused(IoUringManager::Create(options).status(), kInvalid, {name}));
  }
}

TEST_P(HostileTest, P16AnEmptyBatchIsFineAndDoesNothing) {
  EXPECT_TRUE(manager().SubmitBatch(kPid, std::vector<Entry>()).value_or(std::vector<Seq>(1)).empty());
  EXPECT_TRUE(manager().SubmitBatch(kPid, absl::Span<Entry>(), absl::Span<Seq>()).ok());
  EXPECT_FALSE(manager().HasRing(kPid));
  EXPECT_EQ(manager().Stats().rejected, 0u);
  EXPECT_EQ(Submit(Entry::Nop(kPid, 0)), 1u);
  EXPECT_TRUE(manager().SubmitBatch(kPid, std::vector<Entry>()).ok());
  EXPECT_EQ(Submit(Entry::Nop(kPid, 0)), 2u);
}

TEST_P(HostileTest, P2ABatchLargerThanTheQueueNamesTheQueueAndQueuesNothing) {
  for (const OverflowPolicy policy : {OverflowPolicy::kDropOldest, OverflowPolicy::kBackpressure}) {
    RingOptions options;
    options.sq_size = 4;
    options.overflow = policy;
    ASSERT_TRUE(manager().CreateRing(kPid, options).ok());
    std::vector<Entry> entries;
    for (int i = 0; i < 5; ++i) entries.push_back(Entry::WriteFile(kPid, Path("never"), Bytes("x"), 0));
    EXPECT_TRUE(Refused(manager().SubmitBatch(kPid, absl::MakeSpan(entries), absl::Span<Seq>()), kInvalid, {"5", "queue", "4"}));
    for (const Entry& entry : entries) EXPECT_TRUE(entry.has_operation());
    EXPECT_EQ(Submit(Entry::Nop(kPid, 0)), 1u);
    EXPECT_NE(access(Path("never").c_str(), F_OK), 0);
    ASSERT_TRUE(manager().DestroyRing(kPid).ok());
  }
}

TEST_P(HostileTest, P16SpansAndBoundsThatDoNotFitAreRefused) {
  std::vector<Entry> entries(2);
  for (Entry& entry : entries) entry = Entry::Nop(kPid, 0);
  std::vector<Seq> seqs(3);
  std::vector<Done> out(2);
  const auto one_seq = absl::MakeSpan(seqs).first(1);
  EXPECT_TRUE(Refused(manager().SubmitBatch(kPid, absl::MakeSpan(entries), absl::MakeSpan(seqs)), kInvalid, {"seqs", "3", "2"}));
  EXPECT_TRUE(Refused(manager().SubmitBatch(kPid, absl::MakeSpan(entries), one_seq), kInvalid, {"seqs"}));
  const auto forever = absl::InfiniteDuration();
  EXPECT_TRUE(Refused(
      manager().SubmitAndWait(kPid, absl::MakeSpan(entries), absl::MakeSpan(seqs), 1, absl::MakeSpan(out), forever).status(),
      kInvalid, {"seqs"}));
  EXPECT_TRUE(
      Refused(manager().SubmitAndWait(kPid, absl::MakeSpan(entries), absl::Span<Seq>(), 3, absl::MakeSpan(out), forever).status(),
              kInvalid, {"min", "3"}));
  EXPECT_EQ(manager().Stats().total_submissions, 0u);
  EXPECT_TRUE(entries[0].has_operation());

  Submit(Entry::Nop(kPid, 0));
  EXPECT_TRUE(Refused(manager().WaitCompletions(kPid, 3, 2, forever).status(), kInvalid, {"min"}));
  EXPECT_TRUE(Refused(manager().WaitCompletions(kPid, 3, absl::MakeSpan(out), forever).status(), kInvalid, {"min"}));
  EXPECT_TRUE(Refused(manager().WaitCompletions(kPid, SIZE_MAX, SIZE_MAX, forever).status(), kInvalid, {"min"}));
  EXPECT_TRUE(Refused(manager().WaitCompletions(kPid, 513, 513, forever).status(), kInvalid, {"min", "512"}))
      << "more than the queue ever holds would wait for ever";
  EXPECT_EQ(manager().WaitCompletions(kPid, 0, 0, forever).value_or(std::vector<Done>(1)).size(), 0u);
  EXPECT_EQ(manager().ReapCompletions(kPid, size_t{0}).value_or(std::vector<Done>(1)).size(), 0u);
  EXPECT_EQ(manager().ReapCompletions(kPid, absl::Span<Done>()).value_or(1), 0u);
  EXPECT_EQ(Reapable(), 1u);
}

TEST_P(HostileTest, P16AnyTimeoutIsAccepted) {
  const Pair pipe = MakePipe();
  const Seq seq = Submit(Entry::Read(kPid, pipe.first.get(), 1, kCurrentPosition, 0));
  for (absl::Duration timeout : {absl::ZeroDuration(), -absl::Seconds(1), -absl::InfiniteDuration(), absl::Nanoseconds(1)}) {
    EXPECT_TRUE(absl::IsDeadlineExceeded(manager().WaitCompletion(kPid, seq, timeout).status()));
    EXPECT_TRUE(absl::IsDeadlineExceeded(manager().WaitCompletions(kPid, 1, 1, timeout).status()));
  }
  ASSERT_EQ(write(pipe.second.get(), "x", 1), 1);
  EXPECT_TRUE(manager().WaitCompletion(kPid, seq, absl::Hours(24 * 365 * 200)).ok());
}

TEST_P(HostileTest, P16HugeReadsOfSmallFilesSucceedOrRunOutOfMemory) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer refuses the allocation by ending the process";
  Spill(Path("file"), "small");
  const Fd fd(open(Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  for (int i = 0; i < 4; ++i) {
    const Done done = Run(Entry::Read(kPid, fd.get(), kMaxTransferSize, 0, 0));
    EXPECT_TRUE(Succeeded(done, 5) || FailedWith(done, ENOMEM)) << done.status.error_message();
  }
  EXPECT_TRUE(Succeeded(Run(Entry::IpcSend(kPid, kPid, Bytes("x"), 0)), 1));
  EXPECT_EQ(Run(Entry::IpcRecv(kPid, kMaxTransferSize, 0)).result.data(), "x");
}

TEST_P(HostileTest, P16TheLibrarysOwnDescriptorsCannotBeTouchedByEntries) {
  Run(Entry::Nop(kPid, 0));
  const std::vector<int> own = ExecutorFds();
  for (const int fd : own) {
    EXPECT_TRUE(FailedWith(Run(Entry::Close(kPid, fd, 0)), EBADF));
    EXPECT_TRUE(FailedWith(Run(Entry::Read(kPid, fd, 8, kCurrentPosition, 0)), EBADF));
    EXPECT_TRUE(FailedWith(Run(Entry::Read(kPid, fd, 8, 0, 0)), EBADF));
    EXPECT_TRUE(FailedWith(Run(Entry::Write(kPid, fd, Bytes("12345678"), kCurrentPosition, 0)), EBADF));
    EXPECT_TRUE(FailedWith(Run(Entry::Fsync(kPid, fd, 0)), EBADF));
  }
  EXPECT_GE(own.size(), 2u);
  EXPECT_EQ(RunBatch(ReadsOfVersion()).size(), 8u);
}

TEST_P(HostileTest, P16AnotherRingDoesNotNotice) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const Seq quiet = Submit(Entry::Recv(9, sockets.first.get(), 10, 0, 42), 9);
  for (const BadEntry& bad : BadEntries()) EXPECT_FALSE(manager().Submit(kPid, bad.make()).ok());
  for (int i = 0; i < 300; ++i) {
    Submit(Entry::Close(kPid, ClosedFd(), 0));
    EXPECT_FALSE(manager().Cancel(kPid, quiet + 1000).ok());
  }
  EXPECT_TRUE(manager().DestroyRing(kPid).ok());
  ASSERT_EQ(write(sockets.second.get(), "calm", 4), 4);
  const Done done = Wait(quiet, 9);
  EXPECT_EQ(done.result.data(), "calm");
  EXPECT_EQ(done.user_data, 42u);
  EXPECT_EQ(done.pid, 9u);
}

TEST_P(HostileTest, ForkedChildrenAreRefusedAndHarmNothing) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  const Seq pending = Submit(Entry::Recv(kPid, sockets.first.get(), 10, 0, 0));
  const Seq ready = Submit(Entry::Nop(kPid, 0));
  EXPECT_TRUE(Succeeded(Run(Entry::ReadFile(kPid, "/proc/version", 0))));
  const size_t fds = OpenFds();
  const bool threads = manager().Executor().kind != ExecutorKind::kIoUring;
  const std::string answer = RunInChild([&]() -> std::string {
    constexpr auto kFailed = absl::StatusCode::kFailedPrecondition;
    std::vector<Entry> entries(1);
    entries[0] = Entry::Nop(kPid, 0);
    std::vector<Done> out(1);
    const absl::Status answers[] = {
        manager().CreateRing(99),
        manager().Submit(kPid, Entry::Nop(kPid, 0)).status(),
        manager().Submit(1234, Entry::Nop(1234, 0)).status(),
        manager().SubmitBatch(kPid, std::vector<Entry>()).status(),
        manager().SubmitBatch(kPid, absl::MakeSpan(entries), absl::Span<Seq>()),
        manager().SubmitAndWait(kPid, absl::MakeSpan(entries), {}, 1, absl::MakeSpan(out), absl::Seconds(1)).status(),
        manager().SubmitAndWait(kPid, {}, {}, 1, absl::MakeSpan(out), absl::Seconds(1)).status(),
        manager().ReapCompletions(kPid).status(),
        manager().ReapCompletions(kPid, absl::MakeSpan(out)).status(),
        manager().WaitCompletion(kPid, ready).status(),
        manager().WaitCompletions(kPid, 1, 1, absl::Seconds(1)).status(),
        manager().WaitCompletions(kPid, 1, absl::MakeSpan(out), absl::Seconds(1)).status(),
        manager().Cancel(kPid, pending),
        manager().CancelAll(kPid).status(),
        manager().DestroyRing(kPid),
    };
    for (const absl::Status& status : answers) {
      if (!Refused(status, kFailed, {"fork"})) return status.ToString();
    }
    static_cast<void>(manager().HasRing(kPid));
    static_cast<void>(manager().Stats().ToString());
    static_cast<void>(manager().Executor().reason);
    manager_.reset();
    // ThreadSanitizer ends a process that starts a thread after such a fork.
    if (kSanitized && threads) return "";
    // A manager of its own is what it needs.
    MakeManager(Options());
    if (HasFatalFailure()) return "no manager in the child";
    const Done done = Run(Entry::ReadFile(kPid, "/proc/version", 0));
    manager_.reset();
    return Succeeded(done) ? "" : done.status.error_message();
  });
  EXPECT_EQ(answer, "");
  EXPECT_EQ(OpenFds(), fds);
  EXPECT_TRUE(Succeeded(Wait(ready)));
  ASSERT_EQ(write(sockets.second.get(), "after", 5), 5);
  EXPECT_EQ(Wait(pending).result.data(), "after");
  EXPECT_TRUE(Succeeded(Run(Entry::ReadFile(kPid, "/proc/version", 0))));
}

class WrongThreadTest : public HostileTest {};

TEST_P(WrongThreadTest, P16AOneThreadManagerRefusesEveryOtherThread) {
  const Seq seq = Submit(Entry::Nop(kPid, 0));
  std::thread([&] {
    constexpr auto kFailed = absl::StatusCode::kFailedPrecondition;
    std::vector<Entry> entries(1);
    entries[0] = Entry::Nop(kPid, 0);
    std::vector<Done> out(1);
    const absl::Status answers[] = {
        manager().CreateRing(99),
        manager().Submit(kPid, Entry::Nop(kPid, 0)).status(),
        manager().SubmitBatch(kPid, std::vector<Entry>()).status(),
        manager().SubmitBatch(kPid, absl::MakeSpan(entries), absl::Span<Seq>()),
        manager().SubmitAndWait(kPid, absl::MakeSpan(entries), {}, 1, absl::MakeSpan(out), absl::Seconds(1)).status(),
        manager().ReapCompletions(kPid).status(),
        manager().ReapCompletions(kPid, absl::MakeSpan(out)).status(),
        manager().WaitCompletion(kPid, seq).status(),
        manager().WaitCompletions(kPid, 1, 1, absl::Seconds(1)).status(),
        manager().WaitCompletions(kPid, 1, absl::MakeSpan(out), absl::Seconds(1)).status(),
        manager().Cancel(kPid, seq),
        manager().CancelAll(kPid).status(),
        manager().DestroyRing(kPid),
    };
    for (const absl::Status& status : answers) EXPECT_TRUE(Refused(status, kFailed, {"kOneThread"}));
    static_cast<void>(manager().Stats().ToString());
    static_cast<void>(manager().Executor().reason);
  }).join();
  EXPECT_FALSE(manager().HasRing(99));
  EXPECT_EQ(manager().Stats().total_submissions, 1u);
  EXPECT_TRUE(Succeeded(Wait(seq)));
}

class ManyThreadsTest : public HostileTest {};

// Whatever a call meets, a ring, none, one that is going or one that has just changed hands, it answers one of few things.
TEST_P(ManyThreadsTest, P16SubmittingWhileTheRingIsDestroyedIsRefusedOrDone) {
  const Pair sockets = MakeSocketPair(SOCK_STREAM);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> accepted{0};
  const auto is_expected = [](const absl::Status& status) {
    switch (status.code()) {
      case absl::StatusCode::kOk:
      case absl::StatusCode::kNotFound:
      case absl::StatusCode::kFailedPrecondition:
      case absl::StatusCode::kAlreadyExists:
      case absl::StatusCode::kResourceExhausted:
      case absl::StatusCode::kDataLoss:
        return true;
      default:
        return false;
    }
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !stop; ++i) {
        std::vector<Entry> entries;
        entries.push_back(Entry::Nop(kPid, 0));
        entries.push_back(Entry::ReadFile(kPid, "/proc/version", 0));
        if (i % 3 == 0) entries.push_back(Entry::Recv(kPid, sockets.first.get(), 10, 0, 0));
        if (i % 5 == 0) entries.push_back(Entry::IpcSend(kPid, kPid, Bytes("x"), 0));
        const size_t count = entries.size();
        const absl::StatusOr<std::vector<Seq>> seqs = manager().SubmitBatch(kPid, std::move(entries));
        EXPECT_TRUE(is_expected(seqs.status())) << seqs.status();
        if (!seqs.ok()) continue;
        accepted += count;
        const absl::Status taken =
            t == 0 ? manager().WaitCompletion(kPid, seqs->front()).status() : manager().ReapCompletions(kPid).status();
        EXPECT_TRUE(is_expected(taken)) << taken;
      }
    });
  }
  uint64_t destroyed = 0;
  while (destroyed < 300) {
    const absl::Status status = manager().DestroyRing(kPid);
    EXPECT_TRUE(is_expected(status)) << status;
    destroyed += status.ok() ? 1 : 0;
    if (destroyed % 2 != 0) continue;
    const absl::Status made = manager().CreateRing(kPid);
    EXPECT_TRUE(is_expected(made)) << made;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  const absl::Status last = manager().DestroyRing(kPid);
  EXPECT_TRUE(last.ok() || absl::IsNotFound(last)) << last;
  const IoUringStats stats = manager().Stats();
  EXPECT_EQ(stats.total_submissions, accepted);
  EXPECT_EQ(stats.total_completions, accepted);
  EXPECT_EQ(stats.pending, 0u);
  EXPECT_EQ(stats.active_rings, 0u);
}

TEST_P(ManyThreadsTest, P11OfManyThatDestroyARingOneDoes) {
  for (int round = 0; round < 50; ++round) {
    Submit(Entry::Nop(kPid, 0));
    std::atomic<int> winners{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        const absl::Status status = manager().DestroyRing(kPid);
        EXPECT_TRUE(status.ok() || absl::IsNotFound(status) || absl::IsFailedPrecondition(status)) << status;
        winners += status.ok() ? 1 : 0;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(winners, 1);
    EXPECT_FALSE(manager().HasRing(kPid));
  }
}

// Children with limits of their own, so no manager in the parent.
class LimitTest : public testing::TestWithParam<Threading> {
 protected:
  static absl::StatusOr<std::unique_ptr<IoUringManager>> Create() {
    IoUringManagerOptions options;
    options.threading = GetParam();
    return IoUringManager::Create(options);
  }

  // "" when an entry of each kind that needs most ends with success or one of `errnos`.
  static std::string Works(IoUringManager& manager, const std::vector<int>& errnos) {
    std::vector<Entry> entries;
    entries.push_back(Entry::Nop(kPid, 0));
    entries.push_back(Entry::Open(kPid, "/proc/version", O_RDONLY, 0, 0));
    for (int i = 0; i < 20; ++i) entries.push_back(Entry::ReadFile(kPid, "/proc/version", 0));
    entries.push_back(Entry::WriteFile(kPid, "/dev/null", Bytes("x"), 0));
    const absl::StatusOr<std::vector<Seq>> seqs = manager.SubmitBatch(kPid, std::move(entries));
    if (!seqs.ok()) return seqs.status().ToString();
    const std::string version = "Linux version";
    for (size_t i = 0; i < seqs->size(); ++i) {
      const absl::StatusOr<Done> done = manager.WaitCompletion(kPid, (*seqs)[i]);
      if (!done.ok()) return done.status().ToString();
      bool fine = done->status.is_success();
      if (fine && i == 1) close(static_cast<int>(done->result.value()));
      if (fine && i >= 2 && i < 22) fine = absl::StartsWith(done->result.data(), version);
      for (int errno_value : errnos) fine = fine || done->status.error_number() == errno_value;
      if (!fine || (i == 0 && !done->status.is_success())) return absl::StrCat("entry ", i, ": ", done->status.error_message());
    }
    return "";
  }

  static bool SetLimit(int resource, rlim_t value) {
    rlimit limit{};
    getrlimit(static_cast<__rlimit_resource>(resource), &limit);
    limit.rlim_cur = value;
    return setrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0;
  }

  static rlim_t LowestFreeFd() {
    const Fd probe(dup(0));
    return static_cast<rlim_t>(probe.get());
  }
};

TEST_P(LimitTest, P16WithoutFreeFdsAManagerWorksOrSaysWhatIsUsedUp) {
  int made = 0;
  for (rlim_t more = 0; more < 16; ++more) {
    SCOPED_TRACE(more);
    const std::string answer = RunInChild([&]() -> std::string {
      if (!SetLimit(RLIMIT_NOFILE, LowestFreeFd() + more)) return "setrlimit failed";
      const size_t fds = LowestFreeFd() == static_cast<rlim_t>(-1) ? 0 : OpenFds();
      {
        const auto manager = Create();
        if (!manager.ok()) {
          const std::string said = manager.status().ToString();
          const bool clear = absl::IsResourceExhausted(manager.status()) &&
                             (absl::StrContains(said, "EMFILE") || absl::StrContains(said, "open files"));
          return clear ? "refused" : said;
        }
        if (std::string failed = Works(**manager, {EMFILE, ENFILE}); !failed.empty()) return failed;
      }
      if (fds != 0 && OpenFds() != fds) return "descriptors leaked";
      return "made";
    });
    EXPECT_TRUE(answer == "refused" || answer == "made") << answer;
    made += answer == "made" ? 1 : 0;
  }
  EXPECT_GT(made, 0);
  EXPECT_LT(made, 16);
}

TEST_P(LimitTest, P16EntriesThatFindNoFreeFdFailAndLaterOnesSucceed) {
  const std::string answer = RunInChild([&]() -> std::string {
    const auto manager = Create();
    if (!manager.ok()) return manager.status().ToString();
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    std::string address;
    const Fd listener = Listen(AF_INET, 8, 0, address);
    const Fd client = NewSocket(AF_INET, SOCK_STREAM);
    if (!SetLimit(RLIMIT_NOFILE, LowestFreeFd())) return "setrlimit failed";
    if (std::string failed = Works(**manager, {EMFILE, ENFILE}); !failed.empty()) return failed;
    for (bool raised : {false, true}) {
      if (raised) setrlimit(RLIMIT_NOFILE, &before);
      for (bool accept : {false, true}) {
        const auto connect = (*manager)->Submit(kPid, Entry::Connect(kPid, client.get(), address, 0));
        if (!connect.ok() || !(*manager)->WaitCompletion(kPid, *connect).ok()) return "Connect";
        const auto seq = (*manager)->Submit(
            kPid, accept ? Entry::Accept(kPid, listener.get(), 0) : Entry::Open(kPid, "/proc/version", O_RDONLY, 0, 0));
        if (!seq.ok()) return seq.status().ToString();
        const absl::StatusOr<Done> done = (*manager)->WaitCompletion(kPid, *seq);
        if (!done.ok()) return done.status().ToString();
        const bool as_expected = raised ? done->status.is_success() : done->status.error_number() == EMFILE;
        if (!as_expected) return absl::StrCat(raised, accept, ": ", done->status.error_message());
        if (raised) close(static_cast<int>(done->result.value()));
      }
    }
    return Works(**manager, {});
  });
  EXPECT_EQ(answer, "");
}

TEST_P(LimitTest, P16WithoutLockedMemoryAManagerWorksOrSaysWhatIsUsedUp) {
  constexpr uid_t kNobody = 65534;
  for (rlim_t limit : {rlim_t{0}, rlim_t{4096}, rlim_t{65536}, rlim_t{1 << 20}}) {
    SCOPED_TRACE(limit);
    const std::string answer = RunInChild([&]() -> std::string {
      if (!SetLimit(RLIMIT_MEMLOCK, limit)) return "setrlimit failed";
      // Who may lock memory without limit must not.
      if (geteuid() == 0 && (setgroups(0, nullptr) != 0 || setresgid(kNobody, kNobody, kNobody) != 0 ||
                             setresuid(kNobody, kNobody, kNobody) != 0)) {
        return "";
      }
      std::vector<std::unique_ptr<IoUringManager>> managers;
      while (managers.size() < 40) {
        auto manager = Create();
        if (!manager.ok()) {
          const std::string said = manager.status().ToString();
          for (const char* named : {"io_uring_setup", "ENOMEM", "RLIMIT_MEMLOCK"}) {
            if (!absl::StrContains(said, named)) return said;
          }
          break;
        }
        managers.push_back(*std::move(manager));
      }
      // Those that were made go on working.
      for (const auto& manager : managers) {
        if (std::string failed = Works(*manager, {}); !failed.empty()) return failed;
      }
      return "";
    });
    EXPECT_EQ(answer, "");
  }
}

INSTANTIATE_TEST_SUITE_P(Threading, HostileTest, BothThreadings(), ThreadingName);
INSTANTIATE_TEST_SUITE_P(Threading, WrongThreadTest, testing::Values(Threading::kOneThread), ThreadingName);
INSTANTIATE_TEST_SUITE_P(Threading, ManyThreadsTest, testing::Values(Threading::kAnyThread), ThreadingName);
INSTANTIATE_TEST_SUITE_P(Threading, LimitTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
