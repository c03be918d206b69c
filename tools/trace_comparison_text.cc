#include "agentos/tools/trace_comparison_text.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agentos/tools/text_encoding.h"

namespace agentos {

namespace {

using Key = TraceProfile::Key;

std::string About(const Key& key, bool has_pid) {
  std::string text = has_pid ? absl::StrCat("pid ", key.pid, "  ", key.operation) : key.operation;
  if (!key.target.empty()) absl::StrAppend(&text, " ", absl::Utf8SafeCHexEscape(key.target));
  return text;
}

// Three digits: more are never the same twice.
std::string Length(int64_t ns) {
  int64_t unit = 1;
  while (ns / unit >= 1000) unit *= 10;
  return absl::FormatDuration(absl::Nanoseconds(ns / unit * unit));
}

// 1st, 2nd, 3rd, 4th, 11th, 21st.
std::string Ordinal(uint64_t number) {
  const uint64_t last = number % 10;
  const bool is_teen = number / 10 % 10 == 1;
  return absl::StrCat(number, is_teen ? "th" : last == 1 ? "st" : last == 2 ? "nd" : last == 3 ? "rd" : "th");
}

template <typename Difference, typename Describe>
void AppendSection(absl::string_view heading, const std::vector<Difference>& all, size_t limit, Describe describe,
                   std::string* out) {
  if (all.empty()) return;
  absl::StrAppend(out, heading, " (", all.size(), ")\n");
  for (size_t i = 0; i < all.size() && (limit == 0 || i < limit); ++i) absl::StrAppend(out, "  ", describe(all[i]), "\n");
  if (limit > 0 && all.size() > limit) absl::StrAppend(out, "  ... and ", all.size() - limit, " more\n");
  *out += "\n";
}

void AppendTrace(absl::string_view label, const ComparedTrace& trace, std::string* out) {
  absl::StrAppend(out, label, absl::Utf8SafeCHexEscape(ToUtf8(trace.name)), ": ", trace.profile.operations(),
                  trace.profile.operations() == 1 ? " operation" : " operations");
  if (trace.profile.beyond_limit() > 0) {
    absl::StrAppend(out, ", of which the last ", trace.profile.beyond_limit(), " are only counted");
  }
  *out += trace.profile.is_complete() ? "\n" : ". It is not complete, so operations may seem new or gone that are not.\n";
}

void AppendVerdict(const TraceDifferences& differences, std::string* out) {
  std::vector<std::string> parts;
  const auto add = [&](size_t count, absl::string_view what) {
    if (count > 0) parts.push_back(absl::StrCat(count, " ", what));
  };
  add(differences.changed.size(), differences.changed.size() == 1 ? "result changed" : "results changed");
  add(differences.slower.size(), "slower");
  add(differences.appeared.size(), "appeared");
  add(differences.vanished.size(), "vanished");
  absl::StrAppend(out, parts.empty() ? "Same." : absl::StrCat("Different: ", absl::StrJoin(parts, ", "), "."), "\n");
}

void AppendKey(const Key& key, bool has_pid, std::string* out) {
  *out += "{";
  if (has_pid) absl::StrAppend(out, "\"pid\":", key.pid, ",");
  *out += "\"operation\":";
  AppendJsonString(key.operation, out);
  *out += ",\"target\":";
  AppendJsonString(key.target, out);
}

void AppendJsonTrace(absl::string_view name, const ComparedTrace& trace, std::string* out) {
  absl::StrAppend(out, "\"", name, "\":{\"name\":");
  AppendJsonString(trace.name, out);
  absl::StrAppend(out, ",\"operations\":", trace.profile.operations(),
                  ",\"complete\":", trace.profile.is_complete() ? "true" : "false",
                  ",\"beyond_limit\":", trace.profile.beyond_limit(), "},\n");
}

template <typename Difference, typename Append>
void AppendJsonSection(absl::string_view name, const std::vector<Difference>& all, Append append, std::string* out) {
  absl::StrAppend(out, ",\n\"", name, "\":[");
  for (size_t i = 0; i < all.size(); ++i) {
    *out += i == 0 ? "\n " : ",\n ";
    append(all[i]);
    *out += "}";
  }
  *out += "]";
}

}  // namespace

std::string DifferencesAsText(const ComparedTrace& before, const ComparedTrace& after, const TraceDifferences& differences,
                              size_t limit) {
  std::string out;
  AppendTrace("before  ", before, &out);
  AppendTrace("after   ", after, &out);
  out += "\n";
  const bool has_pid = !before.profile.ignores_pids();
  AppendSection(
      "Results changed", differences.changed, limit,
      [&](const TraceDifferences::Changed& one) {
        return absl::StrFormat("%s: %s -> %s, %d of %d, first the %s", About(one.key, has_pid), one.from, one.to, one.count,
                               one.of, Ordinal(one.first));
      },
      &out);
  AppendSection(
      "Slower", differences.slower, limit,
      [](const TraceDifferences::Slower& one) {
        const double ratio =
            static_cast<double>(one.median_after_ns) / static_cast<double>(std::max<int64_t>(1, one.median_before_ns));
        return absl::StrFormat("%s: %s -> %s, %.1f times, medians of %d and %d", About(one.key, false),
                               Length(one.median_before_ns), Length(one.median_after_ns), ratio, one.calls_before,
                               one.calls_after);
      },
      &out);
  const auto counted = [&](const TraceDifferences::Counted& one) {
    return absl::StrFormat("%s: %d -> %d", About(one.key, has_pid), one.before, one.after);
  };
  AppendSection("Appeared", differences.appeared, limit, counted, &out);
  AppendSection("Vanished", differences.vanished, limit, counted, &out);
  AppendVerdict(differences, &out);
  return out;
}

std::string DifferencesAsJson(const ComparedTrace& before, const ComparedTrace& after, const TraceDifferences& differences) {
  std::string out = "{";
  const bool has_pid = !before.profile.ignores_pids();
  AppendJsonTrace("before", before, &out);
  AppendJsonTrace("after", after, &out);
  absl::StrAppend(&out, "\"same\":", differences.empty() ? "true" : "false");
  AppendJsonSection(
      "changed", differences.changed,
      [&](const TraceDifferences::Changed& one) {
        AppendKey(one.key, has_pid, &out);
        out += ",\"from\":";
        AppendJsonString(one.from, &out);
        out += ",\"to\":";
        AppendJsonString(one.to, &out);
        absl::StrAppend(&out, ",\"count\":", one.count, ",\"of\":", one.of, ",\"first\":", one.first);
      },
      &out);
  AppendJsonSection(
      "slower", differences.slower,
      [&](const TraceDifferences::Slower& one) {
        AppendKey(one.key, false, &out);
        absl::StrAppend(&out, ",\"median_before_ns\":", one.median_before_ns, ",\"median_after_ns\":", one.median_after_ns,
                        ",\"calls_before\":", one.calls_before, ",\"calls_after\":", one.calls_after);
      },
      &out);
  const auto counted = [&](const TraceDifferences::Counted& one) {
    AppendKey(one.key, has_pid, &out);
    absl::StrAppend(&out, ",\"before\":", one.before, ",\"after\":", one.after);
  };
  AppendJsonSection("appeared", differences.appeared, counted, &out);
  AppendJsonSection("vanished", differences.vanished, counted, &out);
  out += "}\n";
  return out;
}

}  // namespace agentos
