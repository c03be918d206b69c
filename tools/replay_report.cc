#include "agentos/tools/replay_report.h"

#include <string.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agentos/ring/latency_histogram.h"
#include "agentos/tools/call_text.h"
#include "agentos/tools/operation_details.h"

namespace agentos {

namespace {

// What an operation came to, without what may differ.
std::string ResultAsText(const proto::v1::Entry& entry, int64_t value, int error_number, bool cancelled) {
  if (cancelled) return "cancelled";
  if (error_number != 0) return absl::StrCat("-1 ", ErrnoNameOf(error_number), " (", strerrordesc_np(error_number), ")");
  if (entry.has_open()) return absl::StrCat("fd ", value);
  return absl::StrCat(value, MovesBytes(entry) ? " bytes" : "");
}

std::string CallOf(const TracedOperation& operation) {
  return absl::StrCat("pid ", operation.entry.pid(), " #", operation.seq, " ", CallAsText(operation.entry));
}

}  // namespace

bool IsSameResult(const TracedOperation& recorded, const ReplayedOperation& replayed) {
  if (recorded.cancelled != replayed.cancelled || recorded.error_number != replayed.error_number) return false;
  if (recorded.cancelled || recorded.error_number != 0 || recorded.entry.has_open()) return true;
  return recorded.value == replayed.value && recorded.payload.data() == replayed.data;
}

std::string ObstaclesAsText(const std::vector<PlannedOperation>& plan) {
  std::map<std::string, std::pair<size_t, const TracedOperation*>> obstacles;
  size_t all = 0;
  for (const PlannedOperation& planned : plan) {
    if (planned.obstacle.empty()) continue;
    auto& [count, first] = obstacles[planned.obstacle];
    if (count++ == 0) first = &planned.traced;
    ++all;
  }
  if (all == 0) return "";
  std::string text = absl::StrCat(all, " of ", plan.size(), " operations cannot be replayed:\n");
  for (const auto& [obstacle, counted] : obstacles) {
    absl::StrAppendFormat(&text, "%8d  %s\n          first: %s\n", counted.first, obstacle, CallOf(*counted.second));
  }
  return text;
}

ReplayReport MakeReplayReport(const std::vector<PlannedOperation>& plan, const std::vector<ReplayedOperation>& results,
                              size_t limit) {
  struct Kind {
    LatencyHistogram recorded;
    LatencyHistogram replayed;
    size_t calls = 0;
    size_t different = 0;
  };
  ReplayReport report;
  std::map<std::string, Kind> kinds;
  std::string differences;
  for (size_t i = 0; i < results.size(); ++i) {
    if (!results[i].ran) continue;
    ++report.replayed;
    const TracedOperation& recorded = plan[i].traced;
    Kind& kind = kinds[OperationNameOf(recorded.entry)];
    ++kind.calls;
    kind.recorded.Add(EndOf(recorded) - recorded.queued_ns);
    kind.replayed.Add(results[i].took_ns);
    if (IsSameResult(recorded, results[i])) continue;
    ++kind.different;
    ++report.different;
    if (limit != 0 && report.different > limit) continue;
    const std::string before = ResultAsText(recorded.entry, recorded.value, recorded.error_number, recorded.cancelled);
    const std::string after = ResultAsText(recorded.entry, results[i].value, results[i].error_number, results[i].cancelled);
    absl::StrAppend(&differences, "  ", CallOf(recorded), "\n      recorded ", before, ", replayed ", after,
                    before == after ? ", with other bytes" : "", "\n");
  }
  if (limit != 0 && report.different > limit) absl::StrAppend(&differences, "  and ", report.different - limit, " more\n");
  report.text = absl::StrFormat("%10s %9s   %-23s %s\n%10s %9s   %7s %7s %7s %7s %7s %7s  %s\n", "", "", "recorded", "replayed",
                                "calls", "different", "p50", "p90", "max", "p50", "p90", "max", "operation");
  for (const auto& [name, kind] : kinds) {
    const auto time = [](uint64_t ns) { return ShortTime(static_cast<double>(ns)); };
    absl::StrAppendFormat(&report.text, "%10d %9d   %7s %7s %7s %7s %7s %7s  %s\n", kind.calls, kind.different,
                          time(kind.recorded.Percentile(0.5)), time(kind.recorded.Percentile(0.9)), time(kind.recorded.max()),
                          time(kind.replayed.Percentile(0.5)), time(kind.replayed.Percentile(0.9)), time(kind.replayed.max()),
                          name);
  }
  absl::StrAppend(&report.text, "\n", report.replayed, " operations replayed, ", report.different, " with another result\n",
                  differences);
  return report;
}

}  // namespace agentos
