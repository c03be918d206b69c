#include "agentos/manager/trace_assembler.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "agentos/manager/path_redactor.h"
#include "agentos/manager/trace_event.h"
#include "agentos/manager/trace_sink.h"
#include "agentos/proto/trace.pb.h"
#include "agentos/ring/operation.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Type = TraceEvent::Type;

// Says each record as one line.
class Lines final : public TraceSink {
 public:
  absl::Status Append(Encode encode, const TraceCounts& counts, uint64_t /*now_ns*/) override {
    std::string bytes;
    encode(0, bytes);
    proto::v1::TraceRecord record;
    EXPECT_TRUE(record.ParseFromString(bytes));
    lines.push_back(Say(record));
    sum += counts;
    return fails ? absl::InternalError("disk") : absl::OkStatus();
  }
  absl::Status AppendLoss(const TraceCounts& /*lost*/, uint64_t /*now_ns*/) override { return absl::OkStatus(); }

  std::vector<std::string> Take() { return std::exchange(lines, {}); }

  std::vector<std::string> lines;
  TraceCounts sum;
  bool fails = false;

 private:
  static std::string Say(const proto::v1::TraceRecord& record) {
    switch (record.record_case()) {
      case proto::v1::TraceRecord::kOperation: {
        const auto& op = record.operation();
        return absl::StrCat("operation ", op.entry().pid(), " ", op.seq(), " at ", op.queued(), " waited ", op.waited(), " took ",
                            op.took(), " = ", op.value(), op.payload().data().empty() ? "" : " ", op.payload().data(),
                            op.peer_address().empty() ? "" : " from ", op.peer_address());
      }
      case proto::v1::TraceRecord::kQueued:
        return absl::StrCat("queued ", record.queued().entry().pid(), " ", record.queued().seq(), " at ", record.queued().time(),
                            record.queued().has_waited() ? " started" : "");
      case proto::v1::TraceRecord::kDispatched:
        return absl::StrCat("dispatched ", record.dispatched().pid(), " ", record.dispatched().seq(), " after ",
                            record.dispatched().waited());
      case proto::v1::TraceRecord::kCompleted:
        return absl::StrCat("completed ", record.completed().completion().pid(), " ", record.completed().completion().seq(),
                            " after ", record.completed().since_queued(), " = ", record.completed().completion().value(),
                            record.completed().completion().more() ? " more" : "");
      case proto::v1::TraceRecord::kDropped:
        return absl::StrCat("dropped ", record.dropped().pid(), " ", record.dropped().seq());
      case proto::v1::TraceRecord::kRefused:
        return absl::StrCat("refused ", record.refused().pid(), " ", record.refused().entries());
      case proto::v1::TraceRecord::kRingCreated:
        return absl::StrCat("created ", record.ring_created().pid());
      case proto::v1::TraceRecord::kRingDestroyed:
        return absl::StrCat("destroyed ", record.ring_destroyed().pid());
      default:
        return record.DebugString();
    }
  }
};

class TraceAssemblerTest : public testing::Test {
 protected:
  using Lists = std::vector<std::string>;

  void Add(const TraceEvent& head, const std::string& rest) {
    std::string event(sizeof(head), '\0');
    std::memcpy(event.data(), &head, sizeof(head));
    event += rest;
    assembler_.Add(event.data(), event.size(), 0);
  }
  static std::string EntryOf(Pid pid) {
    proto::v1::Entry entry;
    entry.set_pid(pid);
    entry.mutable_open()->set_path("/secret/name");
    return entry.SerializeAsString();
  }
  void Queue(Pid pid, Seq seq, int64_t at) { Add({.pid = pid, .seq = seq, .time_ns = at, .type = Type::kQueued}, EntryOf(pid)); }
  void Start(Pid pid, Seq seq, int64_t at) { Add({.pid = pid, .seq = seq, .time_ns = at, .type = Type::kStarted}, EntryOf(pid)); }
  void Dispatch(Pid pid, Seq seq, int64_t queued, int64_t waited) {
    Add({.pid = pid, .seq = seq, .time_ns = queued, .type = Type::kDispatched}, Tail({.latency_ns = waited}));
  }
  void End(Pid pid, Seq seq, int64_t queued, int64_t latency, int64_t value, bool more = false, const std::string& data = "",
           const std::string& peer = "") {
    const std::string rest = data + peer;
    Add({.pid = pid,
         .seq = seq,
         .time_ns = queued,
         .type = rest.empty() ? Type::kEnded : Type::kEndedWithData,
         .kind = OperationKind::kOpen,
         .more = more},
        Tail({.value = value, .latency_ns = latency}) + (rest.empty() ? "" : Sizes(data, peer)) + rest);
  }
  static std::string Tail(const EndEvent& tail) { return {reinterpret_cast<const char*>(&tail), sizeof(tail)}; }
  static std::string Sizes(const std::string& data, const std::string& peer) {
    const EndData sizes = {static_cast<uint32_t>(data.size()), static_cast<uint32_t>(peer.size())};
    return {reinterpret_cast<const char*>(&sizes), sizeof(sizes)};
  }

  Lines sink_;
  TraceAssembler assembler_{sink_, nullptr};
};

TEST_F(TraceAssemblerTest, TwoHalvesAreOneRecord) {
  Start(7, 1, 100);
  EXPECT_TRUE(sink_.lines.empty());
  End(7, 1, 100, 25, 5, false, "data", "pid:9");
  EXPECT_EQ(sink_.Take(), Lists({"operation 7 1 at 100 waited 0 took 25 = 5 data from pid:9"}));
  Queue(7, 2, 200);
  Dispatch(7, 2, 200, 10);
  End(7, 2, 200, 30, 0);
  EXPECT_EQ(sink_.Take(), Lists({"operation 7 2 at 200 waited 10 took 20 = 0"}));
  // It was cancelled before its turn came.
  Queue(7, 3, 200);
  End(7, 3, 200, 30, 0);
  EXPECT_EQ(sink_.Take(), Lists({"operation 7 3 at 200 waited 30 took 0 = 0"}));
  assembler_.Finish(0);
  EXPECT_TRUE(sink_.lines.empty());
  EXPECT_EQ(assembler_.recorded(), (TraceCounts{3, 3, 1}));
}

TEST_F(TraceAssemblerTest, TheSecondHalfMayComeFirstByAPass) {
  End(7, 1, 100, 25, 5, false, "data");
  Start(7, 1, 100);
  EXPECT_EQ(sink_.Take(), Lists({"operation 7 1 at 100 waited 0 took 25 = 5 data"})) << "in the same pass";
  End(7, 2, 100, 25, 5, false, "data");
  assembler_.EndPass(0);
  EXPECT_TRUE(sink_.lines.empty());
  Start(7, 2, 100);
  EXPECT_EQ(sink_.Take(), Lists({"operation 7 2 at 100 waited 0 took 25 = 5 data"})) << "in the next one";
}

TEST_F(TraceAssemblerTest, AnEndWithoutABeginningStandsAlone) {
  End(7, 1, 100, 25, 5);
  assembler_.EndPass(0);
  assembler_.EndPass(0);
  EXPECT_EQ(sink_.Take(), Lists({"completed 7 1 after 25 = 5"}));
  EXPECT_EQ(assembler_.recorded(), (TraceCounts{0, 1, 0}));
}

TEST_F(TraceAssemblerTest, WhatIsUnderWayAtAFlushIsSaidByHalves) {
  Start(7, 1, 100);
  Queue(7, 2, 110);
  assembler_.FlushUnderWay(0);
  std::vector<std::string> lines = sink_.Take();
  std::sort(lines.begin(), lines.end());
  EXPECT_EQ(lines, Lists({"queued 7 1 at 100 started", "queued 7 2 at 110"}));
  assembler_.FlushUnderWay(0);
  EXPECT_TRUE(sink_.lines.empty()) << "once is enough";
  Dispatch(7, 2, 110, 10);
  EXPECT_EQ(sink_.Take(), Lists({"dispatched 7 2 after 10"}));
  End(7, 1, 100, 500, 1);
  End(7, 2, 110, 600, 2);
  assembler_.Finish(0);
  lines = sink_.Take();
  std::sort(lines.begin(), lines.end());
  EXPECT_EQ(lines, Lists({"completed 7 1 after 500 = 1", "completed 7 2 after 600 = 2"}));
  EXPECT_EQ(assembler_.recorded(), (TraceCounts{2, 2, 1}));
}

TEST_F(TraceAssemblerTest, OneThatCompletesManyTimesIsSaidEachTime) {
  Start(7, 1, 100);
  End(7, 1, 100, 10, 4, true);
  End(7, 1, 100, 20, 5, true);
  EXPECT_EQ(sink_.Take(),
            Lists({"queued 7 1 at 100 started", "completed 7 1 after 10 = 4 more", "completed 7 1 after 20 = 5 more"}));
  End(7, 1, 100, 30, 0);
  assembler_.Finish(0);
  EXPECT_EQ(sink_.Take(), Lists({"completed 7 1 after 30 = 0"}));
  EXPECT_EQ(assembler_.recorded(), (TraceCounts{1, 1, 2}));
  EXPECT_EQ(sink_.sum, assembler_.recorded());
}

// The end of the old ring's first operation comes after the beginning of the new one's.
TEST_F(TraceAssemblerTest, APidsNextRingIsNotMistakenForItsLast) {
  Start(7, 1, 100);
  Add({.pid = 7, .time_ns = 150, .type = Type::kRingDestroyed}, "");
  Start(7, 1, 200);
  End(7, 1, 100, 25, 5);
  End(7, 1, 200, 30, 6);
  EXPECT_EQ(sink_.Take(), Lists({"operation 7 1 at 100 waited 0 took 25 = 5", "operation 7 1 at 200 waited 0 took 30 = 6"}));
}

TEST_F(TraceAssemblerTest, ARingHasGoneOnlyAfterAllOfItsOperations) {
  Add({.pid = 7, .time_ns = 150, .type = Type::kRingDestroyed}, "");
  Start(7, 1, 100);
  assembler_.EndPass(0);
  EXPECT_TRUE(sink_.lines.empty());
  End(7, 1, 100, 25, 5);
  Start(7, 2, 100);
  assembler_.EndPass(0);
  EXPECT_EQ(sink_.Take(), Lists({"operation 7 1 at 100 waited 0 took 25 = 5", "queued 7 2 at 100 started", "destroyed 7"}));
  Add({.pid = 7, .time_ns = 150, .type = Type::kRingDestroyed}, "");
  assembler_.Finish(0);
  EXPECT_EQ(sink_.Take(), Lists({"destroyed 7"}));
}

TEST_F(TraceAssemblerTest, EverythingElseIsPassedOn) {
  const uint64_t sizes[] = {256, 512};
  Add({.pid = 7, .time_ns = 10, .type = Type::kRingCreated}, {reinterpret_cast<const char*>(sizes), sizeof(sizes)});
  Add({.pid = 7, .time_ns = 10, .type = Type::kRefused}, {reinterpret_cast<const char*>(sizes), sizeof(sizes[0])});
  Add({.pid = 7, .seq = 3, .time_ns = 10, .type = Type::kDropped}, "");
  EXPECT_EQ(sink_.Take(), Lists({"created 7", "refused 7 256", "dropped 7 3"}));
}

TEST_F(TraceAssemblerTest, SaysWhatWasSlowestAndWhatWentWrong) {
  EXPECT_EQ(assembler_.TakeSlowest(), 0);
  Start(7, 1, 100);
  End(7, 1, 100, 25, 5);
  End(7, 2, 100, 20, 5);
  EXPECT_EQ(assembler_.TakeSlowest(), 25);
  EXPECT_EQ(assembler_.TakeSlowest(), 0);
  EXPECT_TRUE(assembler_.TakeError().ok());
  sink_.fails = true;
  Start(7, 3, 100);
  End(7, 3, 100, 25, 5);
  EXPECT_EQ(assembler_.TakeError().message(), "disk");
  EXPECT_TRUE(assembler_.TakeError().ok());
}

TEST_F(TraceAssemblerTest, RedactsPathsAndAddresses) {
  PathRedactor redactor;
  std::string bytes;
  class Keep final : public TraceSink {
   public:
    explicit Keep(std::string& all) : all_(all) {}
    absl::Status Append(Encode encode, const TraceCounts& /*counts*/, uint64_t /*now_ns*/) override {
      std::string record;
      encode(0, record);
      all_ += record;
      return absl::OkStatus();
    }
    absl::Status AppendLoss(const TraceCounts& /*lost*/, uint64_t /*now_ns*/) override { return absl::OkStatus(); }

   private:
    std::string& all_;
  } keep(bytes);
  TraceAssembler assembler(keep, &redactor);
  const auto add = [&](const TraceEvent& head, const std::string& rest) {
    const std::string event = std::string(reinterpret_cast<const char*>(&head), sizeof(head)) + rest;
    assembler.Add(event.data(), event.size(), 0);
  };
  const std::string peer = "unix:/secret/socket";
  const std::string tail = Tail({}) + Sizes("", peer) + peer;
  add({.pid = 7, .seq = 1, .time_ns = 1, .type = Type::kStarted}, EntryOf(7));
  add({.pid = 7, .seq = 1, .time_ns = 1, .type = Type::kEndedWithData}, tail);
  add({.pid = 7, .seq = 2, .time_ns = 1, .type = Type::kStarted}, EntryOf(7));
  add({.pid = 7, .seq = 3, .time_ns = 1, .type = Type::kEndedWithData}, tail);
  add({.pid = 7, .seq = 4, .time_ns = 1, .type = Type::kStarted}, "no entry: /secret");
  assembler.Finish(0);
  EXPECT_EQ(bytes.find("secret"), std::string::npos);
  EXPECT_NE(bytes.find("/n1/n3"), std::string::npos);
  EXPECT_NE(bytes.find("unix:/n1/n2"), std::string::npos);
}

}  // namespace
}  // namespace agentos
