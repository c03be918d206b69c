#include "agentos/examples/quickstart/report.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agentos/examples/quickstart/format.h"

namespace agentos::quickstart {

namespace {

constexpr size_t kShownFailures = 5;
constexpr int kTitleWidth = 14;

std::vector<std::string> Row(const std::string& name, const Tally& tally, const std::string& time, const std::string& rate) {
  return {name,
          WithSeparators(tally.submissions),
          WithSeparators(tally.completions),
          HumanBytes(tally.bytes),
          WithSeparators(tally.errors),
          time,
          rate};
}

Tally Sum(const std::vector<const Process*>& processes) {
  Tally sum;
  for (const Process* process : processes) sum += process->tally();
  return sum;
}

}  // namespace

std::string FormatSummary(const std::string& directory, const TreeSummary& summary) {
  std::string text = absl::StrCat("directory: ", directory, "\nfiles read: ", summary.read, "\nbytes: ", summary.bytes,
                                  "\nlines: ", summary.lines, "\nfailures: ", summary.failures.count(), "\n");
  for (const std::string& failure : summary.failures.kept()) absl::StrAppend(&text, "  ", failure, "\n");
  if (summary.failures.count() > summary.failures.kept().size()) {
    absl::StrAppend(&text, "  and ", summary.failures.count() - summary.failures.kept().size(), " more\n");
  }
  return text;
}

std::string FormatRead(const TreeSummary& summary) {
  std::string text = absl::StrCat(Counted(summary.read, "file"), ", ", HumanBytes(summary.bytes), ", ",
                                  Counted(summary.lines, "line"), " in ", HumanDuration(summary.elapsed), ", listing included (",
                                  PerSecond(summary.found, summary.elapsed), " files per second)");
  const FailureList& failures = summary.failures;
  if (failures.count() == 0) return text;
  absl::StrAppend(&text, "\n", Counted(failures.count(), "failure"),
                  failures.count() > kShownFailures ? ", the first of them:" : ":");
  const size_t shown = std::min(kShownFailures, failures.kept().size());
  for (size_t i = 0; i < shown; ++i) absl::StrAppend(&text, "\n  ", failures.kept()[i]);
  return text;
}

std::string FormatStep(const std::string& title, const absl::StatusOr<std::string>& outcome) {
  std::string text = absl::StrFormat("%-*s", kTitleWidth, title);
  const std::string body = outcome.ok() ? *outcome : absl::StrCat("FAILED: ", outcome.status().ToString());
  for (const char letter : body) {
    text.push_back(letter);
    if (letter == '\n') text.append(kTitleWidth, ' ');
  }
  return text + "\n";
}

std::string FormatTallies(const std::vector<const Process*>& processes) {
  std::vector<std::vector<std::string>> rows = {
      {"process", "submissions", "completions", "bytes", "errors", "time in ring", "ops per second"}};
  for (const Process* process : processes) {
    const Tally& tally = process->tally();
    rows.push_back(Row(absl::StrCat(process->pid()), tally, HumanDuration(tally.time), PerSecond(tally.completions, tally.time)));
  }
  rows.push_back(Row("together", Sum(processes), "", ""));
  return FormatTable(rows);
}

std::string FormatStats(const IoUringStats& stats) {
  const double entries = static_cast<double>(stats.total_submissions);
  const std::string per_kernel_entry =
      stats.kernel_entries == 0
          ? "none: no entry went through it"
          : absl::StrFormat("%.1f (%s, %s into the executor)", entries / static_cast<double>(stats.kernel_entries),
                            stats.total_submissions == 1 ? "1 entry" : WithSeparators(stats.total_submissions) + " entries",
                            Counted(stats.kernel_entries, "call"));
  return absl::StrCat("Entries per kernel entry: ", per_kernel_entry, "\n\nIoUringManager::Stats():\n", stats.ToString());
}

absl::Status CheckBooks(const std::vector<const Process*>& processes, const IoUringStats& stats) {
  const Tally sum = Sum(processes);
  if (stats.total_submissions != sum.submissions || stats.total_completions != sum.completions) {
    return absl::InternalError(absl::StrCat("Stats() counts ", stats.total_submissions, " submissions and ",
                                            stats.total_completions, " completions, the processes ", sum.submissions, " and ",
                                            sum.completions));
  }
  if (stats.pending != 0) return absl::InternalError(absl::StrCat("entries still under way: ", stats.pending));
  if (stats.dropped != 0) return absl::InternalError(absl::StrCat("completions dropped: ", stats.dropped));
  return absl::OkStatus();
}

}  // namespace agentos::quickstart
