#include "agentos/tools/trace_summary.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agentos/ring/latency_histogram.h"
#include "agentos/tools/call_text.h"
#include "agentos/tools/operation_details.h"
#include "agentos/tools/text_encoding.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/coded_stream.h"

namespace agentos {

namespace {

constexpr size_t kMostGroups = 4'000;
constexpr size_t kBarWidth = 50;

struct Group {
  uint64_t calls = 0;
  uint64_t ended = 0;
  uint64_t errors = 0;
  uint64_t cancelled = 0;
  uint64_t bytes = 0;
  double total_ns = 0;
  double waited_ns = 0;
  int64_t min_ns = std::numeric_limits<int64_t>::max();
  int64_t max_ns = 0;
  LatencyHistogram latency;
  // By the power of two below.
  std::array<uint64_t, 65> powers{};
};

// The number that fields of this name have, in whichever operation; -1 without one.
int FdOf(const proto::v1::Entry& entry) {
  const auto* oneof = proto::v1::Entry::descriptor()->FindOneofByName("operation");
  const auto* field = entry.GetReflection()->GetOneofFieldDescriptor(entry, oneof);
  if (field == nullptr) return -1;
  const auto* fd = field->message_type()->FindFieldByName("fd");
  if (fd == nullptr) fd = field->message_type()->FindFieldByName("from_fd");
  if (fd == nullptr) return -1;
  const auto& operation = entry.GetReflection()->GetMessage(entry, field);
  return operation.GetReflection()->GetInt32(operation, fd);
}

class TraceSummary final : public TraceExporter {
 public:
  TraceSummary(google::protobuf::io::ZeroCopyOutputStream* out, SummaryOptions options) : out_(out), options_(options) {}

  absl::Status Begin() override { return absl::OkStatus(); }
  absl::Status Add(const TraceItem& item) override {
    if (const auto* operation = std::get_if<TracedOperation>(&item)) Count(*operation);
    if (const auto* loss = std::get_if<TraceLoss>(&item)) {
      lost_submissions_ += loss->submissions;
      lost_completions_ += loss->completions;
    }
    return absl::OkStatus();
  }
  absl::Status End() override;

 private:
  void Count(const TracedOperation& operation);
  Group& GroupOf(const TracedOperation& operation);
  std::string NameOf(const TracedOperation& operation) const;
  void PrintTable(const std::vector<std::pair<std::string, const Group*>>& rows, std::string& text) const;
  static void PrintRow(const std::string& name, const Group& group, std::string& text);
  static void PrintHistogram(const std::string& name, const Group& group, std::string& text);

  google::protobuf::io::ZeroCopyOutputStream* const out_;
  const SummaryOptions options_;
  absl::flat_hash_map<std::string, std::unique_ptr<Group>> groups_;
  // What is looked for most often: groups by the operation's number, and the last one by pid.
  std::vector<Group*> by_operation_;
  uint64_t last_pid_ = std::numeric_limits<uint64_t>::max();
  Group* last_ = nullptr;
  int64_t first_ns_ = std::numeric_limits<int64_t>::max();
  int64_t last_ns_ = 0;
  uint64_t lost_submissions_ = 0;
  uint64_t lost_completions_ = 0;
};

std::string TraceSummary::NameOf(const TracedOperation& operation) const {
  switch (options_.by) {
    case SummaryBy::kOperation:
      return OperationNameOf(operation.entry);
    case SummaryBy::kPid:
      return absl::StrCat("pid ", operation.entry.pid());
    case SummaryBy::kFd: {
      const int fd = FdOf(operation.entry);
      return fd < 0 ? "(no descriptor)" : absl::StrCat("fd ", fd);
    }
    case SummaryBy::kPath:
      break;
  }
  const std::string target = TargetOf(operation.entry);
  return target.empty() ? "(nothing)" : target;
}

Group& TraceSummary::GroupOf(const TracedOperation& operation) {
  const auto number = static_cast<size_t>(operation.entry.operation_case());
  if (options_.by == SummaryBy::kOperation && number < by_operation_.size() && by_operation_[number] != nullptr) {
    return *by_operation_[number];
  }
  if (options_.by == SummaryBy::kPid && last_pid_ == operation.entry.pid()) return *last_;
  const std::string name = NameOf(operation);
  auto found = groups_.find(name);
  if (found == groups_.end()) {
    found = groups_.try_emplace(groups_.size() < kMostGroups ? name : "(others)").first;
    if (found->second == nullptr) found->second = std::make_unique<Group>();
  }
  if (options_.by == SummaryBy::kOperation) {
    by_operation_.resize(std::max(by_operation_.size(), number + 1));
    by_operation_[number] = found->second.get();
  }
  last_pid_ = operation.entry.pid();
  last_ = found->second.get();
  return *found->second;
}

void TraceSummary::Count(const TracedOperation& operation) {
  Group& group = GroupOf(operation);
  // Each of an operation's completions moves bytes, but it was called once.
  if (!operation.more) ++group.calls;
  first_ns_ = std::min(first_ns_, operation.queued_ns);
  last_ns_ = std::max(last_ns_, EndOf(operation));
  if (!operation.ended) return;
  if (operation.cancelled) {
    ++group.cancelled;
  } else if (operation.error_number != 0) {
    ++group.errors;
  } else if (operation.value > 0 && MovesBytes(operation.entry)) {
    group.bytes += static_cast<uint64_t>(operation.value);
  }
  if (operation.more) return;
  ++group.ended;
  const int64_t ns = Since(operation.queued_ns, EndOf(operation));
  group.total_ns += static_cast<double>(ns);
  group.waited_ns += static_cast<double>(operation.waited_ns.value_or(0));
  group.min_ns = std::min(group.min_ns, ns);
  group.max_ns = std::max(group.max_ns, ns);
  group.latency.Add(ns);
  ++group.powers[static_cast<size_t>(std::bit_width(static_cast<uint64_t>(ns)))];
}

void TraceSummary::PrintRow(const std::string& name, const Group& group, std::string& text) {
  const bool any = group.ended > 0;
  const auto time = [any](double ns) { return any ? ShortTime(ns) : "-"; };
  const auto percentile = [&](double fraction) { return time(static_cast<double>(group.latency.Percentile(fraction))); };
  absl::StrAppendFormat(&text, "%10d %8d %9d %9d %14d %9s %7s %7s %7s %7s %7s %7s %7s  %s\n", group.calls, group.errors,
                        group.cancelled, group.calls - group.ended, group.bytes, time(group.total_ns),
                        time(static_cast<double>(group.min_ns)),
                        time(group.total_ns / static_cast<double>(std::max<uint64_t>(group.ended, 1))),
                        time(group.waited_ns / static_cast<double>(std::max<uint64_t>(group.ended, 1))), percentile(0.5),
                        percentile(0.9), percentile(0.99), time(static_cast<double>(group.max_ns)), name);
}

void TraceSummary::PrintTable(const std::vector<std::pair<std::string, const Group*>>& rows, std::string& text) const {
  const char* what[] = {"operation", "process", "descriptor", "path or address"};
  absl::StrAppendFormat(&text, "%10s %8s %9s %9s %14s %9s %7s %7s %7s %7s %7s %7s %7s  %s\n", "calls", "errors", "cancelled",
                        "unended", "bytes", "total", "min", "mean", "waited", "p50", "p90", "p99", "max",
                        what[static_cast<size_t>(options_.by)]);
  Group sum;
  for (const auto& [name, group] : rows) {
    PrintRow(name, *group, text);
    sum.calls += group->calls;
    sum.ended += group->ended;
    sum.errors += group->errors;
    sum.cancelled += group->cancelled;
    sum.bytes += group->bytes;
    sum.total_ns += group->total_ns;
    sum.waited_ns += group->waited_ns;
    sum.min_ns = std::min(sum.min_ns, group->min_ns);
    sum.max_ns = std::max(sum.max_ns, group->max_ns);
    sum.latency.Merge(group->latency);
  }
  if (rows.size() != 1) PrintRow("all", sum, text);
  const double seconds = static_cast<double>(std::max<int64_t>(0, Since(first_ns_, last_ns_))) / 1e9;
  if (sum.calls > 0 && seconds > 0) {
    absl::StrAppendFormat(&text, "\n%d operations in %s, %.0f a second\n", sum.calls, ShortTime(seconds * 1e9),
                          static_cast<double>(sum.calls) / seconds);
  }
  if (lost_submissions_ + lost_completions_ > 0) {
    absl::StrAppendFormat(&text, "missing from this table: %d submissions and %d ends that the recorder lost\n",
                          lost_submissions_, lost_completions_);
  }
}

void TraceSummary::PrintHistogram(const std::string& name, const Group& group, std::string& text) {
  absl::StrAppend(&text, "\n", name, ": ", group.ended, group.ended == 1 ? " operation" : " operations", "\n");
  size_t first = 0;
  while (first < group.powers.size() && group.powers[first] == 0) ++first;
  size_t last = group.powers.size();
  while (last > first && group.powers[last - 1] == 0) --last;
  const uint64_t most = *std::max_element(group.powers.begin(), group.powers.end());
  for (size_t power = first; power < last; ++power) {
    const double from = power == 0 ? 0 : static_cast<double>(uint64_t{1} << (power - 1));
    const uint64_t count = group.powers[power];
    size_t width = static_cast<size_t>(static_cast<double>(kBarWidth) * static_cast<double>(count) / static_cast<double>(most));
    if (count > 0) width = std::max<size_t>(width, 1);
    absl::StrAppendFormat(&text, "%9s .. %-9s %10d |%s\n", ShortTime(from), ShortTime(power == 0 ? 1 : 2 * from), count,
                          std::string(width, '#'));
  }
}

absl::Status TraceSummary::End() {
  std::vector<std::pair<std::string, const Group*>> rows;
  for (const auto& [name, group] : groups_) rows.emplace_back(ToPrintable(name), group.get());
  // By what costs most; by name where that is the same, so that the same trace gives the same text.
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return a.second->total_ns != b.second->total_ns ? a.second->total_ns > b.second->total_ns : a.first < b.first;
  });
  std::string text;
  if (options_.table) PrintTable(rows, text);
  if (options_.histogram) {
    for (const auto& [name, group] : rows) {
      if (group->ended > 0) PrintHistogram(name, *group, text);
    }
  }
  google::protobuf::io::CodedOutputStream coded(out_);
  coded.WriteRaw(text.data(), static_cast<int>(text.size()));
  return coded.HadError() ? absl::UnavailableError("the output takes no more") : absl::OkStatus();
}

}  // namespace

std::unique_ptr<TraceExporter> MakeTraceSummary(google::protobuf::io::ZeroCopyOutputStream* out, SummaryOptions options) {
  return std::make_unique<TraceSummary>(out, options);
}

}  // namespace agentos
