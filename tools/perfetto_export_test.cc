#include "agentos/tools/perfetto_export.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agentos/tools/perfetto.pb.h"
#include "agentos/tools/sample_items.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using tools::v1::PerfettoEvent;
using tools::v1::PerfettoPacket;
using tools::v1::PerfettoTrace;

struct Slice {
  std::string name;
  uint64_t begin = 0;
  uint64_t end = 0;
  size_t depth = 0;
};

// What a viewer makes of it: slices by track. Everything that the format forbids is a test failure.
std::map<uint64_t, std::vector<Slice>> SlicesOf(const PerfettoTrace& trace) {
  struct Stack {
    std::vector<Slice> open;
    uint64_t time = 0;
  };
  std::set<uint64_t> tracks;
  std::set<uint64_t> counters;
  std::map<uint64_t, Stack> stacks;
  std::map<uint64_t, std::vector<Slice>> slices;
  for (const PerfettoPacket& packet : trace.packet()) {
    EXPECT_NE(packet.trusted_packet_sequence_id(), 0U);
    if (packet.has_track_descriptor()) {
      const auto& track = packet.track_descriptor();
      EXPECT_NE(track.uuid(), 0U);
      EXPECT_TRUE(tracks.insert(track.uuid()).second) << "twice: " << track.ShortDebugString();
      EXPECT_TRUE(!track.has_parent_uuid() || tracks.count(track.parent_uuid()) == 1) << track.ShortDebugString();
      EXPECT_TRUE(!track.has_process() || track.process().pid() > 0) << track.ShortDebugString();
      if (track.has_counter()) counters.insert(track.uuid());
    }
    if (!packet.has_track_event()) continue;
    const PerfettoEvent& event = packet.track_event();
    EXPECT_EQ(packet.timestamp_clock_id(), 3U);
    EXPECT_EQ(tracks.count(event.track_uuid()), 1U) << "a track before its descriptor: " << event.ShortDebugString();
    EXPECT_EQ(counters.count(event.track_uuid()), event.type() == PerfettoEvent::TYPE_COUNTER ? 1U : 0U)
        << event.ShortDebugString();
    Stack& stack = stacks[event.track_uuid()];
    switch (event.type()) {
      case PerfettoEvent::TYPE_SLICE_BEGIN:
        EXPECT_GE(packet.timestamp(), stack.time) << event.ShortDebugString();
        stack.time = packet.timestamp();
        stack.open.push_back({.name = event.name(), .begin = packet.timestamp(), .depth = stack.open.size()});
        break;
      case PerfettoEvent::TYPE_SLICE_END:
        EXPECT_GE(packet.timestamp(), stack.time) << event.ShortDebugString();
        stack.time = packet.timestamp();
        if (stack.open.empty()) {
          ADD_FAILURE() << "an end without a beginning";
          break;
        }
        stack.open.back().end = packet.timestamp();
        slices[event.track_uuid()].push_back(stack.open.back());
        stack.open.pop_back();
        break;
      case PerfettoEvent::TYPE_INSTANT:
        EXPECT_TRUE(event.has_name());
        break;
      case PerfettoEvent::TYPE_COUNTER:
        EXPECT_TRUE(event.has_double_counter_value());
        EXPECT_GE(event.double_counter_value(), 0);
        break;
      default:
        ADD_FAILURE() << event.ShortDebugString();
    }
  }
  for (const auto& [uuid, stack] : stacks)
    EXPECT_TRUE(stack.open.empty()) << "a beginning without an end: " << stack.open.back().name;
  return slices;
}

PerfettoTrace Parsed(const std::string& bytes) {
  PerfettoTrace trace;
  EXPECT_TRUE(trace.ParseFromString(bytes));
  return trace;
}

PerfettoTrace ExportedTrace(const std::vector<TraceItem>& items) { return Parsed(Exported(MakePerfettoExporter, items)); }

TEST(PerfettoExportTest, WritesTheSampleAsTheGoldenFileHasIt) {
  const PerfettoTrace trace = ExportedTrace(SampleItems());
  SlicesOf(trace);
  std::string text;
  google::protobuf::TextFormat::PrintToString(trace, &text);
  EXPECT_TRUE(IsAsInFile(text, "tools/testdata/sample.perfetto.txt"));
}

TEST(PerfettoExportTest, TheTimesAreThoseOfTheTrace) {
  std::vector<TraceItem> items;
  items.emplace_back(SampleOperation("pid: 7 open { path: '/a' }", 1, 1'000, 50, 400));
  items.emplace_back(SampleOperation("pid: 7 close { fd: 3 }", 2, 1'100, 0, 600));
  items.emplace_back(SampleOperation("pid: 7 nop {}", 3, 1'450, 7, 0));
  std::vector<Slice> all;
  std::set<uint64_t> tracks;
  for (const auto& [track, slices] : SlicesOf(ExportedTrace(items))) {
    tracks.insert(track);
    all.insert(all.end(), slices.begin(), slices.end());
  }
  EXPECT_EQ(tracks.size(), 2U) << "two at the same time, the third where the first had been";
  const auto has = [&](const std::string& name, uint64_t begin, uint64_t end, size_t depth) {
    return std::any_of(all.begin(), all.end(), [&](const Slice& slice) {
      return slice.name == name && slice.begin == begin && slice.end == end && slice.depth == depth;
    });
  };
  EXPECT_TRUE(has("Open", 1'000, 1'450, 0));
  EXPECT_TRUE(has("queued", 1'000, 1'050, 1));
  EXPECT_TRUE(has("kernel", 1'050, 1'450, 1));
  EXPECT_TRUE(has("Close", 1'100, 1'700, 0));
  EXPECT_TRUE(has("kernel", 1'100, 1'700, 1));
  EXPECT_TRUE(has("Nop", 1'450, 1'457, 0));
  EXPECT_TRUE(has("queued", 1'450, 1'457, 1));
  EXPECT_EQ(all.size(), 7U);
}

TEST(PerfettoExportTest, ALinkLeadsFromEachOperationToTheNext) {
  std::vector<TraceItem> items;
  items.emplace_back(SampleOperation("pid: 7 nop {} modifiers { link: LINK_ON_SUCCESS }", 1, 1'000, 0, 10));
  items.emplace_back(SampleOperation("pid: 8 nop {}", 2, 1'000, 0, 11));
  items.emplace_back(SampleOperation("pid: 7 nop {} modifiers { link: LINK_ON_END }", 2, 1'000, 0, 20));
  items.emplace_back(SampleOperation("pid: 7 nop {}", 3, 1'000, 0, 30));
  std::vector<uint64_t> out;
  std::vector<uint64_t> in;
  const PerfettoTrace trace = ExportedTrace(items);
  for (const PerfettoPacket& packet : trace.packet()) {
    for (const uint64_t flow : packet.track_event().flow_ids()) out.push_back(flow);
    for (const uint64_t flow : packet.track_event().terminating_flow_ids()) in.push_back(flow);
  }
  ASSERT_EQ(out.size(), 2U);
  EXPECT_NE(out[0], out[1]);
  EXPECT_EQ(in, out);
}

TEST(PerfettoExportTest, WhateverATraceHoldsComesOutWellFormed) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    SlicesOf(ExportedTrace(WildItems(seed, 1000)));
  }
}

TEST(PerfettoExportTest, FilesOfDifferentRecordingsCanBeJoined) {
  std::vector<TraceItem> other = SampleItems();
  std::get<proto::v1::TraceHeader>(other[0]).set_os_pid(4243);
  const std::string one = Exported(MakePerfettoExporter, SampleItems());
  const std::string two = Exported(MakePerfettoExporter, other);
  SlicesOf(Parsed(one + two));
}

TEST(PerfettoExportTest, TheClocksAreToldBeforeTheFirstEvent) {
  const PerfettoTrace trace = ExportedTrace(SampleItems());
  ASSERT_GT(trace.packet_size(), 0);
  const auto& snapshot = trace.packet(0).clock_snapshot();
  EXPECT_EQ(snapshot.primary_trace_clock(), 3);
  ASSERT_EQ(snapshot.clocks_size(), 2);
  EXPECT_EQ(snapshot.clocks(0).clock_id(), 3U);
  EXPECT_EQ(snapshot.clocks(0).timestamp(), 172'800'000'000'000U);
  EXPECT_EQ(snapshot.clocks(1).clock_id(), 1U);
  EXPECT_EQ(snapshot.clocks(1).timestamp(), 1'795'471'200'000'000'000U);
}

}  // namespace
}  // namespace agentos
