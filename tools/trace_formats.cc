#include "agentos/tools/trace_formats.h"

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "agentos/tools/operation_details.h"
#include "agentos/tools/text_encoding.h"
#include "google/protobuf/io/coded_stream.h"

namespace agentos {

namespace {

const char* OutcomeOf(const TracedOperation& operation) {
  if (!operation.ended) return "in flight";
  if (operation.cancelled) return "cancelled";
  return operation.error_number != 0 ? "error" : "success";
}

// One object, member by member.
class JsonObject {
 public:
  explicit JsonObject(absl::string_view type) { Add("type", type); }
  JsonObject() = default;

  void Add(absl::string_view name, absl::string_view text) {
    Name(name);
    AppendJsonString(text, &json_);
  }
  void Add(absl::string_view name, const char* text) { Add(name, absl::string_view(text)); }
  template <typename Number>
  requires std::is_integral_v<Number>
  void Add(absl::string_view name, Number number) {
    Name(name);
    if constexpr (std::is_same_v<Number, bool>) {
      json_ += number ? "true" : "false";
    } else {
      absl::StrAppend(&json_, number);
    }
  }
  void AddRaw(absl::string_view name, absl::string_view json) {
    Name(name);
    absl::StrAppend(&json_, json);
  }
  std::string Finish() && { return std::move(json_) + "}"; }

 private:
  void Name(absl::string_view name) {
    json_ += json_.empty() ? "{" : ",";
    AppendJsonString(name, &json_);
    json_ += ":";
  }

  std::string json_;
};

class JsonLines final : public TraceExporter {
 public:
  explicit JsonLines(google::protobuf::io::ZeroCopyOutputStream* out) : coded_(out) {}

  absl::Status Begin() override { return absl::OkStatus(); }
  absl::Status Add(const TraceItem& item) override {
    coded_.WriteString(std::visit([](const auto& one) { return Json(one).Finish(); }, item) + "\n");
    return coded_.HadError() ? absl::UnavailableError("the output takes no more") : absl::OkStatus();
  }
  void Flush() override { coded_.Trim(); }
  absl::Status End() override {
    coded_.Trim();
    return coded_.HadError() ? absl::UnavailableError("the output takes no more") : absl::OkStatus();
  }

 private:
  static JsonObject Json(const proto::v1::TraceHeader& header) {
    JsonObject json("header");
    json.Add("format", absl::StrCat(header.format_major(), ".", header.format_minor()));
    json.Add("os_pid", header.os_pid());
    json.Add("program", header.program());
    json.Add("kernel", header.kernel());
    json.Add("executor", header.executor());
    json.AddRaw("began", absl::StrFormat("%d.%09d", header.realtime_ns() / 1'000'000'000, header.realtime_ns() % 1'000'000'000));
    return json;
  }
  static JsonObject Json(const TracedOperation& operation) {
    JsonObject json("operation");
    json.Add("time_ns", operation.queued_ns);
    json.Add("pid", operation.entry.pid());
    json.Add("seq", operation.seq);
    json.Add("user_data", operation.entry.user_data());
    json.Add("operation", OperationNameOf(operation.entry));
    JsonObject arguments;
    bool any = false;
    for (const OperationDetail& detail : OperandsOf(operation.entry)) {
      std::visit([&](const auto& value) { arguments.Add(detail.name, value); }, detail.value);
      any = true;
    }
    json.AddRaw("arguments", any ? std::move(arguments).Finish() : "{}");
    json.Add("outcome", OutcomeOf(operation));
    if (operation.ended) json.Add("value", operation.value);
    if (operation.error_number != 0) json.Add("error", ErrnoNameOf(operation.error_number));
    if (operation.waited_ns.has_value()) json.Add("waited_ns", *operation.waited_ns);
    if (operation.took_ns.has_value()) json.Add("took_ns", *operation.took_ns);
    if (!operation.payload.data().empty()) json.Add("data", operation.payload.data());
    if (!operation.peer_address.empty()) json.Add("peer_address", operation.peer_address);
    if (operation.more) json.Add("more", true);
    json.Add("file", operation.file);
    return json;
  }
  static JsonObject Json(const TraceRingEvent& event) {
    JsonObject json(event.created ? "ring created" : "ring destroyed");
    json.Add("time_ns", event.time_ns);
    json.Add("pid", event.pid);
    if (event.created) {
      json.Add("sq_size", event.sq_size);
      json.Add("cq_size", event.cq_size);
    }
    return json;
  }
  static JsonObject Json(const TraceDrop& drop) {
    JsonObject json("dropped");
    json.Add("time_ns", drop.time_ns);
    json.Add("pid", drop.pid);
    json.Add("seq", drop.seq);
    return json;
  }
  static JsonObject Json(const TraceRefusal& refusal) {
    JsonObject json("refused");
    json.Add("time_ns", refusal.time_ns);
    json.Add("pid", refusal.pid);
    json.Add("entries", refusal.entries);
    json.Add("code", absl::StatusCodeToString(static_cast<absl::StatusCode>(refusal.code)));
    return json;
  }
  static JsonObject Json(const TraceLoss& loss) {
    JsonObject json("loss");
    json.Add("time_ns", loss.time_ns);
    json.Add("submissions", loss.submissions);
    json.Add("completions", loss.completions);
    json.Add("others", loss.others);
    return json;
  }
  static JsonObject Json(const TraceDamage& damage) {
    JsonObject json("damage");
    json.Add("path", damage.path);
    json.Add("offset", damage.offset);
    json.Add("bytes", damage.bytes);
    json.Add("what", damage.what);
    return json;
  }
  static JsonObject Json(const TraceUnknown& unknown) {
    JsonObject json("unknown");
    json.Add("text", unknown.text);
    return json;
  }

  google::protobuf::io::CodedOutputStream coded_;
};

class Csv final : public TraceExporter {
 public:
  explicit Csv(google::protobuf::io::ZeroCopyOutputStream* out) : coded_(out) {}

  absl::Status Begin() override {
    coded_.WriteString("time_ns,pid,seq,user_data,operation,target,outcome,value,error,waited_ns,took_ns\r\n");
    return Status();
  }
  absl::Status Add(const TraceItem& item) override {
    const auto* operation = std::get_if<TracedOperation>(&item);
    if (operation == nullptr) return absl::OkStatus();
    std::string line = absl::StrCat(operation->queued_ns, ",", operation->entry.pid(), ",", operation->seq, ",",
                                    operation->entry.user_data(), ",", OperationNameOf(operation->entry), ",");
    absl::StrAppend(&line, Quoted(TargetOf(operation->entry)), ",", OutcomeOf(*operation), ",");
    if (operation->ended) absl::StrAppend(&line, operation->value);
    absl::StrAppend(&line, ",", operation->error_number == 0 ? "" : ErrnoNameOf(operation->error_number), ",");
    if (operation->waited_ns.has_value()) absl::StrAppend(&line, *operation->waited_ns);
    line += ",";
    if (operation->took_ns.has_value()) absl::StrAppend(&line, *operation->took_ns);
    coded_.WriteString(line + "\r\n");
    return Status();
  }
  void Flush() override { coded_.Trim(); }
  absl::Status End() override {
    coded_.Trim();
    return Status();
  }

 private:
  absl::Status Status() { return coded_.HadError() ? absl::UnavailableError("the output takes no more") : absl::OkStatus(); }
  static std::string Quoted(absl::string_view text) {
    if (text.find_first_of(",\"\r\n") == absl::string_view::npos) return std::string(text);
    std::string quoted = "\"";
    for (const char c : text) {
      if (c == '"') quoted += '"';
      quoted += c;
    }
    return quoted + "\"";
  }

  google::protobuf::io::CodedOutputStream coded_;
};

class ProtoRecords final : public TraceExporter {
 public:
  explicit ProtoRecords(google::protobuf::io::ZeroCopyOutputStream* out) : coded_(out) {}

  absl::Status Begin() override { return absl::OkStatus(); }
  absl::Status Add(const TraceItem& item) override {
    proto::v1::TraceRecord record;
    std::visit([&](const auto& one) { Fill(one, record); }, item);
    if (record.record_case() == proto::v1::TraceRecord::RECORD_NOT_SET) return absl::OkStatus();
    coded_.WriteVarint32(static_cast<uint32_t>(record.ByteSizeLong()));
    record.SerializeToCodedStream(&coded_);
    return Status();
  }
  void Flush() override { coded_.Trim(); }
  absl::Status End() override {
    coded_.Trim();
    return Status();
  }

 private:
  absl::Status Status() { return coded_.HadError() ? absl::UnavailableError("the output takes no more") : absl::OkStatus(); }

  static void Fill(const proto::v1::TraceHeader& header, proto::v1::TraceRecord& record) { *record.mutable_header() = header; }
  static void Fill(const TracedOperation& from, proto::v1::TraceRecord& record) {
    if (!from.ended) {
      proto::v1::Queued& queued = *record.mutable_queued();
      queued.set_time(from.queued_ns);
      queued.set_seq(from.seq);
      *queued.mutable_entry() = from.entry;
      if (from.waited_ns.has_value()) queued.set_waited(static_cast<uint64_t>(*from.waited_ns));
      return;
    }
    if (from.more || from.entry.operation_case() == proto::v1::Entry::OPERATION_NOT_SET) {
      const int64_t ended_ns = EndOf(from);
      record.mutable_completed()->set_time(ended_ns);
      record.mutable_completed()->set_since_queued(static_cast<uint64_t>(Since(from.queued_ns, ended_ns)));
      proto::v1::Completion& completion = *record.mutable_completed()->mutable_completion();
      completion.set_pid(from.entry.pid());
      completion.set_seq(from.seq);
      completion.set_user_data(from.entry.user_data());
      completion.set_value(from.value);
      completion.set_error_number(from.error_number);
      completion.set_cancelled(from.cancelled);
      completion.set_more(from.more);
      completion.set_peer_address(from.peer_address);
      if (!from.payload.data().empty()) *completion.mutable_payload() = from.payload;
      return;
    }
    proto::v1::Operation& operation = *record.mutable_operation();
    *operation.mutable_entry() = from.entry;
    operation.set_seq(from.seq);
    operation.set_queued(from.queued_ns);
    operation.set_waited(static_cast<uint64_t>(from.waited_ns.value_or(0)));
    operation.set_took(static_cast<uint64_t>(from.took_ns.value_or(0)));
    operation.set_value(from.value);
    operation.set_error_number(from.error_number);
    operation.set_cancelled(from.cancelled);
    operation.set_peer_address(from.peer_address);
    if (!from.payload.data().empty()) *operation.mutable_payload() = from.payload;
  }
  static void Fill(const TraceRingEvent& event, proto::v1::TraceRecord& record) {
    if (event.created) {
      record.mutable_ring_created()->set_time(event.time_ns);
      record.mutable_ring_created()->set_pid(event.pid);
      record.mutable_ring_created()->set_sq_size(event.sq_size);
      record.mutable_ring_created()->set_cq_size(event.cq_size);
    } else {
      record.mutable_ring_destroyed()->set_time(event.time_ns);
      record.mutable_ring_destroyed()->set_pid(event.pid);
    }
  }
  static void Fill(const TraceDrop& drop, proto::v1::TraceRecord& record) {
    record.mutable_dropped()->set_time(drop.time_ns);
    record.mutable_dropped()->set_pid(drop.pid);
    record.mutable_dropped()->set_seq(drop.seq);
  }
  static void Fill(const TraceRefusal& refusal, proto::v1::TraceRecord& record) {
    record.mutable_refused()->set_time(refusal.time_ns);
    record.mutable_refused()->set_pid(refusal.pid);
    record.mutable_refused()->set_entries(refusal.entries);
    record.mutable_refused()->set_code(refusal.code);
  }
  static void Fill(const TraceLoss& loss, proto::v1::TraceRecord& record) {
    record.mutable_loss()->set_time(loss.time_ns);
    record.mutable_loss()->set_submissions(loss.submissions);
    record.mutable_loss()->set_completions(loss.completions);
    record.mutable_loss()->set_others(loss.others);
  }
  // These are no records.
  static void Fill(const TraceDamage& /*damage*/, proto::v1::TraceRecord& /*record*/) {}
  static void Fill(const TraceUnknown& /*unknown*/, proto::v1::TraceRecord& /*record*/) {}

  google::protobuf::io::CodedOutputStream coded_;
};

}  // namespace

std::unique_ptr<TraceExporter> MakeJsonLines(google::protobuf::io::ZeroCopyOutputStream* out) {
  return std::make_unique<JsonLines>(out);
}
std::unique_ptr<TraceExporter> MakeCsv(google::protobuf::io::ZeroCopyOutputStream* out) { return std::make_unique<Csv>(out); }
std::unique_ptr<TraceExporter> MakeProtoRecords(google::protobuf::io::ZeroCopyOutputStream* out) {
  return std::make_unique<ProtoRecords>(out);
}

}  // namespace agentos
