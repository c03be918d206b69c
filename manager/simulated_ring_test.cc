#include "agentos/testing/simulated_ring.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Entry = SyscallSubmissionEntry;
using Done = SyscallCompletionEntry;

constexpr Pid kPid = 7;

std::unique_ptr<IoUringManager> Make(const SimulatedRingOptions& options) {
  auto manager =
      IoUringManager::Create({.kernel_rings = 1, .kernel_ring_entries = 16, .submission_rings = SimulatedRings(options)});
  EXPECT_TRUE(manager.ok()) << manager.status();
  return manager.ok() ? *std::move(manager) : nullptr;
}

Done Execute(IoUringManager& manager, Entry entry) {
  const absl::StatusOr<Seq> seq = manager.Submit(kPid, std::move(entry));
  EXPECT_TRUE(seq.ok()) << seq.status();
  absl::StatusOr<Done> done = manager.WaitCompletion(kPid, seq.value_or(0), absl::Seconds(30));
  EXPECT_TRUE(done.ok()) << done.status();
  return done.ok() ? *std::move(done) : Done();
}

// Files, pipes and sockets, chains, whole files if wanted: what came of each, in the order in which it came.
std::string RunProgram(IoUringManager& manager, const TempDir& dir, bool whole_files = true) {
  std::string results;
  for (int round = 0; round < 40; ++round) {
    std::vector<Entry> entries;
    const std::string path = dir.Path("file");
    Spill(path, Content(20'000));
    const Fd file(open(path.c_str(), O_RDWR | O_CLOEXEC));
    const Pair pipe = MakePipe();
    const Pair sockets = MakeSocketPair(SOCK_STREAM);
    entries.push_back(Entry::Read(kPid, file.get(), 5000, 100, 1));
    entries.push_back(Entry::Write(kPid, file.get(), Content(6000), 10'000, 2).WithLink());
    entries.push_back(Entry::Read(kPid, file.get(), 6000, 10'000, 3));
    entries.push_back(whole_files ? Entry::ReadFile(kPid, path, 4) : Entry::Nop(kPid, 4));
    entries.push_back(Entry::Write(kPid, pipe.second.get(), Content(3000), kCurrentPosition, 5));
    entries.push_back(Entry::Send(kPid, sockets.first.get(), Content(3000), 0, 6).WithLink());
    entries.push_back(Entry::Recv(kPid, sockets.second.get(), 3000, MSG_WAITALL, 7));
    entries.push_back(Entry::Fsync(kPid, file.get(), 8));
    entries.push_back(Entry::Mkdir(kPid, dir.Path(absl::StrCat("made", round)), 0700, 9));
    EXPECT_TRUE(manager.SubmitBatch(kPid, std::move(entries)).ok());
    for (int i = 0; i < 9; ++i) {
      const auto done = manager.WaitCompletions(kPid, 1, 1, absl::Seconds(30));
      if (!done.ok()) return absl::StrCat(results, done.status().ToString());
      const Done& one = done->front();
      absl::StrAppend(&results, one.user_data, "=",
                      one.status.is_success() ? absl::StrCat(one.result.value()) : one.status.error_message(), " ");
      const bool success = one.status.is_success();
      EXPECT_TRUE(one.user_data != 3 || !success || one.result.data() == Content(6000));
      EXPECT_TRUE(one.user_data != 7 || !success || one.result.data() == Content(3000));
    }
  }
  return results;
}

TEST(SimulatedRingTest, P3AfterALostResultEverythingUnderWayEndsLoudly) {
  const TempDir dir;
  const Pair pipe = MakePipe();
  Spill(dir.Path("file"), "content");
  const Fd file(open(dir.Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  SimulatedRingOptions options;
  options.faults.lost = 100;
  auto manager = Make(options);
  int lost = 0;
  int read = 0;
  for (int round = 0; round < 12; ++round) {
    std::vector<Entry> entries;
    entries.push_back(Entry::Read(kPid, pipe.first.get(), 8, kCurrentPosition, 1).WithHardLink());
    entries.push_back(Entry::Nop(kPid, 2));
    for (int i = 0; i < 4; ++i) entries.push_back(Entry::Read(kPid, file.get(), 7, 0, 3));
    entries.push_back(Entry::ReadFile(kPid, dir.Path("file"), 4));
    const size_t count = entries.size();
    ASSERT_TRUE(manager->SubmitBatch(kPid, std::move(entries)).ok());
    std::vector<Done> all;
    while (all.size() < count) {
      auto some = manager->WaitCompletions(kPid, 1, count, absl::Milliseconds(100));
      if (absl::IsDeadlineExceeded(some.status())) {
        // Nothing was lost but what waits for the pipe.
        ASSERT_EQ(write(pipe.second.get(), "8 bytes.", 8), 8);
        continue;
      }
      ASSERT_TRUE(some.ok()) << some.status();
      for (Done& done : *some) all.push_back(std::move(done));
    }
    for (const Done& done : all) {
      if (done.status.error_number() == EBADR) {
        ++lost;
      } else if (done.user_data >= 3) {
        EXPECT_EQ(done.result.data(), "content") << done.status.error_message();
        ++read;
      }
    }
    EXPECT_TRUE(manager->ReapCompletions(kPid)->empty());
  }
  EXPECT_GT(lost, 0);
  EXPECT_GT(read, 0);
  EXPECT_EQ(manager->Stats().pending, 0u);
}

TEST(SimulatedRingTest, WithoutFaultsItDoesWhatTheKernelDoes) {
  const TempDir dir;
  const auto manager = Make({});
  EXPECT_EQ(manager->Executor().kind, ExecutorKind::kCustom);
  EXPECT_EQ(manager->Executor().name, "custom");
  EXPECT_TRUE(absl::StrContains(manager->Executor().reason, "simulated, seed 1")) << manager->Executor().reason;
  const std::string results = RunProgram(*manager, dir);
  EXPECT_FALSE(absl::StrContains(results, "(")) << results;
}

TEST(SimulatedRingTest, TheSameSeedGivesTheSameRunAndAnotherOneAnother) {
  std::vector<std::string> runs;
  for (const uint64_t seed : {5, 5, 6}) {
    const TempDir dir;
    runs.push_back(RunProgram(*Make({.seed = seed, .faults = Faults::All()}), dir, /*whole_files=*/false));
  }
  // The messages name no paths here.
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_NE(runs[0], runs[2]);
}

TEST(SimulatedRingTest, P13TheCallerHearsNothingOfWhatCanBeMendedWhateverTheQueuesSize) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    const TempDir dir;
    const unsigned completions = seed % 2 == 0 ? 2 : 4096;
    const auto manager = Make({.seed = seed, .faults = Faults::Survivable(), .completion_entries = completions});
    const std::string results = RunProgram(*manager, dir);
    EXPECT_FALSE(absl::StrContains(results, "(")) << results;
  }
}

TEST(SimulatedRingTest, ErrorsOfTheDeviceReachTheCaller) {
  const TempDir dir;
  Spill(dir.Path("file"), "x");
  const Fd file(open(dir.Path("file").c_str(), O_RDWR | O_CLOEXEC));
  const auto broken = Make({.faults = {.io_error = 1000}});
  EXPECT_TRUE(FailedWith(Execute(*broken, Entry::Read(kPid, file.get(), 1, 0, 0)), EIO));
  EXPECT_TRUE(FailedWith(Execute(*broken, Entry::Write(kPid, file.get(), "y", 0, 0)), EIO));
  EXPECT_TRUE(FailedWith(Execute(*broken, Entry::Fsync(kPid, file.get(), 0)), EIO));
  const auto full = Make({.faults = {.no_space = 1000}});
  EXPECT_TRUE(FailedWith(Execute(*full, Entry::Write(kPid, file.get(), "y", 0, 0)), ENOSPC));
  EXPECT_TRUE(FailedWith(Execute(*full, Entry::Mkdir(kPid, dir.Path("new"), 0700, 0)), ENOSPC));
  EXPECT_TRUE(Succeeded(Execute(*full, Entry::Read(kPid, file.get(), 1, 0, 0)), 1));
  EXPECT_EQ(Slurp(dir.Path("file")), "x");
}

TEST(SimulatedRingTest, P9CancelsThatComeLateOrMissEndInOneResult) {
  const auto manager = Make({.seed = 3, .faults = {.delay = 500, .cancel_late = 300, .cancel_blind = 300}});
  const Pair pipe = MakePipe();
  int cancelled = 0;
  int won = 0;
  for (int i = 0; i < 200; ++i) {
    const bool waits = i % 2 == 0;
    const absl::StatusOr<Seq> seq =
        manager->Submit(kPid, waits ? Entry::Read(kPid, pipe.first.get(), 1, kCurrentPosition, 0) : Entry::Nop(kPid, 0));
    ASSERT_TRUE(seq.ok()) << seq.status();
    manager->Cancel(kPid, *seq).IgnoreError();
    const absl::StatusOr<Done> done = manager->WaitCompletion(kPid, *seq, absl::Seconds(30));
    ASSERT_TRUE(done.ok()) << done.status();
    ++(WasCancelled(*done) ? cancelled : won);
    EXPECT_TRUE(!waits || WasCancelled(*done));
  }
  EXPECT_GT(cancelled, 100);
  EXPECT_GT(won, 10);
}

TEST(SimulatedRingTest, AskingForTheKindWithoutRingsIsRefused) {
  EXPECT_TRUE(Refused(IoUringManager::Create({.executor = ExecutorKind::kCustom}).status(), absl::StatusCode::kInvalidArgument,
                      {"kCustom", "submission_rings"}));
}

}  // namespace
}  // namespace agentos
