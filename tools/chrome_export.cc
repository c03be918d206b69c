#include "agentos/tools/chrome_export.h"

#include <cstdint>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "agentos/tools/text_encoding.h"
#include "agentos/tools/timeline_exporter.h"

namespace agentos {

namespace {

// Readers that keep numbers as doubles round integers beyond it.
constexpr int64_t kMaxExactInteger = int64_t{1} << 53;

void AppendValue(const OperationDetail& detail, std::string* out) {
  std::visit(
      [&](const auto& value) {
        using Value = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<Value, bool>) {
          absl::StrAppend(out, value ? "true" : "false");
        } else if constexpr (std::is_same_v<Value, std::string>) {
          AppendJsonString(value, out);
        } else if (value > Value{kMaxExactInteger} || (std::is_signed_v<Value> && value < Value{0} - Value{kMaxExactInteger})) {
          absl::StrAppend(out, "\"", value, "\"");
        } else {
          absl::StrAppend(out, value);
        }
      },
      detail.value);
}

class ChromeExporter : public TimelineExporter {
 public:
  explicit ChromeExporter(google::protobuf::io::ZeroCopyOutputStream* out) : TimelineExporter(out) {}

 private:
  void WriteBegin() override { out().WriteString("{\"displayTimeUnit\":\"ns\",\"traceEvents\":["); }

  void WriteHeader(const proto::v1::TraceHeader& header) override {
    // Kept for the end, where it does not stand between the events.
    if (recordings_.size() >= kMaxRecordings) return;
    recordings_.push_back(header);
    recordings_.back().clear_descriptor_set();
  }

  void WriteProcess(int32_t process, absl::string_view name) override {
    StartMetadata("process_name", process, 0);
    absl::StrAppend(&event_, ",\"args\":{\"name\":");
    AppendJsonString(name, &event_);
    event_ += "}}";
    Finish();
    StartMetadata("process_sort_index", process, 0);
    absl::StrAppend(&event_, ",\"args\":{\"sort_index\":", process, "}}");
    Finish();
  }

  void WriteLane(const Place& place, absl::string_view name) override {
    StartMetadata("thread_name", place.process, place.lane);
    absl::StrAppend(&event_, ",\"args\":{\"name\":");
    AppendJsonString(place.lane == 0 ? std::string(name) : absl::StrCat(name, " ", place.lane), &event_);
    event_ += "}}";
    Finish();
    StartMetadata("thread_sort_index", place.process, place.lane);
    absl::StrAppend(&event_, ",\"args\":{\"sort_index\":", place.lane, "}}");
    Finish();
  }

  void WriteSlice(const Slice& slice) override {
    StartSlice(slice.name, "operation", slice.place, slice.queued_ns, slice.ended_ns);
    if (slice.failed) event_ += ",\"cname\":\"terrible\"";
    AppendDetails(slice.details);
    event_ += "}";
    Finish();
    if (slice.started_ns.has_value()) {
      WritePart("queued", slice.place, slice.queued_ns, *slice.started_ns);
      WritePart("kernel", slice.place, *slice.started_ns, slice.ended_ns);
    }
    if (slice.link_in == 0) return;
    WriteFlow("s", slice.before, slice.before_ns, slice.link_in);
    const bool has_started = slice.started_ns.has_value() && *slice.started_ns < slice.ended_ns;
    WriteFlow("f", slice.place, has_started ? *slice.started_ns : slice.queued_ns, slice.link_in);
  }

  void WriteMark(const Mark& mark) override {
    Start(mark.name, "event", "i", mark.place.value_or(Place{}), mark.time_ns);
    absl::StrAppend(&event_, ",\"s\":\"", mark.place.has_value() ? "t" : "g", "\"");
    if (mark.failed) event_ += ",\"cname\":\"terrible\"";
    AppendDetails(mark.details);
    event_ += "}";
    Finish();
  }

  void WriteDepth(int32_t process, const DepthOverTime::Stretch& stretch) override {
    Start("operations in flight", "depth", "C", {.process = process}, stretch.from_ns);
    absl::StrAppendFormat(&event_, ",\"args\":{\"queued\":%.3f,\"kernel\":%.3f}}", stretch.waiting, stretch.under_way);
    Finish();
  }

  void WriteEnd() override {
    std::string end = absl::StrCat("\n],\"otherData\":{\"zero_monotonic_ns\":\"", first_ns(), "\",\"recordings\":[");
    for (size_t i = 0; i < recordings_.size(); ++i) {
      const proto::v1::TraceHeader& header = recordings_[i];
      absl::StrAppend(&end, i == 0 ? "\n" : ",\n", "{\"program\":");
      AppendJsonString(header.program(), &end);
      absl::StrAppend(&end, ",\"os_pid\":", header.os_pid(), ",\"monotonic_ns\":\"", header.monotonic_ns(),
                      "\",\"realtime_ns\":\"", header.realtime_ns(), "\",\"kernel\":");
      AppendJsonString(header.kernel(), &end);
      end += ",\"machine\":";
      AppendJsonString(header.machine(), &end);
      end += ",\"executor\":";
      AppendJsonString(header.executor(), &end);
      end += "}";
    }
    end += "]}}\n";
    out().WriteString(end);
  }

  void WritePart(absl::string_view name, const Place& place, int64_t from_ns, int64_t to_ns) {
    if (to_ns <= from_ns) return;
    StartSlice(name, name, place, from_ns, to_ns);
    event_ += "}";
    Finish();
  }

  void WriteFlow(absl::string_view phase, const Place& place, int64_t time_ns, uint64_t link) {
    Start("link", "link", phase, place, time_ns);
    absl::StrAppend(&event_, ",\"id\":", link, phase == "f" ? ",\"bp\":\"e\"}" : "}");
    Finish();
  }

  void StartMetadata(absl::string_view name, int32_t process, size_t lane) {
    event_ = absl::StrCat("{\"name\":\"", name, "\",\"ph\":\"M\",\"pid\":", process, ",\"tid\":", lane);
  }

  void Start(absl::string_view name, absl::string_view category, absl::string_view phase, const Place& place, int64_t time_ns) {
    event_ = "{\"name\":";
    AppendJsonString(name, &event_);
    absl::StrAppend(&event_, ",\"cat\":\"", category, "\",\"ph\":\"", phase, "\",\"pid\":", place.process,
                    ",\"tid\":", place.lane, ",\"ts\":");
    AppendMicroseconds(time_ns, first_ns());
  }

  void StartSlice(absl::string_view name, absl::string_view category, const Place& place, int64_t from_ns, int64_t to_ns) {
    Start(name, category, "X", place, from_ns);
    event_ += ",\"dur\":";
    AppendMicroseconds(to_ns, from_ns);
  }

  // As text, so that no nanosecond is rounded away.
  void AppendMicroseconds(int64_t to_ns, int64_t from_ns) {
    const bool is_negative = to_ns < from_ns;
    const uint64_t distance = is_negative ? static_cast<uint64_t>(from_ns) - static_cast<uint64_t>(to_ns)
                                          : static_cast<uint64_t>(to_ns) - static_cast<uint64_t>(from_ns);
    absl::StrAppendFormat(&event_, "%s%d.%03d", is_negative ? "-" : "", distance / 1000, distance % 1000);
  }

  void AppendDetails(const std::vector<OperationDetail>& details) {
    event_ += ",\"args\":{";
    for (size_t i = 0; i < details.size(); ++i) {
      if (i > 0) event_ += ",";
      AppendJsonString(details[i].name, &event_);
      event_ += ":";
      AppendValue(details[i], &event_);
    }
    event_ += "}";
  }

  void Finish() {
    out().WriteString(is_first_ ? "\n" : ",\n");
    is_first_ = false;
    out().WriteString(event_);
  }

  static constexpr size_t kMaxRecordings = 1000;

  std::string event_;
  bool is_first_ = true;
  std::vector<proto::v1::TraceHeader> recordings_;
};

}  // namespace

std::unique_ptr<TraceExporter> MakeChromeExporter(google::protobuf::io::ZeroCopyOutputStream* out) {
  return std::make_unique<ChromeExporter>(out);
}

}  // namespace agentos
