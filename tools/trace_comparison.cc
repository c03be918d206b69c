#include "agentos/tools/trace_comparison.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agentos/tools/operation_details.h"

namespace agentos {

namespace {

using Occurrence = TraceProfile::Occurrence;
using Occurrences = TraceProfile::Occurrences;
using Key = TraceProfile::Key;

bool ReturnsDescriptor(const proto::v1::Entry& entry) {
  switch (entry.operation_case()) {
    case proto::v1::Entry::kOpen:
    case proto::v1::Entry::kAccept:
    case proto::v1::Entry::kAcceptMany:
    case proto::v1::Entry::kSocket:
      return true;
    default:
      return false;
  }
}

std::string ResultText(const Occurrence& occurrence, bool returns_descriptor) {
  if (occurrence.total_ns < 0) return "never ended";
  if (occurrence.cancelled) return "cancelled";
  if (occurrence.error_number != 0) return ErrnoNameOf(occurrence.error_number);
  return returns_descriptor ? "a descriptor" : absl::StrCat(occurrence.value);
}

bool HasSameResult(const Occurrence& a, const Occurrence& b, bool returns_descriptor) {
  if ((a.total_ns < 0) != (b.total_ns < 0)) return false;
  if (a.total_ns < 0) return true;
  if (a.cancelled != b.cancelled || a.error_number != b.error_number) return false;
  return a.cancelled || a.error_number != 0 || returns_descriptor || a.value == b.value;
}

// Operations end in an order that differs in any two runs.
std::vector<Occurrence> InOrderOfSubmission(std::vector<Occurrence> occurrences) {
  std::sort(occurrences.begin(), occurrences.end(),
            [](const auto& a, const auto& b) { return std::pair(a.queued_ns, a.seq) < std::pair(b.queued_ns, b.seq); });
  return occurrences;
}

void CompareResults(const Key& key, const Occurrences& all_before, const Occurrences& all_after, TraceDifferences& differences) {
  const std::vector<Occurrence> before = InOrderOfSubmission(all_before.kept);
  const std::vector<Occurrence> after = InOrderOfSubmission(all_after.kept);
  const bool returns_descriptor = all_before.returns_descriptor;
  const size_t both = std::min(before.size(), after.size());
  std::map<std::pair<std::string, std::string>, TraceDifferences::Changed> changes;
  for (size_t i = 0; i < both; ++i) {
    if (HasSameResult(before[i], after[i], returns_descriptor)) continue;
    std::pair<std::string, std::string> texts{ResultText(before[i], returns_descriptor),
                                              ResultText(after[i], returns_descriptor)};
    auto& change = changes[texts];
    if (change.count++ == 0)
      change = {.key = key, .from = texts.first, .to = texts.second, .count = 1, .of = both, .first = i + 1};
  }
  for (auto& [texts, change] : changes) differences.changed.push_back(std::move(change));
}

// What ended, of all processes.
std::map<Key, std::vector<int64_t>> TimesOf(const TraceProfile& profile) {
  std::map<Key, std::vector<int64_t>> times;
  for (const auto& [key, occurrences] : profile.occurrences()) {
    std::vector<int64_t>& of_key = times[{.operation = key.operation, .target = key.target}];
    for (const Occurrence& occurrence : occurrences.kept) {
      if (occurrence.total_ns >= 0) of_key.push_back(occurrence.total_ns);
    }
  }
  return times;
}

int64_t Median(std::vector<int64_t>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void CompareTimes(const TraceProfile& before, const TraceProfile& after, const ComparisonOptions& options,
                  TraceDifferences& differences) {
  std::map<Key, std::vector<int64_t>> times_before = TimesOf(before);
  std::map<Key, std::vector<int64_t>> times_after = TimesOf(after);
  for (auto& [key, of_key] : times_before) {
    const auto found = times_after.find(key);
    const size_t least = std::max<size_t>(1, options.slower_min_calls);
    if (found == times_after.end() || of_key.size() < least || found->second.size() < least) continue;
    const int64_t median_before = Median(of_key);
    const int64_t median_after = Median(found->second);
    if (median_after <= median_before || median_after - median_before < options.slower_by_ns) continue;
    if (static_cast<double>(median_after) < options.slower_ratio * static_cast<double>(median_before)) continue;
    differences.slower.push_back({.key = key,
                                  .median_before_ns = median_before,
                                  .median_after_ns = median_after,
                                  .calls_before = of_key.size(),
                                  .calls_after = found->second.size()});
  }
}

}  // namespace

void TraceProfile::Add(const TraceItem& item) {
  if (const auto* operation = std::get_if<TracedOperation>(&item)) {
    AddOperation(*operation);
  } else if (std::holds_alternative<TraceLoss>(item) || std::holds_alternative<TraceDamage>(item)) {
    is_complete_ = false;
  }
}

void TraceProfile::AddOperation(const TracedOperation& operation) {
  // Of an operation that completes many times, how often it does is a matter of chance.
  if (operation.more) return;
  if (operation.entry.operation_case() == proto::v1::Entry::OPERATION_NOT_SET) {
    is_complete_ = false;
    return;
  }
  ++operations_;
  Occurrences& occurrences = occurrences_[{.pid = ignore_pids_ ? 0 : operation.entry.pid(),
                                           .operation = OperationNameOf(operation.entry),
                                           .target = TargetOf(operation.entry)}];
  ++occurrences.count;
  occurrences.returns_descriptor = ReturnsDescriptor(operation.entry);
  if (kept_ >= max_kept_) return;
  ++kept_;
  Occurrence occurrence{.queued_ns = operation.queued_ns,
                        .seq = operation.seq,
                        .value = operation.value,
                        .error_number = operation.error_number,
                        .cancelled = operation.cancelled};
  if (operation.ended)
    occurrence.total_ns = After(std::max<int64_t>(0, operation.waited_ns.value_or(0)), operation.took_ns.value_or(0));
  occurrences.kept.push_back(occurrence);
}

TraceDifferences Compare(const TraceProfile& before, const TraceProfile& after, const ComparisonOptions& options) {
  TraceDifferences differences;
  static const Occurrences kNone;
  const auto count = [&](const Key& key, const Occurrences& old_ones, const Occurrences& new_ones) {
    const TraceDifferences::Counted counted{.key = key, .before = old_ones.count, .after = new_ones.count};
    if (counted.after > counted.before) differences.appeared.push_back(counted);
    if (counted.after < counted.before) differences.vanished.push_back(counted);
  };
  for (const auto& [key, occurrences] : before.occurrences()) {
    const auto found = after.occurrences().find(key);
    count(key, occurrences, found == after.occurrences().end() ? kNone : found->second);
    if (found != after.occurrences().end()) CompareResults(key, occurrences, found->second, differences);
  }
  for (const auto& [key, occurrences] : after.occurrences()) {
    if (before.occurrences().find(key) == before.occurrences().end()) count(key, kNone, occurrences);
  }
  if (options.compare_times) CompareTimes(before, after, options, differences);

  std::stable_sort(differences.changed.begin(), differences.changed.end(),
                   [](const auto& a, const auto& b) { return a.count > b.count; });
  std::stable_sort(differences.slower.begin(), differences.slower.end(), [](const auto& a, const auto& b) {
    return a.median_after_ns - a.median_before_ns > b.median_after_ns - b.median_before_ns;
  });
  std::stable_sort(differences.appeared.begin(), differences.appeared.end(),
                   [](const auto& a, const auto& b) { return a.after - a.before > b.after - b.before; });
  std::stable_sort(differences.vanished.begin(), differences.vanished.end(),
                   [](const auto& a, const auto& b) { return a.before - a.after > b.before - b.after; });
  return differences;
}

}  // namespace agentos
