// What a manager records of what it is asked to do.

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/manager/trace_options.h"
#include "agentos/manager/trace_test_support.h"
#include "agentos/proto/trace.pb.h"
#include "agentos/testing/recording_observer.h"
#include "agentos/testing/test_support.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/dynamic_message.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using proto::v1::Operation;
using proto::v1::TraceRecord;

class TraceTest : public ManagerTest {
 protected:
  std::string path() const { return Path("trace"); }
  IoUringManagerOptions Recording(TraceOptions trace) const {
    IoUringManagerOptions options = Options();
    if (trace.mode == TraceMode::kOff) trace.mode = TraceMode::kStream;
    if (trace.path.empty()) trace.path = path();
    options.trace = std::move(trace);
    return options;
  }
  void Record(TraceOptions trace = {}) { MakeManager(Recording(std::move(trace))); }

  // Runs until the manager has ended: everything is in the file then.
  ReadTrace EndAndRead() {
    manager_.reset();
    return ReadTrace(path());
  }
  // The operation `seq` of kPid.
  static Operation Find(const ReadTrace& trace, Seq seq) {
    for (const Operation& operation : trace.operations()) {
      if (operation.entry().pid() == kPid && operation.seq() == seq) return operation;
    }
    ADD_FAILURE() << "no operation " << seq;
    return {};
  }
};

TEST_P(TraceTest, RecordsBothHalvesOfAnOperationAndWhatItWas) {
  Record();
  Spill(Path("file"), "0123456789");
  const Fd file(open(Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  Run(Entry::Read(kPid, file.get(), 4, 2, 42));
  Run(Entry::Open(kPid, Path("none"), O_RDONLY, 0, 43));
  const ReadTrace trace = EndAndRead();
  const Operation read = Find(trace, 1);
  EXPECT_EQ(read.entry().user_data(), 42u);
  EXPECT_EQ(read.entry().read().fd(), file.get());
  EXPECT_EQ(read.entry().read().size(), 4u);
  EXPECT_EQ(read.entry().read().offset(), 2);
  EXPECT_EQ(read.value(), 4);
  EXPECT_EQ(read.error_number(), 0);
  EXPECT_GT(read.took(), 0u);
  EXPECT_FALSE(read.has_payload()) << "nothing of it is kept unless asked for";
  const Operation open = Find(trace, 2);
  EXPECT_EQ(open.entry().open().path(), Path("none"));
  EXPECT_EQ(open.error_number(), ENOENT);
  EXPECT_EQ(trace.Count(TraceRecord::kRingCreated), 1u);
  EXPECT_EQ(trace.Count(TraceRecord::kRingDestroyed), 1u);
  EXPECT_TRUE(trace.records().back().has_ring_destroyed());
}

TEST_P(TraceTest, TheHeaderSaysWhereItIsFrom) {
  Record({.payload_bytes = 10});
  const ExecutorInfo executor = manager().Executor();
  const proto::v1::TraceHeader header = EndAndRead().header();
  EXPECT_EQ(header.format_major(), 1u);
  EXPECT_EQ(header.os_pid(), getpid());
  EXPECT_EQ(header.executor(), executor.name);
  EXPECT_EQ(header.executor_reason(), executor.reason);
  EXPECT_EQ(header.payload_bytes(), 10u);
  EXPECT_FALSE(header.flight_recorder());
  EXPECT_NE(header.kernel(), "");
  EXPECT_GT(header.realtime_ns(), header.monotonic_ns());
  EXPECT_TRUE(absl::StrContains(header.program(), "trace_test")) << header.program();
}

// As somebody would who has the file, protobuf, and nothing of this library.
TEST_P(TraceTest, TheHeaderBringsWhatIsNeededToReadIt) {
  Record();
  Run(Entry::Nop(kPid, 42));
  const ReadTrace trace = EndAndRead();
  google::protobuf::FileDescriptorSet files;
  ASSERT_TRUE(files.ParseFromString(trace.header().descriptor_set()));
  google::protobuf::DescriptorPool pool;
  for (const auto& file : files.file()) ASSERT_NE(pool.BuildFile(file), nullptr) << file.name();
  const auto* type = pool.FindMessageTypeByName("agentos.proto.v1.TraceRecord");
  ASSERT_NE(type, nullptr);
  google::protobuf::DynamicMessageFactory factory;
  std::string text;
  for (const TraceRecord& record : trace.records()) {
    const std::unique_ptr<google::protobuf::Message> message(factory.GetPrototype(type)->New());
    ASSERT_TRUE(message->ParseFromString(record.SerializeAsString()));
    text += message->ShortDebugString();
  }
  EXPECT_TRUE(absl::StrContains(text, "user_data: 42 nop { }")) << text;
}

TEST_P(TraceTest, EverythingIsRecordedWhateverBecomesOfIt) {
  Record();
  ASSERT_TRUE(manager().CreateRing(kPid, {.sq_size = 8, .cq_size = 4, .max_in_flight = 2}).ok());
  PendingEntries pending;
  for (Entry& entry : pending.Make(kPid)) {
    const Seq seq = Submit(std::move(entry));
    ASSERT_TRUE(manager().Cancel(kPid, seq).ok());
    Wait(seq);
  }
  for (int i = 0; i < 3; ++i) {
    std::vector<Entry> chain;
    chain.push_back(Entry::Nop(kPid, 0).WithLink());
    chain.push_back(Entry::Close(kPid, ClosedFd(), 0).WithLink());
    chain.push_back(Entry::Nop(kPid, 0));
    RunBatch(std::move(chain));
  }
  // Four of ten stay, nobody reaps the others.
  for (int i = 0; i < 10; ++i) Submit(Entry::Nop(kPid, 0));
  EXPECT_FALSE(manager().Submit(kPid, Entry::Close(kPid, -1, 0)).ok());
  const IoUringStats stats = manager().Stats();
  const TraceStats counted = manager().Trace();
  EXPECT_EQ(counted.path, path());
  EXPECT_EQ(counted.recorded.submissions, stats.total_submissions);
  EXPECT_EQ(counted.recorded.completions, stats.total_completions);
  EXPECT_FALSE(counted.lost.any());
  const ReadTrace trace = EndAndRead();
  EXPECT_EQ(trace.submissions(), stats.total_submissions);
  EXPECT_EQ(trace.completions(), stats.total_submissions) << "the last of them ended with the ring";
  EXPECT_EQ(trace.Count(TraceRecord::kDropped), stats.dropped);
  EXPECT_EQ(trace.Count(TraceRecord::kRefused), 1u);
  std::map<Seq, size_t> times;
  for (const Operation& operation : trace.operations()) ++times[operation.seq()];
  for (const auto& [seq, count] : times) EXPECT_EQ(count, 1u) << seq;
}

TEST_P(TraceTest, WhatIsUnderWayCanBeSeen) {
  Record();
  const Pair pipe = MakePipe();
  const Seq waiting = Submit(Entry::Read(kPid, pipe.first.get(), 10, kCurrentPosition, 5));
  ASSERT_TRUE(manager().FlushTrace().ok());
  {
    const ReadTrace trace(path());
    ASSERT_EQ(trace.Count(TraceRecord::kQueued), 1u);
    EXPECT_EQ(trace.completions(), 0u);
    const proto::v1::Queued& queued = trace.records().back().queued();
    EXPECT_EQ(queued.entry().user_data(), 5u);
    EXPECT_TRUE(queued.has_waited()) << "it has started";
  }
  EXPECT_EQ(write(pipe.second.get(), "x", 1), 1);
  Wait(waiting);
  const ReadTrace trace = EndAndRead();
  EXPECT_EQ(trace.submissions(), 1u);
  ASSERT_EQ(trace.Count(TraceRecord::kCompleted), 1u);
  for (const TraceRecord& record : trace.records()) {
    if (!record.has_completed()) continue;
    EXPECT_EQ(record.completed().completion().seq(), waiting);
    EXPECT_EQ(record.completed().completion().value(), 1);
    EXPECT_GT(record.completed().since_queued(), 0u);
  }
}

TEST_P(TraceTest, TellsTheWaitForATurnFromTheWork) {
  Record();
  ASSERT_TRUE(manager().CreateRing(kPid, {.max_in_flight = 1}).ok());
  const Pair pipe = MakePipe();
  const Seq first = Submit(Entry::Read(kPid, pipe.first.get(), 1, kCurrentPosition, 0));
  const Seq second = Submit(Entry::Nop(kPid, 0));
  EXPECT_EQ(write(pipe.second.get(), "x", 1), 1);
  Wait(first);
  Wait(second);
  const ReadTrace trace = EndAndRead();
  EXPECT_EQ(Find(trace, first).waited(), 0u);
  EXPECT_GT(Find(trace, second).waited(), 0u);
}

TEST_P(TraceTest, KeepsAsMuchPayloadAsAsked) {
  for (const size_t bytes : {size_t{0}, size_t{4}, TraceOptions::kMostPayloadBytes}) {
    Record({.payload_bytes = bytes});
    Run(Entry::WriteFile(kPid, Path("file"), Bytes(std::string("0123456789")), 0));
    Run(Entry::ReadFile(kPid, Path("file"), 0));
    const ReadTrace trace = EndAndRead();
    const std::string kept = std::string("0123456789").substr(0, bytes);
    EXPECT_EQ(Find(trace, 1).entry().write_file().payload().size(), 10u);
    EXPECT_EQ(Find(trace, 1).entry().write_file().payload().data(), kept);
    EXPECT_EQ(Find(trace, 2).payload().data(), kept);
    EXPECT_EQ(Find(trace, 2).value(), 10);
  }
}

TEST_P(TraceTest, TheLargestPayloadsAndPathsFit) {
  Record({.payload_bytes = TraceOptions::kMostPayloadBytes, .thread_buffer_bytes = 1 << 17});
  const std::string data = Content(1'000'000);
  Run(Entry::WriteFile(kPid, Path("file"), Bytes(std::string(data)), 0));
  Run(Entry::Rename(kPid, Path(std::string(3000, 'a')), Path(std::string(3000, 'b')), 0, 0));
  EXPECT_EQ(manager().Trace().lost, TraceCounts());
  Run(Entry::ReadFile(kPid, Path("file"), 0));
  EXPECT_EQ(manager().Trace().lost, TraceCounts());
  const ReadTrace trace = EndAndRead();
  EXPECT_EQ(trace.operations().size(), 3u);
  EXPECT_EQ(Find(trace, 1).entry().write_file().payload().size(), data.size());
  EXPECT_EQ(Find(trace, 1).entry().write_file().payload().data(), data.substr(0, TraceOptions::kMostPayloadBytes));
  EXPECT_EQ(Find(trace, 3).payload().data(), data.substr(0, TraceOptions::kMostPayloadBytes));
}

TEST_P(TraceTest, NamesCanBeLeftOut) {
  Record({.redact_paths = true});
  Run(Entry::WriteFile(kPid, Path("secret"), Bytes("x"), 0));
  Run(Entry::ReadFile(kPid, Path("secret"), 0));
  const ReadTrace trace = EndAndRead();
  EXPECT_TRUE(trace.header().paths_redacted());
  EXPECT_EQ(trace.header().program(), "");
  const std::string name = Find(trace, 1).entry().write_file().path();
  EXPECT_EQ(name.substr(0, 2), "/n");
  EXPECT_EQ(Find(trace, 2).entry().read_file().path(), name) << "the same is still the same";
  EXPECT_FALSE(absl::StrContains(Slurp(path()), "secret"));
}

// More than the smallest buffers hold, faster than they are emptied.
TEST_P(TraceTest, RecordedAndLostAreAllThereWas) {
  Record({.payload_bytes = 4096, .thread_buffer_bytes = 1 << 17});
  Spill(Path("file"), Content(4096));
  const Fd file(open(Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  const auto work = [&](Pid pid) {
    for (int round = 0; round < 100; ++round) {
      std::vector<Entry> entries;
      for (int i = 0; i < 64; ++i) entries.push_back(Entry::Read(pid, file.get(), 4096, 0, 0));
      for (const Done& done : RunBatch(std::move(entries), pid)) ASSERT_TRUE(Succeeded(done, 4096));
    }
  };
  std::vector<std::thread> threads;
  if (GetParam() == Threading::kAnyThread) threads.emplace_back([&] { work(kPid + 1); });
  work(kPid);
  for (std::thread& thread : threads) thread.join();
  const IoUringStats stats = manager().Stats();
  const TraceStats counted = manager().Trace();
  EXPECT_EQ(counted.recorded.submissions + counted.lost.submissions, stats.total_submissions);
  EXPECT_EQ(counted.recorded.completions + counted.lost.completions, stats.total_completions);
  EXPECT_GT(counted.lost.completions, 0u) << "nothing was lost, so nothing was tested";
  const ReadTrace trace = EndAndRead();
  EXPECT_EQ(trace.submissions(), counted.recorded.submissions);
  EXPECT_EQ(trace.completions(), counted.recorded.completions);
  EXPECT_EQ(trace.lost().submissions, counted.lost.submissions) << "the file says so itself";
  EXPECT_EQ(trace.lost().completions, counted.lost.completions);
}

TEST_P(TraceTest, AFullDiskLosesRecordsAndNothingElse) {
  Record();
  signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit low = before;
  low.rlim_cur = (1 << 16) + 40;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
  for (int round = 0; round < 200; ++round) {
    std::vector<Entry> entries;
    for (int i = 0; i < 64; ++i) entries.push_back(Entry::Nop(kPid, 0));
    for (const Done& done : RunBatch(std::move(entries))) ASSERT_TRUE(Succeeded(done, 0));
  }
  EXPECT_FALSE(manager().FlushTrace().ok());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  Run(Entry::Nop(kPid, 0));
  EXPECT_TRUE(manager().FlushTrace().ok()) << "it goes on when there is room again";
  const TraceStats counted = manager().Trace();
  EXPECT_EQ(counted.recorded.submissions + counted.lost.submissions, 200u * 64 + 1);
  EXPECT_GT(counted.lost.submissions, 0u);
  const ReadTrace trace = EndAndRead();
  EXPECT_EQ(trace.submissions(), counted.recorded.submissions);
  EXPECT_EQ(trace.lost().submissions, counted.lost.submissions);
}

TEST_P(TraceTest, FilesAreSucceededByOthers) {
  Record({.max_file_bytes = 1 << 17, .keep = 2});
  for (int round = 0; round < 200; ++round) {
    std::vector<Entry> entries;
    for (int i = 0; i < 64; ++i) entries.push_back(Entry::Nop(kPid, 0));
    RunBatch(std::move(entries));
  }
  manager_.reset();
  EXPECT_FALSE(std::filesystem::exists(path() + ".3"));
  for (const char* age : {"", ".1", ".2"}) {
    EXPECT_LE(std::filesystem::file_size(path() + age), 1u << 17);
    EXPECT_EQ(ReadTrace(path() + age).header().os_pid(), getpid()) << "each can be read by itself";
  }
}

TEST_P(TraceTest, AFlightRecorderKeepsTheLast) {
  Record({.mode = TraceMode::kFlightRecorder, .flight_records = 2000});
  for (int round = 0; round < 200; ++round) {
    std::vector<Entry> entries;
    for (int i = 0; i < 64; ++i) entries.push_back(Entry::Nop(kPid, 0));
    RunBatch(std::move(entries));
  }
  EXPECT_FALSE(std::filesystem::exists(path())) << "nobody asked for it";
  const TraceStats counted = manager().Trace();
  EXPECT_EQ(counted.recorded.submissions + counted.lost.submissions + counted.forgotten.submissions, 200u * 64);
  ASSERT_TRUE(manager().DumpTrace().ok());
  const ReadTrace trace(path());
  EXPECT_TRUE(trace.header().flight_recorder());
  EXPECT_EQ(trace.submissions(), counted.recorded.submissions);
  if (!counted.lost.any()) {
    EXPECT_GE(trace.submissions(), 2000u);
    EXPECT_EQ(trace.operations().back().seq(), 200u * 64);
  }
  Run(Entry::Nop(kPid, 1));
  ASSERT_TRUE(manager().DumpTrace().ok());
  EXPECT_EQ(ReadTrace(path()).submissions(), 1u);
  EXPECT_EQ(ReadTrace(path() + ".1").submissions(), trace.submissions()) << "the one before is kept";
  manager_.reset();
}

// The file appears by itself: its writer looks for reasons all the time.
void AwaitFile(const std::string& path) {
  while (!std::filesystem::exists(path)) std::this_thread::yield();
}

TEST_P(TraceTest, AFlightRecorderIsDumpedByASignal) {
  Record({.mode = TraceMode::kFlightRecorder, .dump_signal = SIGUSR2});
  Run(Entry::Nop(kPid, 42));
  raise(SIGUSR2);
  AwaitFile(path());
  manager_.reset();
  EXPECT_EQ(ReadTrace(path()).operations().front().entry().user_data(), 42u);
}

TEST_P(TraceTest, AFlightRecorderIsDumpedByWhatTakesTooLong) {
  Record({.mode = TraceMode::kFlightRecorder, .dump_when_slower = absl::Milliseconds(5)});
  Run(Entry::Sleep(kPid, absl::Milliseconds(6), 42));
  AwaitFile(path());
  const uint64_t first = ReadTrace(path()).submissions();
  EXPECT_EQ(first, 1u);
  Run(Entry::Sleep(kPid, absl::Milliseconds(6), 43));
  ASSERT_TRUE(manager().FlushTrace().ok());
  manager_.reset();
  EXPECT_FALSE(std::filesystem::exists(path() + ".1")) << "not again before there is something new to see";
}

TEST_P(TraceTest, TheProgramsOwnObserverHearsAllTheSame) {
  RecordingObserver observer;
  IoUringManagerOptions options = Recording({});
  options.observer = &observer;
  MakeManager(options);
  const Seq seq = Submit(Entry::Nop(kPid, 0));
  Wait(seq);
  EXPECT_EQ(observer.WordsFor(kPid, seq), "queued dispatched completed");
  EXPECT_EQ(EndAndRead().submissions(), 1u);
  EXPECT_EQ(observer.RingEvents().size(), 2u);
}

TEST_P(TraceTest, WithoutARecorderThereIsNothing) {
  MakeManager(Options());
  EXPECT_EQ(manager().Trace().path, "");
  EXPECT_TRUE(Refused(manager().FlushTrace(), absl::StatusCode::kFailedPrecondition, {"AGENTOS_URING_TRACE"}));
  EXPECT_TRUE(Refused(manager().DumpTrace(), absl::StatusCode::kFailedPrecondition));
  Record();
  EXPECT_TRUE(Refused(manager().DumpTrace(), absl::StatusCode::kFailedPrecondition, {"flight recorder"}));
  manager_.reset();
}

TEST_P(TraceTest, OptionsThatMakeNoSenseAreRefusedByName) {
  const auto refused = [&](TraceOptions trace, const std::string& field) {
    return Refused(IoUringManager::Create(Recording(std::move(trace))).status(), absl::StatusCode::kInvalidArgument, {field});
  };
  EXPECT_TRUE(refused({.mode = static_cast<TraceMode>(9)}, "mode"));
  EXPECT_TRUE(refused({.payload_bytes = TraceOptions::kMostPayloadBytes + 1}, "payload_bytes"));
  EXPECT_TRUE(refused({.max_file_bytes = 1000}, "max_file_bytes"));
  EXPECT_TRUE(refused({.keep = 100'000}, "keep"));
  EXPECT_TRUE(refused({.thread_buffer_bytes = 100}, "thread_buffer_bytes"));
  EXPECT_TRUE(refused({.payload_bytes = 1, .thread_buffer_bytes = 1 << 16}, "thread_buffer_bytes"));
  EXPECT_TRUE(refused({.dump_signal = SIGUSR2}, "dump_signal"));
  EXPECT_TRUE(refused({.mode = TraceMode::kFlightRecorder, .flight_records = 0}, "flight_records"));
  EXPECT_TRUE(refused({.mode = TraceMode::kFlightRecorder, .dump_signal = -1}, "dump_signal"));
  EXPECT_TRUE(refused({.mode = TraceMode::kFlightRecorder, .dump_signal = SIGKILL}, "dump_signal"));
  EXPECT_TRUE(refused({.mode = TraceMode::kFlightRecorder, .dump_when_slower = -absl::Seconds(1)}, "dump_when_slower"));
  EXPECT_TRUE(Refused(IoUringManager::Create(Recording({.path = Path("no/such/directory")})).status(),
                      absl::StatusCode::kNotFound, {"no/such/directory"}));
  EXPECT_TRUE(Refused(IoUringManager::Create(Recording({.path = Path("")})).status(), absl::StatusCode::kFailedPrecondition));
  TraceOptions nowhere = {.mode = TraceMode::kStream};
  IoUringManagerOptions options = Options();
  options.trace = nowhere;
  EXPECT_TRUE(Refused(IoUringManager::Create(options).status(), absl::StatusCode::kInvalidArgument, {"path"}));
}

class TraceVariable : public TraceTest {
 protected:
  void TearDown() override {
    unsetenv("AGENTOS_URING_TRACE");
    TraceTest::TearDown();
  }
};

TEST_P(TraceVariable, TurnsItOnForAProgramThatKnowsNothingOfIt) {
  ASSERT_EQ(setenv("AGENTOS_URING_TRACE", Path("by_%p").c_str(), 1), 0);
  MakeManager(Options());
  Run(Entry::Nop(kPid, 42));
  manager_.reset();
  const ReadTrace trace(absl::StrCat(Path("by_"), getpid()));
  EXPECT_EQ(Find(trace, 1).entry().user_data(), 42u);
}

TEST_P(TraceVariable, AnotherManagersTraceIsNotOverwritten) {
  ASSERT_EQ(setenv("AGENTOS_URING_TRACE", path().c_str(), 1), 0);
  for (int i = 0; i < 2; ++i) {
    MakeManager(Options());
    Run(Entry::Nop(kPid, static_cast<uint64_t>(i)));
    manager_.reset();
  }
  EXPECT_EQ(Find(ReadTrace(path()), 1).entry().user_data(), 0u);
  EXPECT_EQ(Find(ReadTrace(path() + "-2"), 1).entry().user_data(), 1u);
}

TEST_P(TraceVariable, WinsOverTheOptionAndLeavesItsPrivacyAlone) {
  ASSERT_EQ(setenv("AGENTOS_URING_TRACE", Path("variable").c_str(), 1), 0);
  MakeManager(Recording({.mode = TraceMode::kFlightRecorder, .redact_paths = true, .dump_signal = SIGUSR2}));
  Run(Entry::ReadFile(kPid, Path("secret"), 42));
  manager_.reset();
  EXPECT_FALSE(std::filesystem::exists(path()));
  EXPECT_TRUE(ReadTrace(Path("variable")).header().paths_redacted());
  EXPECT_EQ(ReadTrace(Path("variable")).submissions(), 1u);
}

TEST_P(TraceVariable, IsNamedWhenItIsWrong) {
  ASSERT_EQ(setenv("AGENTOS_URING_TRACE", Path("no/such/directory").c_str(), 1), 0);
  EXPECT_TRUE(Refused(IoUringManager::Create(Options()).status(), absl::StatusCode::kNotFound,
                      {"AGENTOS_URING_TRACE", "no/such/directory"}));
  ASSERT_EQ(setenv("AGENTOS_URING_TRACE", "", 1), 0);
  EXPECT_TRUE(IoUringManager::Create(Options()).ok()) << "empty is unset";
}

INSTANTIATE_TEST_SUITE_P(Threading, TraceTest, BothThreadings(), ThreadingName);
INSTANTIATE_TEST_SUITE_P(Threading, TraceVariable, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
