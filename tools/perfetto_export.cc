#include "agentos/tools/perfetto_export.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "agentos/tools/perfetto.pb.h"
#include "agentos/tools/timeline_exporter.h"

namespace agentos {

namespace {

using tools::v1::PerfettoEvent;
using tools::v1::PerfettoPacket;

constexpr uint32_t kRealtime = 1;
constexpr uint32_t kMonotonic = 3;
constexpr int32_t kCount = 2;
// Of protobuf's wire types.
constexpr uint32_t kLengthDelimited = 2;

// Spreads numbers over all 64 bits; the finaliser of SplitMix64, which loses none of them.
uint64_t Mix(uint64_t value) {
  value ^= value >> 30U;
  value *= 0xBF58476D1CE4E5B9U;
  value ^= value >> 27U;
  value *= 0x94D049BB133111EBU;
  return value ^ (value >> 31U);
}

enum class Track : uint64_t { kTrace = 1, kProcess, kLane, kQueuedDepth, kKernelDepth, kFlow };

class PerfettoExporter : public TimelineExporter {
 public:
  explicit PerfettoExporter(google::protobuf::io::ZeroCopyOutputStream* out) : TimelineExporter(out) {}

 private:
  void WriteBegin() override {}
  void WriteEnd() override {}

  void WriteHeader(const proto::v1::TraceHeader& header) override {
    if (!has_tracks_)
      recording_ = Mix(header.monotonic_ns() ^ Mix(header.realtime_ns() ^ Mix(static_cast<uint32_t>(header.os_pid()))));
    packet_.Clear();
    auto* snapshot = packet_.mutable_clock_snapshot();
    for (const auto& [clock, time] : {std::pair{kMonotonic, header.monotonic_ns()}, std::pair{kRealtime, header.realtime_ns()}}) {
      auto* reading = snapshot->add_clocks();
      reading->set_clock_id(clock);
      reading->set_timestamp(time);
    }
    snapshot->set_primary_trace_clock(kMonotonic);
    Write();
  }

  void WriteProcess(int32_t process, absl::string_view name) override {
    auto* track = StartTrack(Uuid(Track::kProcess, process));
    track->mutable_process()->set_pid(process);
    track->mutable_process()->set_process_name(std::string(name));
    Write();
    for (const auto& [kind, depth] : {std::pair{Track::kQueuedDepth, "queued"}, std::pair{Track::kKernelDepth, "kernel"}}) {
      track = StartTrack(Uuid(kind, process));
      track->set_parent_uuid(Uuid(Track::kProcess, process));
      track->set_name(depth);
      track->mutable_counter()->set_unit(kCount);
      Write();
    }
  }

  void WriteLane(const Place& place, absl::string_view name) override {
    auto* track = StartTrack(UuidOf(place));
    track->set_parent_uuid(Uuid(Track::kProcess, place.process));
    track->set_name(std::string(name));
    Write();
  }

  void WriteSlice(const Slice& slice) override {
    const uint64_t track = UuidOf(slice.place);
    PerfettoEvent* event = StartEvent(PerfettoEvent::TYPE_SLICE_BEGIN, track, slice.queued_ns);
    event->set_name(slice.name);
    event->add_categories(slice.failed ? "failed" : "operation");
    AddDetails(slice.details, event);
    if (slice.link_out != 0) event->add_flow_ids(Uuid(Track::kFlow, slice.link_out));
    if (slice.link_in != 0) event->add_terminating_flow_ids(Uuid(Track::kFlow, slice.link_in));
    Write();
    if (slice.started_ns.has_value()) {
      WritePart("queued", track, slice.queued_ns, *slice.started_ns);
      WritePart("kernel", track, *slice.started_ns, slice.ended_ns);
    }
    StartEvent(PerfettoEvent::TYPE_SLICE_END, track, slice.ended_ns);
    Write();
  }

  void WriteMark(const Mark& mark) override {
    const uint64_t track = mark.place.has_value() ? UuidOf(*mark.place) : Uuid(Track::kTrace, 0);
    if (!mark.place.has_value() && !has_trace_track_) {
      has_trace_track_ = true;
      StartTrack(track)->set_name("trace");
      Write();
    }
    PerfettoEvent* event = StartEvent(PerfettoEvent::TYPE_INSTANT, track, mark.time_ns);
    event->set_name(mark.name);
    event->add_categories(mark.failed ? "failed" : "event");
    AddDetails(mark.details, event);
    Write();
  }

  void WriteDepth(int32_t process, const DepthOverTime::Stretch& stretch) override {
    StartEvent(PerfettoEvent::TYPE_COUNTER, Uuid(Track::kQueuedDepth, process), stretch.from_ns)
        ->set_double_counter_value(stretch.waiting);
    Write();
    StartEvent(PerfettoEvent::TYPE_COUNTER, Uuid(Track::kKernelDepth, process), stretch.from_ns)
        ->set_double_counter_value(stretch.under_way);
    Write();
  }

  void WritePart(absl::string_view name, uint64_t track, int64_t from_ns, int64_t to_ns) {
    if (to_ns <= from_ns) return;
    PerfettoEvent* event = StartEvent(PerfettoEvent::TYPE_SLICE_BEGIN, track, from_ns);
    event->set_name(std::string(name));
    event->add_categories(std::string(name));
    Write();
    StartEvent(PerfettoEvent::TYPE_SLICE_END, track, to_ns);
    Write();
  }

  tools::v1::PerfettoTrack* StartTrack(uint64_t uuid) {
    has_tracks_ = true;
    packet_.Clear();
    packet_.mutable_track_descriptor()->set_uuid(uuid);
    return packet_.mutable_track_descriptor();
  }

  PerfettoEvent* StartEvent(PerfettoEvent::Type type, uint64_t track, int64_t time_ns) {
    packet_.Clear();
    // The format has no times before the machine's start.
    packet_.set_timestamp(static_cast<uint64_t>(std::max<int64_t>(time_ns, 0)));
    packet_.set_timestamp_clock_id(kMonotonic);
    packet_.mutable_track_event()->set_type(type);
    packet_.mutable_track_event()->set_track_uuid(track);
    return packet_.mutable_track_event();
  }

  static void AddDetails(const std::vector<OperationDetail>& details, PerfettoEvent* event) {
    for (const OperationDetail& detail : details) {
      auto* annotation = event->add_debug_annotations();
      annotation->set_name(detail.name);
      if (const auto* flag = std::get_if<bool>(&detail.value)) annotation->set_bool_value(*flag);
      if (const auto* number = std::get_if<int64_t>(&detail.value)) annotation->set_int_value(*number);
      if (const auto* number = std::get_if<uint64_t>(&detail.value)) annotation->set_uint_value(*number);
      if (const auto* text = std::get_if<std::string>(&detail.value)) annotation->set_string_value(*text);
    }
  }

  // Different for every thing of every recording.
  uint64_t Uuid(Track track, uint64_t number, uint64_t lane = 0) const {
    return Mix(recording_ ^ Mix(static_cast<uint64_t>(track) ^ Mix(number ^ Mix(lane + 1)))) | 1U;
  }
  uint64_t UuidOf(const Place& place) const { return Uuid(Track::kLane, static_cast<uint64_t>(place.process), place.lane); }

  // As field 1 of a PerfettoTrace. 0 is not a sequence.
  void Write() {
    packet_.set_trusted_packet_sequence_id(static_cast<uint32_t>(recording_) | 1U);
    out().WriteTag((tools::v1::PerfettoTrace::kPacketFieldNumber << 3U) | kLengthDelimited);
    out().WriteVarint32(static_cast<uint32_t>(packet_.ByteSizeLong()));
    packet_.SerializeWithCachedSizes(&out());
  }

  PerfettoPacket packet_;
  // From then on the numbers of tracks cannot be made from another recording.
  bool has_tracks_ = false;
  uint64_t recording_ = 0;
  bool has_trace_track_ = false;
};

}  // namespace

std::unique_ptr<TraceExporter> MakePerfettoExporter(google::protobuf::io::ZeroCopyOutputStream* out) {
  return std::make_unique<PerfettoExporter>(out);
}

}  // namespace agentos
