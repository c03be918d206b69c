#include "agentos/tools/timeline_exporter.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "agentos/tools/text_encoding.h"

namespace agentos {

namespace {

// More operations at the same time than anyone can look at; the rest become marks.
constexpr size_t kMaxLanes = 4096;
// Their depth takes memory; the picture shows it for the first ones.
constexpr size_t kMaxProcessesWithDepth = 64;
// Of a chain, the next operation ends soon after.
constexpr size_t kMaxAwaitedLinks = 4096;

std::vector<OperationDetail> DetailsOf(const TracedOperation& operation) {
  std::vector<OperationDetail> details;
  details.push_back({"seq", operation.seq});
  details.push_back({"user_data", uint64_t{operation.entry.user_data()}});
  for (OperationDetail& detail : OperandsOf(operation.entry)) details.push_back(std::move(detail));
  if (!operation.ended) {
    details.push_back({"result", std::string("never ended")});
  } else if (operation.cancelled) {
    details.push_back({"result", std::string("cancelled")});
  } else {
    details.push_back({"result", operation.value});
    if (operation.error_number != 0) details.push_back({"error", ErrnoNameOf(operation.error_number)});
  }
  if (operation.more) details.push_back({"more", true});
  if (operation.payload.size() > 0) details.push_back({"received", uint64_t{operation.payload.size()}});
  if (!operation.peer_address.empty()) details.push_back({"peer_address", ToUtf8(operation.peer_address)});
  if (operation.waited_ns.has_value()) details.push_back({"waited_ns", *operation.waited_ns});
  if (operation.took_ns.has_value()) details.push_back({"took_ns", *operation.took_ns});
  return details;
}

bool Failed(const TracedOperation& operation) { return !operation.ended || operation.cancelled || operation.error_number != 0; }

}  // namespace

absl::Status TimelineExporter::Begin() {
  WriteBegin();
  return out_.HadError() ? absl::UnavailableError("the output takes no more bytes") : absl::OkStatus();
}

absl::Status TimelineExporter::Add(const TraceItem& item) {
  std::visit([this](const auto& value) { AddItem(value); }, item);
  return out_.HadError() ? absl::UnavailableError("the output takes no more bytes") : absl::OkStatus();
}

absl::Status TimelineExporter::End() {
  for (const auto& [key, process] : processes_) {
    if (!process.depth.has_value()) continue;
    std::optional<DepthOverTime::Stretch> last;
    for (const DepthOverTime::Stretch& stretch : process.depth->Stretches()) {
      if (last.has_value() && last->waiting == stretch.waiting && last->under_way == stretch.under_way) continue;
      WriteDepth(process.id, stretch);
      last = stretch;
    }
    WriteDepth(process.id, {.from_ns = last_ns_.value_or(0)});
  }
  WriteEnd();
  out_.Trim();
  return out_.HadError() ? absl::UnavailableError("the output takes no more bytes") : absl::OkStatus();
}

void TimelineExporter::AddItem(const proto::v1::TraceHeader& header) {
  Saw(static_cast<int64_t>(header.monotonic_ns()));
  WriteHeader(header);
}

void TimelineExporter::AddItem(const TracedOperation& operation) {
  Saw(operation.queued_ns);
  Process& process = ProcessOf(operation.file, operation.entry.pid());
  // What never ended is drawn up to where the trace ends; it comes after everything else.
  const int64_t end = operation.ended ? EndOf(operation) : std::max(EndOf(operation), last_ns_.value_or(0));
  Saw(end);
  std::string name = OperationNameOf(operation.entry);
  const bool is_known = operation.entry.operation_case() != proto::v1::Entry::OPERATION_NOT_SET;
  if (operation.more || !is_known || (process.lanes.size() >= kMaxLanes && process.lanes.IsFull(operation.queued_ns))) {
    WriteMark({.place = Announced(process, 0),
               .name = std::move(name),
               .time_ns = end,
               .failed = Failed(operation),
               .details = DetailsOf(operation)});
    return;
  }
  if (process.depth.has_value()) {
    const int64_t start = operation.waited_ns.has_value() ? StartOf(operation)
                          : operation.took_ns.has_value() ? operation.queued_ns
                                                          : end;
    process.depth->Add(operation.queued_ns, start, end);
  }
  Slice slice{.place = Announced(process, process.lanes.Take(operation.queued_ns, end) + 1),
              .name = std::move(name),
              .queued_ns = operation.queued_ns,
              .ended_ns = end,
              .failed = Failed(operation),
              .details = DetailsOf(operation)};
  if (operation.waited_ns.has_value()) slice.started_ns = StartOf(operation);
  TakeLinks(operation, slice);
  WriteSlice(slice);
}

void TimelineExporter::AddItem(const TraceRingEvent& event) {
  std::vector<OperationDetail> details;
  if (event.created) details = {{"sq_size", event.sq_size}, {"cq_size", event.cq_size}};
  MarkOf(event.file, event.pid, event.created ? "ring created" : "ring destroyed", event.time_ns, std::move(details));
}

void TimelineExporter::AddItem(const TraceDrop& drop) {
  MarkOf(drop.file, drop.pid, "completion dropped", drop.time_ns, {{"seq", drop.seq}});
}

void TimelineExporter::AddItem(const TraceRefusal& refusal) {
  MarkOf(refusal.file, refusal.pid, "entries refused", refusal.time_ns,
         {{"entries", refusal.entries}, {"status", absl::StatusCodeToString(static_cast<absl::StatusCode>(refusal.code))}});
}

void TimelineExporter::AddItem(const TraceLoss& loss) {
  MarkOfAll("records lost", loss.time_ns,
            {{"submissions", loss.submissions}, {"completions", loss.completions}, {"others", loss.others}});
}

void TimelineExporter::AddItem(const TraceDamage& damage) {
  MarkOfAll("trace damaged", last_ns_.value_or(0),
            {{"path", ToUtf8(damage.path)}, {"offset", damage.offset}, {"bytes", damage.bytes}, {"what", ToUtf8(damage.what)}});
}

void TimelineExporter::AddItem(const TraceUnknown& unknown) {
  MarkOfAll("record of a newer version", last_ns_.value_or(0), {{"text", ToUtf8(unknown.text)}});
}

TimelineExporter::Process& TimelineExporter::ProcessOf(size_t file, uint32_t pid) {
  const auto [it, is_new] = processes_.try_emplace({file, pid});
  Process& process = it->second;
  if (!is_new) return process;
  constexpr uint32_t kMaxId = std::numeric_limits<int32_t>::max();
  if (pid >= 1 && pid <= kMaxId && ids_.insert(static_cast<int32_t>(pid)).second) {
    process.id = static_cast<int32_t>(pid);
  } else {
    while (!ids_.insert(next_id_).second) --next_id_;
    process.id = next_id_;
  }
  if (processes_.size() <= kMaxProcessesWithDepth) process.depth.emplace();
  WriteProcess(process.id, file == 0 ? absl::StrCat("pid ", pid) : absl::StrCat("pid ", pid, ", recording ", file + 1));
  return process;
}

TimelineExporter::Place TimelineExporter::Announced(Process& process, size_t lane) {
  const Place place{.process = process.id, .lane = lane};
  if (process.announced.insert(lane).second) WriteLane(place, lane == 0 ? "events" : "operations");
  return place;
}

void TimelineExporter::MarkOf(size_t file, uint32_t pid, std::string name, int64_t time_ns,
                              std::vector<OperationDetail> details) {
  Saw(time_ns);
  WriteMark(
      {.place = Announced(ProcessOf(file, pid), 0), .name = std::move(name), .time_ns = time_ns, .details = std::move(details)});
}

void TimelineExporter::MarkOfAll(std::string name, int64_t time_ns, std::vector<OperationDetail> details) {
  Saw(time_ns);
  WriteMark({.name = std::move(name), .time_ns = time_ns, .failed = true, .details = std::move(details)});
}

void TimelineExporter::TakeLinks(const TracedOperation& operation, Slice& slice) {
  const auto awaited = std::find_if(links_.rbegin(), links_.rend(), [&](const Link& link) {
    return link.process == slice.place.process && link.seq == operation.seq;
  });
  if (awaited != links_.rend()) {
    slice.link_in = awaited->number;
    slice.before = awaited->place;
    slice.before_ns = awaited->time_ns;
    links_.erase(std::next(awaited).base());
  }
  if (operation.entry.modifiers().link() == proto::v1::Modifiers::LINK_NONE) return;
  slice.link_out = ++last_link_;
  links_.push_back({.process = slice.place.process,
                    .seq = operation.seq + 1,
                    .number = slice.link_out,
                    .place = slice.place,
                    .time_ns = slice.ended_ns > slice.queued_ns ? slice.ended_ns - 1 : slice.queued_ns});
  if (links_.size() > kMaxAwaitedLinks) links_.pop_front();
}

void TimelineExporter::Saw(int64_t time_ns) {
  if (!first_ns_.has_value()) first_ns_ = time_ns;
  last_ns_ = std::max(last_ns_.value_or(time_ns), time_ns);
}

}  // namespace agentos
