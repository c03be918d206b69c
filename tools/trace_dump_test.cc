// trace_dump as its users see it: arguments in, bytes and an exit code out.

#include "agentos/tools/trace_dump.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agentos/manager/trace_block.h"
#include "agentos/manager/trace_file_writer.h"
#include "agentos/proto/trace.pb.h"
#include "agentos/testing/test_support.h"
#include "agentos/tools/sample_items.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using proto::v1::TraceRecord;

struct Result {
  int code = -1;
  std::string out;
  std::string err;
};

class TraceDumpTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(setenv("TZ", "UTC", 1), 0);
    Write(Path("trace"),
          {
              "ring_created { time: 500 pid: 7 sq_size: 256 cq_size: 512 }",
              "operation { entry { pid: 7 user_data: 1 open { path: '/etc/hosts' } } seq: 1 queued: 1000 waited: 500 "
              "took: 12000 value: 3 }",
              "operation { entry { pid: 7 modifiers { link: LINK_ON_SUCCESS } read { fd: 3 size: 100 } } seq: 2 "
              "queued: 20000 took: 4000 value: 100 payload { size: 100 data: '127.0.0.1 localhost' } }",
              "operation { entry { pid: 7 close { fd: 3 } } seq: 3 queued: 20000 waited: 4000 took: 1000 }",
              "operation { entry { pid: 8 user_data: 17 open { path: '/no/such' } } seq: 1 queued: 30000 took: 2000000 "
              "error_number: 2 }",
              "queued { time: 40000 seq: 2 entry { pid: 8 recv { fd: 9 size: 10 } } waited: 0 }",
          });
  }
  std::string Path(const std::string& name) const { return dir_.Path(name); }

  static void Write(const std::string& path, const std::vector<std::string>& records) {
    TraceRecord header;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
        "header { format_major: 1 monotonic_ns: 1000000 realtime_ns: 1700000000000000000 os_pid: 42 }", &header));
    auto writer = TraceFileWriter::Create({.path = path}, header.SerializeAsString(), /*now_ns=*/1'000'000);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (const std::string& text : records) {
      TraceRecord record;
      ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &record)) << text;
      ASSERT_TRUE(
          (*writer)->Append([&](uint64_t /*base_ns*/, std::string& to) { to = record.SerializeAsString(); }, {}, 1'000'000).ok());
    }
  }

  // Runs it on the trace, or on what `files` names.
  Result Run(std::vector<std::string> arguments, std::vector<std::string> files = {"trace"}) const {
    for (const std::string& file : files) arguments.push_back(Path(file));
    return RunWith(arguments);
  }
  Result RunWith(const std::vector<std::string>& arguments) const {
    std::vector<const char*> argv = {"trace_dump"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    const Fd out(open(Path("out").c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    std::ostringstream err;
    Result result;
    result.code = RunTraceDump(static_cast<int>(argv.size()), argv.data(), out.get(), err);
    result.out = Slurp(Path("out"));
    result.err = err.str();
    return result;
  }
  // What is wrong with these arguments, which must be wrong.
  std::string ErrorOf(const std::vector<std::string>& arguments) const {
    const Result result = Run(arguments);
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.out, "");
    return result.err;
  }

  TempDir dir_;
};

TEST_F(TraceDumpTest, ShowsOperationsAsLines) {
  const Result result = Run({});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_TRUE(IsAsInFile(result.out, "tools/testdata/dump.txt"));
}

// Every flag has an effect that shows.
TEST_F(TraceDumpTest, EveryFlagDoesWhatItSays) {
  EXPECT_TRUE(IsAsInFile(Run({"--summary"}).out, "tools/testdata/dump_summary.txt"));
  EXPECT_TRUE(IsAsInFile(Run({"--summary", "--by=path"}).out, "tools/testdata/dump_by_path.txt"));
  EXPECT_TRUE(IsAsInFile(Run({"--histogram", "--by=pid"}).out, "tools/testdata/dump_histogram.txt"));
  EXPECT_TRUE(IsAsInFile(Run({"--top=2"}).out, "tools/testdata/dump_top.txt"));
  EXPECT_TRUE(IsAsInFile(Run({"--in-flight"}).out, "tools/testdata/dump_in_flight.txt"));
  EXPECT_TRUE(IsAsInFile(Run({"--failed", "--color=always"}).out, "tools/testdata/dump_failed.txt"));
  EXPECT_TRUE(IsAsInFile(Run({"--pid=7", "--width=50", "--dates"}).out, "tools/testdata/dump_narrow.txt"));
  EXPECT_TRUE(IsAsInFile(Run({"--op=open", "--limit=1", "--format=json"}).out, "tools/testdata/dump.jsonl"));
  EXPECT_TRUE(IsAsInFile(Run({"--format=csv"}).out, "tools/testdata/dump.csv"));
  EXPECT_TRUE(IsAsInFile(RunWith({"--help"}).out, "tools/testdata/dump_help.txt"));
  EXPECT_TRUE(absl::StrContains(Run({"--format=chrome"}).out, "traceEvents"));
  EXPECT_FALSE(Run({"--format=perfetto"}).out.empty());
  EXPECT_FALSE(Run({"--format=proto"}).out.empty());
  EXPECT_TRUE(absl::StrContains(Run({"--html"}).out, "<html"));
  EXPECT_TRUE(absl::StrContains(RunWith({"--version"}).out, "trace format"));
}

TEST_F(TraceDumpTest, WritesToAFileWhenAsked) {
  const Result result = Run({"--summary", "--output", Path("summary")});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(Slurp(Path("summary")), Run({"--summary"}).out);
  EXPECT_TRUE(absl::StrContains(ErrorOf({"--output", Path("no/such/place")}), "no/such/place"));
}

TEST_F(TraceDumpTest, SaysWhatIsWrong) {
  EXPECT_TRUE(absl::StrContains(ErrorOf({"--sumary"}), "did you mean --summary?"));
  EXPECT_TRUE(absl::StrContains(ErrorOf({"--html", "--summary"}), "--html"));
  EXPECT_TRUE(absl::StrContains(ErrorOf({"--summary", "--format=json"}), "--format"));
  EXPECT_TRUE(absl::StrContains(ErrorOf({"--follow", "--html"}), "--follow"));
  EXPECT_TRUE(absl::StrContains(ErrorOf({"--verify", "--repair=x"}), "--repair"));
  EXPECT_TRUE(absl::StrContains(ErrorOf({"--repair=x", Path("trace")}), "one file"));
  EXPECT_TRUE(absl::StrContains(ErrorOf({"--op=Reed"}), "--op"));
  const auto wrong_file = [&](const std::string& name) {
    const Result result = Run({}, {name});
    EXPECT_EQ(result.code, 2);
    EXPECT_TRUE(absl::StrContains(result.err, Path(name))) << result.err;
    return result.err;
  };
  EXPECT_TRUE(absl::StrContains(wrong_file("none"), "No such file"));
  EXPECT_TRUE(absl::StrContains(wrong_file(""), "directory"));
  Spill(Path("text"), "this is no trace");
  EXPECT_TRUE(absl::StrContains(wrong_file("text"), "no trace file"));
  Spill(Path("empty"), "");
  EXPECT_TRUE(absl::StrContains(wrong_file("empty"), "is empty"));
}

TEST_F(TraceDumpTest, ReadsAPipe) {
  const Fd in(open(Path("trace").c_str(), O_RDONLY | O_CLOEXEC));
  const Fd before(dup(STDIN_FILENO));
  ASSERT_EQ(dup2(in.get(), STDIN_FILENO), STDIN_FILENO);
  const Result result = RunWith({"-"});
  ASSERT_EQ(dup2(before.get(), STDIN_FILENO), STDIN_FILENO);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, Run({}).out);
}

TEST_F(TraceDumpTest, SaysWhatTheRecorderLost) {
  Write(Path("lossy"), {"loss { time: 1 submissions: 3 completions: 4 others: 5 }"});
  const Result shown = Run({}, {"lossy"});
  EXPECT_EQ(shown.code, 0);
  EXPECT_TRUE(absl::StrContains(shown.err, "lost 3 submissions, 4 ends and 5 other events")) << shown.err;
  const Result verified = Run({"--verify"}, {"lossy"});
  EXPECT_EQ(verified.code, 1);
  EXPECT_TRUE(absl::StartsWith(verified.out, "lossy: 0 operations\n")) << verified.out;
  EXPECT_EQ(Run({"--verify"}).code, 0);
  EXPECT_EQ(Run({"--verify"}).out, "clean: 5 operations, 1 of which never ended\n");
}

class DamagedTraceDump : public TraceDumpTest {
 protected:
  void SetUp() override {
    std::vector<std::string> records;
    for (int i = 1; i <= 8000; ++i) {
      records.push_back(absl::StrCat("operation { entry { pid: 7 nop {} } seq: ", i, " queued: ", i, " took: 1 }"));
    }
    Write(Path("trace"), records);
    std::string bytes = Slurp(Path("trace"));
    ASSERT_GT(bytes.size(), 2 * kTraceBlockSize);
    bytes[kTraceBlockSize + 1000] = static_cast<char>(bytes[kTraceBlockSize + 1000] ^ 1);
    Spill(Path("damaged"), bytes);
  }
  static size_t Lines(const std::string& text) { return static_cast<size_t>(std::count(text.begin(), text.end(), '\n')); }
};

TEST_F(DamagedTraceDump, ShowsTheRestAndSaysWhereItIs) {
  const Result shown = Run({"--format=csv"}, {"damaged"});
  EXPECT_EQ(shown.code, 0);
  EXPECT_GT(Lines(shown.out), 3000u);
  EXPECT_LT(Lines(shown.out), 8000u);
  EXPECT_TRUE(absl::StrContains(shown.err, "1 place of the trace cannot be read")) << shown.err;
  const Result verified = Run({"--verify"}, {"damaged"});
  EXPECT_EQ(verified.code, 3);
  EXPECT_TRUE(absl::StrContains(verified.out, "corrupt")) << verified.out;
  EXPECT_TRUE(absl::StrContains(verified.out, "block at 65536")) << verified.out;
}

TEST_F(DamagedTraceDump, RepairSavesWhatIsGood) {
  const Result repaired = Run({"--repair", Path("good")}, {"damaged"});
  EXPECT_EQ(repaired.code, 0) << repaired.err;
  EXPECT_TRUE(absl::StrContains(repaired.out, "good is lossy")) << repaired.out;
  EXPECT_EQ(Run({"--verify"}, {"good"}).code, 1) << "what is missing is still missing";
  EXPECT_EQ(Run({"--format=csv"}, {"good"}).out, Run({"--format=csv"}, {"damaged"}).out);
  // What is there is not overwritten.
  EXPECT_EQ(Run({"--repair", Path("good")}, {"damaged"}).code, 2);
  // A cut, and a file without damage.
  Spill(Path("cut"), Slurp(Path("trace")).substr(0, 2 * kTraceBlockSize + 500));
  EXPECT_EQ(Run({"--repair", Path("uncut")}, {"cut"}).code, 0);
  EXPECT_EQ(Run({"--verify"}, {"uncut"}).code, 1);
  EXPECT_EQ(Run({"--repair", Path("same")}, {"trace"}).code, 0);
  EXPECT_EQ(Run({"--verify"}, {"same"}).code, 0);
  EXPECT_EQ(Run({"--format=csv"}, {"same"}).out, Run({"--format=csv"}, {"trace"}).out);
}

TEST_F(TraceDumpTest, FollowsUntilItIsInterrupted) {
  // It is interrupted once the line of an operation has come through.
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  std::string line;
  std::thread reader([&] {
    const Fd fifo(open(Path("fifo").c_str(), O_RDONLY | O_CLOEXEC));
    while (!absl::StrContains(line, "Close(fd 3)")) {
      const std::string byte = ReadAll(fifo.get(), 1);
      if (byte.empty()) return;
      line += byte;
    }
    kill(getpid(), SIGINT);
    ReadAll(fifo.get(), 1 << 20);
  });
  const Result result = Run({"--follow", "--output", Path("fifo")});
  reader.join();
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(absl::StrContains(line, "Close(fd 3)")) << line;
}

TEST_F(TraceDumpTest, AReaderThatHasSeenEnoughIsNoError) {
  std::vector<std::string> records;
  for (int i = 1; i <= 20'000; ++i) records.push_back(absl::StrCat("operation { entry { pid: 7 nop {} } seq: ", i, " }"));
  Write(Path("long"), records);
  signal(SIGPIPE, SIG_IGN);
  const std::string path = Path("long");
  const char* const arguments[] = {"trace_dump", path.c_str()};
  Pair pipe = MakePipe();
  pipe.first.Reset();
  std::ostringstream err;
  EXPECT_EQ(RunTraceDump(2, arguments, pipe.second.get(), err), 0) << err.str();
  EXPECT_EQ(err.str(), "");
}

}  // namespace
}  // namespace agentos
