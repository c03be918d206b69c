#include "agentos/tools/trace_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agentos/manager/trace_block.h"
#include "agentos/manager/trace_file_writer.h"
#include "agentos/proto/trace.pb.h"
#include "agentos/testing/test_support.h"
#include "agentos/tools/trace_item.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using proto::v1::TraceRecord;
using Lines = std::vector<std::string>;

std::string Header(int os_pid = 100, uint64_t realtime_ns = 5'000'000, uint32_t major = 1, uint32_t minor = 0) {
  TraceRecord record;
  record.mutable_header()->set_format_major(major);
  record.mutable_header()->set_format_minor(minor);
  record.mutable_header()->set_os_pid(os_pid);
  record.mutable_header()->set_monotonic_ns(1'000'000);
  record.mutable_header()->set_realtime_ns(realtime_ns);
  return record.SerializeAsString();
}

proto::v1::Entry EntryOf(uint32_t pid, int fd) {
  proto::v1::Entry entry;
  entry.set_pid(pid);
  entry.mutable_close()->set_fd(fd);
  return entry;
}

TraceRecord Operation(uint32_t pid, uint64_t seq, int64_t queued, uint64_t waited, uint64_t took, int64_t value) {
  TraceRecord record;
  proto::v1::Operation& operation = *record.mutable_operation();
  *operation.mutable_entry() = EntryOf(pid, 3);
  operation.set_seq(seq);
  operation.set_queued(queued);
  operation.set_waited(waited);
  operation.set_took(took);
  operation.set_value(value);
  return record;
}

TraceRecord Queued(uint32_t pid, uint64_t seq, int64_t time, bool started = true) {
  TraceRecord record;
  *record.mutable_queued()->mutable_entry() = EntryOf(pid, 3);
  record.mutable_queued()->set_seq(seq);
  record.mutable_queued()->set_time(time);
  if (started) record.mutable_queued()->set_waited(0);
  return record;
}

TraceRecord Completed(uint32_t pid, uint64_t seq, int64_t time, uint64_t since, int64_t value, bool more = false) {
  TraceRecord record;
  proto::v1::Completion& completion = *record.mutable_completed()->mutable_completion();
  completion.set_pid(pid);
  completion.set_seq(seq);
  completion.set_value(value);
  completion.set_more(more);
  record.mutable_completed()->set_time(time);
  record.mutable_completed()->set_since_queued(since);
  return record;
}

TraceRecord Destroyed(uint32_t pid, int64_t time) {
  TraceRecord record;
  record.mutable_ring_destroyed()->set_pid(pid);
  record.mutable_ring_destroyed()->set_time(time);
  return record;
}

std::string Say(const TraceItem& item) {
  struct Sayer {
    std::string operator()(const TracedOperation& o) const {
      const bool known = o.entry.operation_case() == proto::v1::Entry::kClose;
      return absl::StrCat(known ? "" : "unknown ", o.entry.pid(), " ", o.seq, " at ", o.queued_ns,
                          o.waited_ns.has_value() ? absl::StrCat(" waited ", *o.waited_ns) : "",
                          o.took_ns.has_value() ? absl::StrCat(" took ", *o.took_ns) : "",
                          o.ended ? absl::StrCat(" = ", o.value) : " never ended", o.more ? " more" : "");
    }
    std::string operator()(const TraceRingEvent& e) const { return absl::StrCat(e.created ? "created " : "destroyed ", e.pid); }
    std::string operator()(const TraceDrop& d) const { return absl::StrCat("dropped ", d.pid, " ", d.seq); }
    std::string operator()(const TraceRefusal& r) const { return absl::StrCat("refused ", r.entries, " of ", r.pid); }
    std::string operator()(const TraceLoss& l) const { return absl::StrCat("lost ", l.submissions, " ", l.completions); }
    std::string operator()(const proto::v1::TraceHeader& h) const { return absl::StrCat("header ", h.os_pid()); }
    std::string operator()(const TraceDamage& d) const { return absl::StrCat("damage at ", d.offset, ": ", d.what); }
    std::string operator()(const TraceUnknown& u) const { return absl::StrCat("unknown: ", u.text); }
  };
  return std::visit(Sayer(), item);
}

class TraceStreamTest : public testing::Test {
 protected:
  std::string Path(const std::string& name = "trace") const { return dir_.Path(name); }

  void Write(const std::vector<TraceRecord>& records, const std::string& name = "trace", const std::string& header = Header()) {
    auto writer = TraceFileWriter::Create({.path = Path(name)}, header, /*now_ns=*/0);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (const TraceRecord& record : records) Append(**writer, record);
  }
  static void Append(TraceFileWriter& writer, const TraceRecord& record) {
    const auto encode = [&](uint64_t /*base_ns*/, std::string& to) { to = record.SerializeAsString(); };
    ASSERT_TRUE(writer.Append(encode, {}, 0).ok());
  }
  // All that a stream of these files says.
  static Lines Read(const std::vector<std::string>& paths) {
    auto stream = TraceStream::Open(paths);
    EXPECT_TRUE(stream.ok()) << stream.status();
    Lines lines;
    if (!stream.ok()) return lines;
    for (TraceItem item;;) {
      const absl::StatusOr<bool> next = (*stream)->Next(item);
      EXPECT_TRUE(next.ok()) << next.status();
      if (!next.value_or(false)) return lines;
      lines.push_back(Say(item));
    }
  }

  TempDir dir_;
};

TEST_F(TraceStreamTest, GivesWholeOperationsAsTheyAre) {
  Write({Operation(7, 1, 100, 5, 20, 42), Operation(7, 2, 90, 0, 1, -1)});
  EXPECT_EQ(Read({Path()}), Lines({"header 100", "7 1 at 100 waited 5 took 20 = 42", "7 2 at 90 waited 0 took 1 = -1"}));
}

TEST_F(TraceStreamTest, BringsHalvesTogether) {
  TraceRecord dispatched;
  dispatched.mutable_dispatched()->set_pid(7);
  dispatched.mutable_dispatched()->set_seq(2);
  dispatched.mutable_dispatched()->set_time(150);
  dispatched.mutable_dispatched()->set_waited(40);
  Write({Queued(7, 1, 100), Queued(7, 2, 110, false), dispatched, Completed(7, 2, 200, 90, 2), Completed(7, 1, 300, 200, 1)});
  EXPECT_EQ(Read({Path()}), Lines({"header 100", "7 2 at 110 waited 40 took 50 = 2", "7 1 at 100 waited 0 took 200 = 1"}));
}

TEST_F(TraceStreamTest, WhatHasNoEndComesLastAndWhatHasNoBeginningWhereItEnds) {
  Write({Queued(7, 1, 100), Completed(8, 9, 300, 50, 1), Queued(7, 2, 90, false), Operation(7, 3, 400, 0, 1, 0)});
  EXPECT_EQ(Read({Path()}), Lines({"header 100", "unknown 8 9 at 250 took 50 = 1", "7 3 at 400 waited 0 took 1 = 0",
                                   "7 2 at 90 never ended", "7 1 at 100 waited 0 never ended"}));
}

TEST_F(TraceStreamTest, OneThatCompletesManyTimesComesEachTime) {
  Write(
      {Queued(7, 1, 100), Completed(7, 1, 200, 100, 1, true), Completed(7, 1, 300, 200, 2, true), Completed(7, 1, 400, 300, 0)});
  EXPECT_EQ(Read({Path()}), Lines({"header 100", "7 1 at 100 waited 0 took 100 = 1 more", "7 1 at 100 waited 0 took 200 = 2 more",
                                   "7 1 at 100 waited 0 took 300 = 0"}));
}

TEST_F(TraceStreamTest, ARingsNextLifeIsNotMistakenForItsLast) {
  Write({Queued(7, 1, 100), Destroyed(7, 150), Queued(7, 1, 200), Completed(7, 1, 250, 50, 2)});
  EXPECT_EQ(Read({Path()}),
            Lines({"header 100", "7 1 at 100 waited 0 never ended", "destroyed 7", "7 1 at 200 waited 0 took 50 = 2"}));
}

TEST_F(TraceStreamTest, EverythingElseIsSaid) {
  std::vector<TraceRecord> records(4);
  records[0].mutable_ring_created()->set_pid(7);
  records[1].mutable_dropped()->set_seq(3);
  records[2].mutable_refused()->set_entries(5);
  records[3].mutable_loss()->set_submissions(6);
  Write(records);
  EXPECT_EQ(Read({Path()}), Lines({"header 100", "created 7", "dropped 0 3", "refused 5 of 0", "lost 6 0"}));
}

// 2,000 operations of 40 bytes and more fill several blocks.
TEST_F(TraceStreamTest, TheFilesOfOneRecordingAreReadInTheirOrder) {
  auto writer = TraceFileWriter::Create({.path = Path(), .max_file_bytes = 2 * kTraceBlockSize, .keep = 3}, Header(), 0);
  ASSERT_TRUE(writer.ok());
  constexpr uint64_t kOperations = 30'000;
  for (uint64_t i = 1; i <= kOperations; ++i) Append(**writer, Operation(7, i, static_cast<int64_t>(i), 0, 1, 0));
  writer->reset();
  std::vector<std::string> paths = {Path()};
  for (int age = 1; std::filesystem::exists(absl::StrCat(Path(), ".", age)); ++age)
    paths.push_back(absl::StrCat(Path(), ".", age));
  ASSERT_GT(paths.size(), 2u);
  const Lines lines = Read(paths);
  size_t operations = 0;
  uint64_t last = 0;
  for (const std::string& line : lines) {
    if (line == "header 100") continue;
    ASSERT_EQ(line.substr(0, 2), "7 ") << line;
    const uint64_t seq = std::stoull(line.substr(2));
    EXPECT_TRUE(operations == 0 || seq == last + 1) << line;
    last = seq;
    ++operations;
  }
  EXPECT_GT(operations, 10'000u);
  EXPECT_EQ(last, kOperations) << "the youngest came last";
  // Without the one in the middle something is missing, and said to be.
  paths.erase(paths.begin() + 1);
  const Lines torn = Read(paths);
  EXPECT_EQ(std::count_if(torn.begin(), torn.end(), [](const std::string& line) { return line.substr(0, 6) == "damage"; }), 1);
}

TEST_F(TraceStreamTest, SeveralRecordingsAreMergedByTheirClocks) {
  // The second one's monotonic clock began 100 ns later.
  Write({Operation(7, 1, 1000, 0, 1, 0), Operation(7, 2, 3000, 0, 1, 0)}, "a", Header(100, 5'000'000));
  Write({Operation(8, 1, 1950, 0, 1, 0), Operation(8, 2, 2850, 0, 1, 0)}, "b", Header(200, 5'000'100));
  Lines lines = Read({Path("a"), Path("b")});
  lines.erase(std::remove_if(lines.begin(), lines.end(), [](const std::string& line) { return line[0] == 'h'; }), lines.end());
  EXPECT_EQ(lines, Lines({"7 1 at 1000 waited 0 took 1 = 0", "8 1 at 1950 waited 0 took 1 = 0", "8 2 at 2850 waited 0 took 1 = 0",
                          "7 2 at 3000 waited 0 took 1 = 0"}));
}

TEST_F(TraceStreamTest, ClocksThatLieFarApartDoNotOverflow) {
  Write({Operation(7, 1, 300, 0, 1, 1)}, "a", Header(1, uint64_t{INT64_MAX} + 1'000'000));
  Write({Operation(8, 1, 100, 0, 1, 2)}, "b", Header(2, (uint64_t{1} << 63) + 1'000'000));
  EXPECT_EQ(Read({Path("a"), Path("b")}).size(), 4u);
}

TEST_F(TraceStreamTest, ANewerFormatIsRefusedOrShown) {
  Write({Operation(7, 1, 100, 5, 20, 42)}, "newer", Header(100, 5'000'000, 2));
  auto stream = TraceStream::Open({Path("newer")});
  ASSERT_TRUE(stream.ok());
  TraceItem item;
  EXPECT_TRUE(Refused((*stream)->Next(item).status(), absl::StatusCode::kFailedPrecondition, {"format 2.0", Path("newer")}));
  TraceRecord record = Operation(7, 1, 100, 5, 20, 42);
  record.mutable_operation()->GetReflection()->MutableUnknownFields(record.mutable_operation())->AddVarint(99, 4711);
  TraceRecord unknown;
  unknown.GetReflection()->MutableUnknownFields(&unknown)->AddVarint(98, 4712);
  Write({record, unknown}, "minor", Header(100, 5'000'000, 1, 7));
  const Lines lines = Read({Path("minor")});
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_NE(lines[1].find("4711"), std::string::npos) << lines[1];
  EXPECT_EQ(lines[2], "7 1 at 100 waited 5 took 20 = 42");
  EXPECT_NE(lines[3].find("4712"), std::string::npos) << lines[3];
}

TEST_F(TraceStreamTest, WhatIsNoTraceIsRefusedByName) {
  const auto refused = [&](const std::string& path, absl::StatusCode code, const std::string& why) {
    return Refused(TraceStream::Open({path}).status(), code, {path, why});
  };
  EXPECT_TRUE(refused(Path("none"), absl::StatusCode::kNotFound, ""));
  EXPECT_TRUE(refused(Path(""), absl::StatusCode::kInvalidArgument, "directory"));
  Spill(Path("empty"), "");
  EXPECT_TRUE(refused(Path("empty"), absl::StatusCode::kInvalidArgument, "is empty"));
  Spill(Path("text"), std::string(200'000, 'x'));
  EXPECT_TRUE(refused(Path("text"), absl::StatusCode::kInvalidArgument, "no trace file"));
  EXPECT_TRUE(Refused(TraceStream::Open({}).status(), absl::StatusCode::kInvalidArgument));
}

TEST_F(TraceStreamTest, MemoryIsBounded) {
  std::vector<TraceRecord> records;
  for (uint64_t i = 1; i <= 100; ++i) records.push_back(Queued(7, i, static_cast<int64_t>(i)));
  records.push_back(Completed(7, 100, 200, 100, 1));
  Write(records);
  auto blocks = TraceBlocks::Open(Path());
  ASSERT_TRUE(blocks.ok());
  std::vector<TraceRecording::File> files;
  files.push_back({*std::move(blocks), 0});
  TraceRecording recording(std::move(files), /*most_pending=*/10);
  recording.Finish();
  Lines lines;
  for (TraceItem item; recording.Next(item).value_or(false);) lines.push_back(Say(item));
  ASSERT_EQ(lines.size(), 101u);
  EXPECT_EQ(lines[1], "7 1 at 1 waited 0 never ended") << "the oldest were given up";
  EXPECT_EQ(std::count(lines.begin(), lines.end(), "7 100 at 100 waited 0 took 100 = 1"), 1);
}

// Whatever was done to a file: what is said of operations is what was recorded, and what is missing lies in one block.
class DamagedTrace : public TraceStreamTest {
 protected:
  void SetUp() override {
    auto writer = TraceFileWriter::Create({.path = Path("whole")}, Header(), 0);
    ASSERT_TRUE(writer.ok());
    for (uint64_t i = 1; i <= kOperations; ++i) Append(**writer, Operation(7, i, static_cast<int64_t>(i), 0, 1, 0));
    writer->reset();
    whole_ = Slurp(Path("whole"));
    for (const std::string& line : Read({Path("whole")})) all_.insert(line);
  }
  // How many operations the file still gives.
  size_t Check(const std::string& bytes) {
    Spill(Path("damaged"), bytes);
    auto stream = TraceStream::Open({Path("damaged")});
    if (!stream.ok()) return 0;
    size_t operations = 0;
    for (TraceItem item; (*stream)->Next(item).value_or(false);) {
      if (!std::holds_alternative<TracedOperation>(item)) continue;
      ++operations;
      EXPECT_TRUE(all_.contains(Say(item))) << "never recorded: " << Say(item);
    }
    return operations;
  }

  static constexpr uint64_t kOperations = 8000;
  std::string whole_;
  std::set<std::string> all_;
};

TEST_F(DamagedTrace, ACutLosesOneBlockAtMost) {
  ASSERT_GT(whole_.size(), 2 * kTraceBlockSize);
  size_t before = 0;
  for (size_t size = 0; size <= whole_.size(); size += size % kTraceBlockSize < 60 || size + 60 > whole_.size() ? 1 : 997) {
    const size_t now = Check(whole_.substr(0, size));
    EXPECT_GE(now, before);
    before = now;
  }
  EXPECT_EQ(Check(whole_), kOperations);
}

TEST_F(DamagedTrace, AFlippedBitLosesOneBlockAtMost) {
  const size_t per_block = kOperations / (whole_.size() / kTraceBlockSize);
  for (size_t byte = 0; byte < whole_.size(); byte += byte % kTraceBlockSize < 44 ? 1 : 19'997) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = whole_;
      bytes[byte] = static_cast<char>(bytes[byte] ^ (1 << bit));
      EXPECT_GE(Check(bytes) + per_block, kOperations) << byte << " " << bit;
    }
  }
}

// Every byte and every bit of a file of one small block.
TEST_F(DamagedTrace, OfASmallFileEveryByteAndEveryBit) {
  Write({Operation(7, 1, 1, 0, 1, 0), Operation(7, 2, 2, 0, 1, 0)}, "small");
  const std::string small = Slurp(Path("small"));
  ASSERT_LT(small.size(), 200u);
  for (size_t size = 0; size < small.size(); ++size) EXPECT_EQ(Check(small.substr(0, size)), 0u);
  for (size_t bit = 0; bit < 8 * small.size(); ++bit) {
    std::string bytes = small;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    EXPECT_EQ(Check(bytes), 0u);
  }
  EXPECT_EQ(Check(small), 2u);
}

TEST_F(TraceStreamTest, FollowsAFileThatGrowsAndIsSucceeded) {
  auto writer = TraceFileWriter::Create({.path = Path(), .max_file_bytes = 2 * kTraceBlockSize, .keep = 1}, Header(), 0);
  ASSERT_TRUE(writer.ok());
  uint64_t written = 0;
  uint64_t wanted = 0;
  bool end = false;
  // Asked when all that is there has been read.
  const auto grow = [&] {
    if (written >= 8000) return end = true;
    for (wanted = written + 500; written < wanted; ++written) {
      Append(**writer, Operation(7, written + 1, static_cast<int64_t>(written), 0, 1, 0));
    }
    EXPECT_TRUE((*writer)->Flush().ok());
    return false;
  };
  auto stream = TraceStream::Open({Path()}, {.follow_until = grow});
  ASSERT_TRUE(stream.ok()) << stream.status();
  uint64_t next = 1;
  for (TraceItem item; (*stream)->Next(item).value_or(false);) {
    if (const auto* operation = std::get_if<TracedOperation>(&item)) {
      ASSERT_EQ(operation->seq, next);
      ++next;
    } else {
      EXPECT_EQ(Say(item), "header 100");
    }
  }
  EXPECT_TRUE(end);
  EXPECT_EQ(next, 8001u);
  EXPECT_TRUE(std::filesystem::exists(Path() + ".1")) << "it was never succeeded";
}

TEST_F(TraceStreamTest, FilesOfOneRecordingHaveOneNumber) {
  Write({Operation(9, 1, 1, 0, 1, 0)}, "other", Header(200));
  auto writer = TraceFileWriter::Create({.path = Path(), .max_file_bytes = 2 * kTraceBlockSize, .keep = 3}, Header(), 0);
  ASSERT_TRUE(writer.ok());
  for (uint64_t i = 1; i <= 20'000; ++i) Append(**writer, Operation(7, i, static_cast<int64_t>(i), 0, 1, 0));
  writer->reset();
  auto stream = TraceStream::Open({Path("other"), Path(), Path() + ".1"});
  ASSERT_TRUE(stream.ok()) << stream.status();
  std::set<std::pair<uint32_t, size_t>> seen;
  for (TraceItem item; (*stream)->Next(item).value_or(false);) {
    if (const auto* operation = std::get_if<TracedOperation>(&item)) seen.emplace(operation->entry.pid(), operation->file);
  }
  EXPECT_EQ(seen, (std::set<std::pair<uint32_t, size_t>>{{7, 1}, {9, 0}}));
}

}  // namespace
}  // namespace agentos
