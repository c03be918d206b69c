#include "agentos/tools/html_report.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "agentos/tools/text_encoding.h"
#include "agentos/tools/trace_digest.h"
#include "google/protobuf/io/coded_stream.h"

namespace agentos {

namespace {

// Generated from the files of the same names: one raw string literal each.
constexpr char kPage[] =
#include "tools/html_report.html.inc"
    ;
constexpr char kStyle[] =
#include "tools/html_report.css.inc"
    ;
constexpr char kScript[] =
#include "tools/html_report.js.inc"
    ;
constexpr char kTimelineScript[] =
#include "tools/html_timeline.js.inc"
    ;

// Numbers as JavaScript has them: doubles. Differences are made before, where nothing is rounded.
std::string Number(double value) { return absl::StrFormat("%.15g", std::isfinite(value) ? value : 0.0); }
std::string Number(uint64_t value) { return absl::StrCat(value); }
std::string Number(int64_t value) { return absl::StrCat(value); }

double Since(int64_t from_ns, int64_t to_ns) {
  return to_ns >= from_ns ? static_cast<double>(static_cast<uint64_t>(to_ns) - static_cast<uint64_t>(from_ns))
                          : -static_cast<double>(static_cast<uint64_t>(from_ns) - static_cast<uint64_t>(to_ns));
}

// Writes JSON: objects and arrays that open and close, with commas where they belong.
class Json {
 public:
  Json& Open(char bracket) {
    Separate();
    text_ += bracket;
    is_first_ = true;
    return *this;
  }
  Json& Close(char bracket) {
    text_ += bracket;
    is_first_ = false;
    return *this;
  }
  Json& Key(absl::string_view key) {
    Separate();
    absl::StrAppend(&text_, "\"", key, "\":");
    is_first_ = true;
    return *this;
  }
  Json& Text(absl::string_view text) {
    Separate();
    AppendJsonString(text, &text_);
    return *this;
  }
  template <typename T>
  Json& Value(T value) {
    Separate();
    text_ += Number(value);
    return *this;
  }

  const std::string& text() const { return text_; }

 private:
  void Separate() {
    if (!is_first_) text_ += ',';
    is_first_ = false;
  }

  std::string text_;
  bool is_first_ = true;
};

// Numbers things in the order in which they come.
template <typename Key>
class Numbering {
 public:
  uint64_t Of(const Key& key) {
    const auto [it, is_new] = numbers_.try_emplace(key, keys_.size());
    if (is_new) keys_.push_back(key);
    return it->second;
  }
  const std::vector<Key>& keys() const { return keys_; }

 private:
  std::map<Key, uint64_t> numbers_;
  std::vector<Key> keys_;
};

void WriteRecordings(const TraceDigest& digest, Json& json) {
  json.Key("recordings").Open('[');
  for (const proto::v1::TraceHeader& header : digest.headers()) {
    json.Open('{').Key("program").Text(header.program()).Key("os_pid").Value(int64_t{header.os_pid()});
    json.Key("kernel").Text(header.kernel()).Key("machine").Text(header.machine());
    json.Key("processors").Value(uint64_t{header.processors()}).Key("executor").Text(header.executor()).Close('}');
  }
  json.Close(']');
  double begin_ms = 0;
  if (!digest.headers().empty()) {
    const proto::v1::TraceHeader& header = digest.headers().front();
    const double passed_ns = Since(static_cast<int64_t>(header.monotonic_ns()), digest.first_ns());
    begin_ms = (static_cast<double>(header.realtime_ns()) + passed_ns) / 1e6;
    // What JavaScript's dates reach.
    if (!(begin_ms < 8.64e15)) begin_ms = 0;
  }
  json.Key("begin_ms").Value(begin_ms);
  json.Key("duration").Value(Since(digest.first_ns(), digest.last_ns()));
}

void WriteSums(const TraceDigest& digest, Json& json) {
  const TraceDigest::Sums& sums = digest.sums();
  json.Key("sums").Open('{');
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, uint64_t>>{{"operations", sums.operations},
                                                               {"beginnings_lost", sums.beginnings_lost},
                                                               {"lost_submissions", sums.lost_submissions},
                                                               {"lost_completions", sums.lost_completions},
                                                               {"lost_others", sums.lost_others},
                                                               {"dropped", sums.dropped},
                                                               {"refused", sums.refused},
                                                               {"unknown_records", sums.unknown_records},
                                                               {"damages", sums.damages},
                                                               {"damaged_bytes", sums.damaged_bytes}}) {
    json.Key(name).Value(value);
  }
  json.Close('}').Key("damages").Open('[');
  for (const TraceDamage& damage : digest.damages()) {
    json.Open('{').Key("path").Text(damage.path).Key("offset").Value(damage.offset);
    json.Key("bytes").Value(damage.bytes).Key("what").Text(damage.what).Close('}');
  }
  json.Close(']');
}

void WritePercentiles(const LatencyHistogram& latency, Json& json) {
  json.Key("p50").Value(latency.Percentile(0.5)).Key("p90").Value(latency.Percentile(0.9));
  json.Key("p99").Value(latency.Percentile(0.99)).Key("max").Value(latency.max());
}

void WriteLengths(absl::string_view name, const TraceDigest::Lengths& lengths, Json& json) {
  json.Key(name).Open('[');
  for (size_t step = 0; step < lengths.size(); ++step) {
    if (lengths[step] > 0) json.Open('[').Value(uint64_t{step}).Value(lengths[step]).Close(']');
  }
  json.Close(']');
}

void WriteKinds(const TraceDigest& digest, Json& json) {
  json.Key("latency").Open('{');
  WritePercentiles(digest.latency(), json);
  json.Close('}').Key("kinds").Open('[');
  for (const auto& [number, kind] : digest.kinds()) {
    json.Open('{').Key("name").Text(kind.name).Key("calls").Value(kind.calls).Key("failed").Value(kind.failed);
    json.Key("cancelled").Value(kind.cancelled).Key("never_ended").Value(kind.never_ended).Key("bytes").Value(kind.bytes);
    json.Key("total").Value(kind.total_ns).Key("waited").Value(kind.waited_ns);
    WritePercentiles(kind.latency, json);
    json.Key("lengths").Open('{');
    WriteLengths("total", kind.total_lengths, json);
    WriteLengths("waited", kind.waited_lengths, json);
    WriteLengths("took", kind.took_lengths, json);
    json.Close('}').Close('}');
  }
  json.Close(']');
}

void WriteDepth(const TraceDigest& digest, Json& json) {
  const std::vector<DepthOverTime::Stretch> stretches = digest.depth().Stretches();
  json.Key("depth").Open('{').Key("step").Value(digest.depth().stretch_ns());
  json.Key("from").Value(stretches.empty() ? 0.0 : Since(digest.first_ns(), stretches.front().from_ns));
  // Three decimals are below a pixel.
  json.Key("waiting").Open('[');
  for (const auto& stretch : stretches) json.Value(std::round(stretch.waiting * 1000) / 1000);
  json.Close(']').Key("under_way").Open('[');
  for (const auto& stretch : stretches) json.Value(std::round(stretch.under_way * 1000) / 1000);
  json.Close(']').Close('}');
}

// In columns, because names would be most of the page.
void WriteOperations(const TraceDigest& digest, Json& json) {
  const std::vector<TraceDigest::Kept> kept = digest.KeptOperations();
  Numbering<std::string> texts;
  Numbering<std::pair<size_t, uint32_t>> shown_processes;
  std::map<int, uint64_t> kinds;
  for (const auto& [number, kind] : digest.kinds()) kinds.emplace(number, kinds.size());

  json.Key("operations").Open('{');
  const auto column = [&](absl::string_view name, auto&& write) {
    json.Key(name).Open('[');
    for (const TraceDigest::Kept& one : kept) write(one);
    json.Close(']');
  };
  column("queued", [&](const auto& one) { json.Value(Since(digest.first_ns(), one.queued_ns)); });
  column("waited", [&](const auto& one) { json.Value(one.waited_ns); });
  column("total", [&](const auto& one) { json.Value(one.total_ns); });
  column("kind", [&](const auto& one) { json.Value(kinds.at(one.kind)); });
  column("process", [&](const auto& one) { json.Value(shown_processes.Of({one.file, one.pid})); });
  column("seq", [&](const auto& one) { json.Text(absl::StrCat(one.seq)); });
  column("outcome", [&](const auto& one) { json.Value(static_cast<uint64_t>(one.outcome)); });
  column("target", [&](const auto& one) { json.Value(texts.Of(one.target)); });
  column("result", [&](const auto& one) { json.Value(texts.Of(one.result)); });
  json.Close('}').Key("slowest").Value(static_cast<uint64_t>(digest.kept_slowest()));
  json.Key("texts").Open('[');
  for (const std::string& text : texts.keys()) json.Text(text);
  json.Close(']').Key("processes_total").Value(digest.processes()).Key("processes").Open('[');
  for (const auto& [file, pid] : shown_processes.keys())
    json.Text(file == 0 ? absl::StrCat(pid) : absl::StrCat(pid, ", recording ", file + 1));
  json.Close(']');
}

// The page with its markers replaced, each of which stands there once.
std::string Filled(absl::string_view data) {
  std::string page;
  absl::string_view rest = kPage;
  for (const auto& [marker, text] : {std::pair<absl::string_view, std::string>{"@STYLE@", kStyle},
                                     {"@DATA@", std::string(data)},
                                     {"@SCRIPT@", absl::StrCat(kScript, kTimelineScript)}}) {
    const size_t at = rest.find(marker);
    absl::StrAppend(&page, rest.substr(0, at), text);
    rest.remove_prefix(at + marker.size());
  }
  return absl::StrCat(page, rest);
}

class HtmlReport : public TraceExporter {
 public:
  explicit HtmlReport(google::protobuf::io::ZeroCopyOutputStream* out) : out_(out) {}

  absl::Status Begin() override { return absl::OkStatus(); }

  absl::Status Add(const TraceItem& item) override {
    digest_.Add(item);
    return absl::OkStatus();
  }

  absl::Status End() override {
    Json json;
    json.Open('{');
    WriteRecordings(digest_, json);
    WriteSums(digest_, json);
    WriteKinds(digest_, json);
    WriteDepth(digest_, json);
    WriteOperations(digest_, json);
    json.Close('}');
    google::protobuf::io::CodedOutputStream coded(out_);
    coded.WriteString(Filled(json.text()));
    coded.Trim();
    return coded.HadError() ? absl::UnavailableError("the output takes no more bytes") : absl::OkStatus();
  }

 private:
  google::protobuf::io::ZeroCopyOutputStream* const out_;
  TraceDigest digest_;
};

}  // namespace

std::unique_ptr<TraceExporter> MakeHtmlReport(google::protobuf::io::ZeroCopyOutputStream* out) {
  return std::make_unique<HtmlReport>(out);
}

}  // namespace agentos
