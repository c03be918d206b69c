#include "agentos/tools/trace_text.h"

#include <string.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agentos/tools/call_text.h"
#include "agentos/tools/operation_details.h"
#include "agentos/tools/trace_item.h"
#include "google/protobuf/io/coded_stream.h"

namespace agentos {

namespace {

enum class Style : uint8_t { kPlain, kDim, kGood, kBad, kWarning, kName };

const char* CodeOf(Style style) {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kDim:
      return "\x1b[2m";
    case Style::kGood:
      return "\x1b[32m";
    case Style::kBad:
      return "\x1b[31m";
    case Style::kWarning:
      return "\x1b[33m";
    case Style::kName:
      return "\x1b[1m";
  }
  return "";
}

// How many letters of a terminal the text takes: all that is not ASCII in it are the brackets, of one letter each.
size_t Columns(absl::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// A line that is put together from pieces, and cut where it is too long.
class Line {
 public:
  explicit Line(const TraceTextOptions& options) : options_(options) {}

  void Add(absl::string_view text, Style style = Style::kPlain) {
    if (options_.width > 0 && columns_ + Columns(text) > options_.width) {
      // A bracket is cut down to nothing, because half a letter is none; everything else that is too long is ASCII.
      text = Columns(text) == text.size() ? text.substr(0, options_.width - columns_) : "";
      columns_ = options_.width;
    } else {
      columns_ += Columns(text);
    }
    if (text.empty()) return;
    const bool coloured = options_.colour && style != Style::kPlain;
    absl::StrAppend(&text_, coloured ? CodeOf(style) : "", text, coloured ? "\x1b[0m" : "");
  }
  std::string Finish() && { return std::move(text_) + "\n"; }

 private:
  const TraceTextOptions& options_;
  size_t columns_ = 0;
  std::string text_;
};

bool GivesFd(const proto::v1::Entry& entry) {
  return entry.has_open() || entry.has_accept() || entry.has_accept_many() || entry.has_socket();
}

class TraceText final : public TraceExporter {
 public:
  TraceText(google::protobuf::io::ZeroCopyOutputStream* out, TraceTextOptions options) : coded_(out), options_(options) {}

  absl::Status Begin() override { return absl::OkStatus(); }
  absl::Status Add(const TraceItem& item) override {
    std::visit([this](const auto& one) { Take(one); }, item);
    return Status();
  }
  void Flush() override { coded_.Trim(); }
  absl::Status End() override {
    while (!held_.empty()) WriteFirst();
    coded_.Trim();
    return Status();
  }

 private:
  // The order of lines: by time, and where that is the same (a batch) by number.
  struct Place {
    int64_t time_ns;
    uint32_t pid;
    uint64_t seq;
    uint64_t arrival;

    auto operator<=>(const Place&) const = default;
  };

  absl::Status Status() { return coded_.HadError() ? absl::UnavailableError("the output takes no more") : absl::OkStatus(); }
  void Hold(const Place& place, TraceItem item) {
    held_.emplace(place, std::move(item));
    if (held_.size() > options_.window) WriteFirst();
  }
  void WriteFirst() {
    const auto first = held_.begin();
    std::visit([this](const auto& one) { Print(one); }, first->second);
    held_.erase(first);
  }

  void Take(const proto::v1::TraceHeader& header) {
    realtime_offset_ns_ = static_cast<int64_t>(header.realtime_ns() - header.monotonic_ns());
    if (!begin_ns_.has_value()) begin_ns_ = static_cast<int64_t>(header.monotonic_ns());
  }
  void Take(const TracedOperation& operation) {
    Hold({operation.queued_ns, operation.entry.pid(), operation.seq, arrivals_++}, operation);
  }
  void Take(const TraceRingEvent& event) { Hold({event.time_ns, event.pid, event.created ? 0 : UINT64_MAX, arrivals_++}, event); }
  void Take(const TraceDrop& drop) { Hold({drop.time_ns, drop.pid, drop.seq, arrivals_++}, drop); }
  void Take(const TraceRefusal& refusal) { Hold({refusal.time_ns, refusal.pid, 0, arrivals_++}, refusal); }
  void Take(const TraceLoss& loss) { Hold({loss.time_ns, 0, 0, arrivals_++}, loss); }
  // These have no time of their own.
  void Take(const TraceDamage& damage) { Print(damage); }
  void Take(const TraceUnknown& unknown) { Print(unknown); }

  void Print(const TracedOperation& operation);
  void Print(const TraceRingEvent& event) {
    Remark(event.time_ns, event.created ? absl::StrCat("pid ", event.pid, " has a ring: ", event.sq_size, " entries, ",
                                                       event.cq_size, " completions")
                                        : absl::StrCat("pid ", event.pid, " has no ring any more"));
  }
  void Print(const TraceDrop& drop) {
    Remark(drop.time_ns, absl::StrCat("pid ", drop.pid, ": the completion of #", drop.seq, " was dropped, nobody had reaped it"));
  }
  void Print(const TraceRefusal& refusal) {
    const std::string code = absl::StatusCodeToString(static_cast<absl::StatusCode>(refusal.code));
    Remark(refusal.time_ns,
           absl::StrCat("pid ", refusal.pid, ": ", refusal.entries, refusal.entries == 1 ? " entry was" : " entries were",
                        " refused, ", code.empty() ? absl::StrCat("code ", refusal.code) : code));
  }
  void Print(const TraceLoss& loss) {
    Remark(loss.time_ns, absl::StrCat("the recorder lost ", loss.submissions, " submissions, ", loss.completions, " ends and ",
                                      loss.others, " other events before here"));
  }
  void Print(const TraceDamage& damage) {
    Note(absl::StrCat("# damaged: ", QuotedText(damage.path), " at ", damage.offset, ", ", damage.bytes,
                      " bytes: ", absl::CHexEscape(damage.what)),
         Style::kBad);
  }
  void Print(const TraceUnknown& unknown) {
    Note(absl::StrCat("# not known to this version: ", QuotedText(unknown.text)), Style::kWarning);
  }
  // Headers are not held.
  void Print(const proto::v1::TraceHeader& /*header*/) {}

  void Remark(int64_t time_ns, const std::string& text) { Note(absl::StrCat(TimeOf(time_ns), "  # ", text), Style::kWarning); }
  void Note(const std::string& text, Style style) {
    Line line(options_);
    line.Add(text, style);
    coded_.WriteString(std::move(line).Finish());
  }

  std::string TimeOf(int64_t time_ns) const {
    if (options_.absolute_times) {
      return absl::FormatTime("%Y-%m-%d %H:%M:%E6S", absl::FromUnixNanos(Shifted(time_ns, realtime_offset_ns_)),
                              absl::LocalTimeZone());
    }
    return absl::StrFormat("%11.6f", static_cast<double>(Since(begin_ns_.value_or(0), time_ns)) / 1e9);
  }
  const char* BracketOf(const TracedOperation& operation);

  google::protobuf::io::CodedOutputStream coded_;
  const TraceTextOptions options_;
  std::map<Place, TraceItem> held_;
  uint64_t arrivals_ = 0;
  std::optional<int64_t> begin_ns_;
  int64_t realtime_offset_ns_ = 0;
  // Of each process of each recording, the last operation that another one is linked to.
  absl::flat_hash_map<std::pair<size_t, uint32_t>, uint64_t> linked_;
};

const char* TraceText::BracketOf(const TracedOperation& operation) {
  const std::pair<size_t, uint32_t> process = {operation.file, operation.entry.pid()};
  const auto before = linked_.find(process);
  const bool is_linked = before != linked_.end() && before->second + 1 == operation.seq;
  const bool links = operation.entry.modifiers().link() != proto::v1::Modifiers::LINK_NONE;
  if (links) {
    linked_[process] = operation.seq;
  } else if (before != linked_.end()) {
    linked_.erase(before);
  }
  if (links) return is_linked ? "│ " : "┌ ";
  return is_linked ? "└ " : "  ";
}

void TraceText::Print(const TracedOperation& operation) {
  const proto::v1::Entry& entry = operation.entry;
  Line line(options_);
  line.Add(TimeOf(operation.queued_ns), Style::kDim);
  line.Add(absl::StrFormat("  pid %d #%-5d ", entry.pid(), operation.seq));
  line.Add(BracketOf(operation), Style::kDim);
  if (entry.operation_case() == proto::v1::Entry::OPERATION_NOT_SET) {
    line.Add("... whose beginning is not in the trace", Style::kWarning);
  } else {
    const std::string call = CallAsText(entry);
    const size_t name = call.find('(');
    line.Add(absl::string_view(call).substr(0, name), Style::kName);
    line.Add(absl::string_view(call).substr(name));
  }
  if (!operation.ended) {
    line.Add(operation.waited_ns.has_value() ? " ... has not ended" : " ... has not started", Style::kWarning);
  } else if (operation.cancelled) {
    line.Add(" = cancelled", Style::kWarning);
  } else if (operation.error_number != 0) {
    const char* description = strerrordesc_np(operation.error_number);
    line.Add(absl::StrCat(" = -1 ", ErrnoNameOf(operation.error_number),
                          description == nullptr ? "" : absl::StrCat(" (", description, ")")),
             Style::kBad);
  } else {
    line.Add(absl::StrCat(" = ", GivesFd(entry) ? "fd " : "", operation.value, MovesBytes(entry) ? " bytes" : ""), Style::kGood);
  }
  if (!operation.payload.data().empty()) line.Add(absl::StrCat(" ", QuotedText(operation.payload.data(), 32)));
  if (!operation.peer_address.empty()) line.Add(absl::StrCat(" from ", QuotedText(operation.peer_address)));
  if (operation.more) line.Add(" and more");
  if (operation.ended && operation.took_ns.has_value()) {
    const int64_t waited_ns = operation.waited_ns.value_or(0);
    const std::string took = ShortTime(static_cast<double>(*operation.took_ns));
    line.Add(waited_ns > 0 ? absl::StrCat("  <", ShortTime(static_cast<double>(waited_ns)), " + ", took, ">")
                           : absl::StrCat("  <", took, ">"),
             Style::kDim);
  }
  coded_.WriteString(std::move(line).Finish());
}

}  // namespace

std::unique_ptr<TraceExporter> MakeTraceText(google::protobuf::io::ZeroCopyOutputStream* out, TraceTextOptions options) {
  return std::make_unique<TraceText>(out, options);
}

}  // namespace agentos
