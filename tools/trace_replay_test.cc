// trace_replay on traces that were just recorded.

#include "agentos/tools/trace_replay.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/trace_options.h"
#include "agentos/ring/submission_entry.h"
#include "agentos/testing/test_support.h"
#include "agentos/tools/replay_plan.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Entry = SyscallSubmissionEntry;

constexpr Pid kPid = 7;

struct Result {
  int code = -1;
  std::string out;
  std::string err;
};

class TraceReplayTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(std::filesystem::create_directory(Path("work")));
    ASSERT_TRUE(std::filesystem::create_directory(Path("root")));
    Spill(Path("work/in"), "0123456789");
  }
  std::string Path(const std::string& name) const { return dir_.Path(name); }
  // What is at `path` beneath the root.
  std::string InRoot(const std::string& path) const { return Path("root") + path; }

  // Records what `program` does with a manager to `trace`.
  template <typename Program>
  void Record(Program program, size_t payload_bytes = TraceOptions::kMostPayloadBytes) {
    IoUringManagerOptions options;
    options.trace.mode = TraceMode::kStream;
    options.trace.path = Path("trace");
    options.trace.payload_bytes = payload_bytes;
    auto manager = IoUringManager::Create(options);
    ASSERT_TRUE(manager.ok()) << manager.status();
    manager_ = *std::move(manager);
    program();
    manager_.reset();
  }
  int64_t Do(Entry entry, Pid pid = kPid) {
    const absl::StatusOr<Seq> seq = manager_->Submit(pid, std::move(entry));
    EXPECT_TRUE(seq.ok()) << seq.status();
    absl::StatusOr<SyscallCompletionEntry> done = manager_->WaitCompletion(pid, seq.value_or(0));
    EXPECT_TRUE(done.ok()) << done.status();
    return done.ok() && done->status.is_success() ? done->result.value() : -1;
  }
  // Opens, reads, misses, and closes.
  void ReadSomething() {
    const int fd = static_cast<int>(Do(Entry::Open(kPid, Path("work/in"), O_RDONLY, 0, 0)));
    Do(Entry::Read(kPid, fd, 4, 2, 0));
    Do(Entry::Lseek(kPid, fd, 0, SEEK_END, 0));
    Do(Entry::Close(kPid, fd, 0));
    Do(Entry::ReadFile(kPid, Path("work/in"), 0));
    Do(Entry::ReadFile(kPid, Path("work/none"), 0));
  }
  // A chain, whole files, names.
  void WriteSomething() {
    const int fd = static_cast<int>(Do(Entry::Open(kPid, Path("work/out"), O_RDWR | O_CREAT, 0600, 0)));
    std::vector<Entry> chain;
    chain.push_back(Entry::Write(kPid, fd, Bytes("hello"), 0, 0).WithLink());
    chain.push_back(Entry::Fsync(kPid, fd, 0));
    ASSERT_TRUE(manager_->SubmitBatch(kPid, std::move(chain)).ok());
    ASSERT_TRUE(manager_->WaitCompletions(kPid, 2, 2, absl::Seconds(30)).ok());
    Do(Entry::Close(kPid, fd, 0));
    Do(Entry::WriteFile(kPid, Path("work/whole"), Bytes("whole"), 0));
    Do(Entry::Mkdir(kPid, Path("work/sub"), 0700, 0));
    Do(Entry::Rename(kPid, Path("work/whole"), Path("work/sub/moved"), 0, 0));
    Do(Entry::Unlink(kPid, Path("work/out"), 0, 0));
  }

  Result Replay(std::vector<std::string> arguments) const {
    arguments.push_back(Path("trace"));
    return Run(arguments);
  }
  static Result Run(const std::vector<std::string>& arguments) {
    std::vector<const char*> argv = {"trace_replay"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    std::ostringstream out;
    std::ostringstream err;
    Result result;
    result.code = RunTraceReplay(static_cast<int>(argv.size()), argv.data(), out, err);
    result.out = out.str();
    result.err = err.str();
    return result;
  }

  TempDir dir_;
  std::unique_ptr<IoUringManager> manager_;
};

TEST_F(TraceReplayTest, ReadsTheSameAgainOnEveryExecutor) {
  Record([&] { ReadSomething(); });
  const size_t fds = OpenFds();
  for (const std::string executor : {"auto", "threads", "simulated"}) {
    const Result result = Replay({"--executor=" + executor});
    EXPECT_EQ(result.code, 0) << result.out << result.err;
    EXPECT_TRUE(absl::StrContains(result.out, "6 operations replayed, 0 with another result")) << result.out;
    EXPECT_EQ(result.err, "");
    EXPECT_EQ(OpenFds(), fds) << executor;
  }
  EXPECT_EQ(Replay({"--executor=simulated", "--seed=5"}).code, 0);
}

TEST_F(TraceReplayTest, SaysWhatIsDifferent) {
  Record([&] { ReadSomething(); });
  Spill(Path("work/in"), "01xx456789");
  const Result bytes = Replay({});
  EXPECT_EQ(bytes.code, 1);
  EXPECT_TRUE(absl::StrContains(bytes.out, "2 with another result")) << bytes.out;
  EXPECT_TRUE(absl::StrContains(bytes.out, "with other bytes")) << bytes.out;
  Spill(Path("work/in"), "01");
  EXPECT_TRUE(absl::StrContains(Replay({}).out, "recorded 4 bytes, replayed 0 bytes")) << Replay({}).out;
  unlink(Path("work/in").c_str());
  const Result gone = Replay({});
  EXPECT_EQ(gone.code, 1);
  EXPECT_TRUE(absl::StrContains(gone.out, "replayed -1 ENOENT")) << gone.out;
  EXPECT_TRUE(absl::StrContains(gone.out, "replayed -1 EBADF")) << "what came after it: " << gone.out;
  EXPECT_TRUE(absl::StrContains(Replay({"--differences=1"}).out, "more\n"));
}

TEST_F(TraceReplayTest, WithoutARootNothingIsChanged) {
  Record([&] {
    ReadSomething();
    WriteSomething();
  });
  std::filesystem::remove_all(Path("work/sub"));
  const Result result = Replay({});
  EXPECT_EQ(result.code, 0) << result.out;
  EXPECT_TRUE(absl::StrContains(result.err, "--root")) << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "6 operations replayed")) << result.out;
  EXPECT_FALSE(std::filesystem::exists(Path("work/sub")));
  EXPECT_FALSE(std::filesystem::exists(Path("work/out")));
}

TEST_F(TraceReplayTest, WritesBeneathTheRootOnly) {
  Record([&] { WriteSomething(); });
  std::filesystem::remove_all(Path("work/sub"));
  ASSERT_TRUE(std::filesystem::create_directories(InRoot(Path("work"))));
  const Result result = Replay({"--root", Path("root")});
  EXPECT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_EQ(Slurp(InRoot(Path("work/sub/moved"))), "whole");
  EXPECT_FALSE(std::filesystem::exists(InRoot(Path("work/out"))));
  EXPECT_FALSE(std::filesystem::exists(Path("work/sub"))) << "nothing beside the root";
}

TEST_F(TraceReplayTest, ALinkOutOfTheRootIsNotFollowed) {
  Record([&] { WriteSomething(); });
  std::filesystem::remove_all(Path("work/sub"));
  ASSERT_TRUE(std::filesystem::create_directories(InRoot(Path(""))));
  std::filesystem::create_directory_symlink(Path("work"), InRoot(Path("work")));
  const Result result = Replay({"--root", Path("root")});
  EXPECT_NE(result.code, 0) << result.out;
  EXPECT_FALSE(std::filesystem::exists(Path("work/sub")));
  EXPECT_FALSE(std::filesystem::exists(Path("work/out")));
  EXPECT_FALSE(std::filesystem::exists(Path("work/whole")));
}

TEST_F(TraceReplayTest, WhatWasNotRecordedIsAnObstacleOrZeros) {
  Record([&] { WriteSomething(); }, /*payload_bytes=*/0);
  std::filesystem::remove_all(Path("work/sub"));
  ASSERT_TRUE(std::filesystem::create_directories(InRoot(Path("work"))));
  const Result check = Replay({"--check", "--root", Path("root")});
  EXPECT_EQ(check.code, 3);
  EXPECT_TRUE(absl::StrContains(check.out, "what it wrote was not recorded")) << check.out;
  EXPECT_TRUE(absl::StrContains(check.out, "it is linked to one that cannot be replayed")) << check.out;
  EXPECT_EQ(Replay({"--check", "--root", Path("root"), "--zero-payloads"}).code, 0);
  EXPECT_EQ(Replay({"--root", Path("root"), "--zero-payloads"}).code, 0);
  EXPECT_EQ(Slurp(InRoot(Path("work/sub/moved"))), std::string(5, '\0'));
}

TEST_F(TraceReplayTest, ChecksAndSaysWithoutDoing) {
  Record([&] {
    ReadSomething();
    const Pair sockets = MakeSocketPair(SOCK_STREAM);
    Do(Entry::Send(kPid, sockets.first.get(), Bytes("x"), 0, 0));
    Do(Entry::Read(kPid, sockets.second.get(), 1, kCurrentPosition, 0));
  });
  const Result check = Replay({"--check"});
  EXPECT_EQ(check.code, 3);
  EXPECT_TRUE(absl::StrContains(check.out, "2 of 8 operations cannot be replayed")) << check.out;
  EXPECT_TRUE(absl::StrContains(check.out, "sockets are not replayed")) << check.out;
  EXPECT_TRUE(absl::StrContains(check.out, "was not opened in the trace")) << check.out;
  const Result dry = Replay({"--dry-run", "--op=ReadFile"});
  EXPECT_EQ(dry.code, 0);
  EXPECT_EQ(dry.out,
            absl::StrCat("pid 7 #5 ReadFile(\"", Path("work/in"), "\")\npid 7 #6 ReadFile(\"", Path("work/none"), "\")\n"));
  const Result nothing = Replay({"--op=Send"});
  EXPECT_EQ(nothing.code, 3);
  EXPECT_TRUE(absl::StrContains(nothing.err, "nothing to replay")) << nothing.err;
}

TEST_F(TraceReplayTest, MessagesBetweenProcessesAreReplayed) {
  Record([&] {
    Do(Entry::Nop(8, 0), 8);
    Do(Entry::IpcSend(kPid, 8, Bytes("letter"), 0));
    Do(Entry::IpcRecv(8, 100, 0), 8);
  });
  const Result result = Replay({});
  EXPECT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "3 operations replayed")) << result.out;
}

TEST_F(TraceReplayTest, AMessageThatIsNotSentAgainIsNotWaitedFor) {
  Record(
      [&] {
        Do(Entry::Nop(8, 0), 8);
        Do(Entry::IpcSend(kPid, 8, Bytes("letter"), 0));
        Do(Entry::IpcRecv(8, 100, 0), 8);
      },
      /*payload_bytes=*/0);
  const Result result = Replay({});
  EXPECT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_TRUE(absl::StrContains(result.out, "1 operations replayed")) << result.out;
  EXPECT_TRUE(absl::StrContains(result.err, "is not sent again")) << result.err;
}

TEST_F(TraceReplayTest, KeepsTheRecordedPaceWhenAsked) {
  Record([&] {
    Do(Entry::Sleep(kPid, absl::Milliseconds(1), 0));
    Do(Entry::Nop(kPid, 0));
  });
  for (const char* speed : {"--speed=recorded", "--speed=2x", "--speed=0.5x", "--speed=max"}) EXPECT_EQ(Replay({speed}).code, 0);
}

TEST_F(TraceReplayTest, SaysWhatIsWrong) {
  Record([&] { ReadSomething(); });
  const auto error = [&](const std::vector<std::string>& arguments) {
    const Result result = Replay(arguments);
    EXPECT_EQ(result.code, 2);
    return result.err;
  };
  EXPECT_TRUE(absl::StrContains(error({"--spead=max"}), "did you mean --speed?"));
  for (const char* speed : {"--speed=fast", "--speed=0x", "--speed=-1x", "--speed=x", "--speed=2"}) {
    EXPECT_TRUE(absl::StrContains(error({speed}), "--speed")) << speed;
  }
  EXPECT_TRUE(absl::StrContains(error({"--root", Path("none")}), "--root"));
  EXPECT_TRUE(absl::StrContains(error({"--root", Path("trace")}), "must be a directory"));
  EXPECT_TRUE(absl::StrContains(error({"--seed=1"}), "--seed"));
  EXPECT_EQ(Run({}).code, 2);
  EXPECT_EQ(Run({Path("none")}).code, 2);
  EXPECT_EQ(Run({"--help"}).code, 0);
}

TEST(PathBeneathTest, StaysBeneath) {
  EXPECT_EQ(PathBeneath("/a/b"), "a/b");
  EXPECT_EQ(PathBeneath("a//b/./c/../d/"), "a/b/d");
  EXPECT_EQ(PathBeneath("/a/../.."), "");
  EXPECT_EQ(PathBeneath("../a"), "");
  EXPECT_EQ(PathBeneath("/"), "");
  EXPECT_EQ(PathBeneath(""), "");
}

}  // namespace
}  // namespace agentos
