#include "agentos/tools/trace_diff_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"

namespace agentos {

namespace {

constexpr uint64_t kDefaultPercent = 100;

// "a.trace,a.trace.1"; a name with a comma is one file when there is such a file.
std::vector<std::string> FilesOf(const std::string& argument) {
  if (access(argument.c_str(), F_OK) == 0) return {argument};
  return absl::StrSplit(argument, ',', absl::SkipEmpty());
}

CommandLine::Outcome Refusal(const std::string& why) {
  return {.exit_code = CommandLine::kUsageError,
          .out = "",
          .error = absl::StrCat("trace_diff: ", why, "; trace_diff --help shows how\n")};
}

}  // namespace

CommandLine::Outcome ParseTraceDiff(int argc, const char* const* argv, TraceDiffOptions& options) {
  std::vector<std::string> arguments;
  std::optional<uint64_t> percent;
  std::optional<uint64_t> min_calls;
  std::optional<uint64_t> limit;
  std::optional<absl::Duration> slower_by;
  std::string format = "text";
  CommandLine line(
      "trace_diff",
      "Compares two traces of the same workload: which results changed, which operations became slower, appeared or "
      "vanished. Operations are the same when process, operation and path, descriptor or address are; the third read of "
      "fd 5 is compared with the third. A trace in several files is given as FILE,FILE,...; - is the standard input.",
      "[FLAG]... BEFORE AFTER");
  line.Group("What is a difference");
  line.Add("times", &options.comparison.compare_times, "compare how long operations take; on unless --no-times");
  line.Add("slower-percent", "N", &percent,
           "slower is what takes at least N percent longer; 100 by default, which is twice as long");
  line.Add("slower-by", "TIME", &slower_by, "and at least TIME longer; 100us by default");
  line.Add("min-calls", "N", &min_calls, "and of which each trace has at least N, medians being compared; 5 by default", 1);
  line.Add("ignore-pids", &options.ignore_pids, "take all processes for one");
  line.Group("Output");
  line.AddChoice("format", {"text", "json"}, &format, "for people or for programs");
  line.Add("limit", "N", &limit, "show at most N differences of each kind as text; 20 by default, 0 is all");
  line.AddPositional(&arguments);
  line.Example("trace_diff good.trace bad.trace", "what became different");
  line.Example("trace_diff --no-times good.trace bad.trace", "results only");
  line.Example("trace_diff --slower-percent=20 --slower-by=10us a.trace b.trace", "small changes, too");
  line.Example("trace_diff --format=json a.trace b.trace.1,b.trace", "for a program; the second one in two files");
  line.ExitCode(kTraceDiffSame, "the traces are the same");
  line.ExitCode(kTraceDiffDifferent, "they are different");
  line.ExitCode(kTraceDiffFailed, "the command line is wrong, or a trace cannot be read");
  CommandLine::Outcome outcome = line.Parse(argc, argv);
  if (outcome.exit_code.has_value()) return outcome;

  if (arguments.size() != 2) return Refusal(absl::StrCat("two traces are compared, not ", arguments.size()));
  options.before = FilesOf(arguments[0]);
  options.after = FilesOf(arguments[1]);
  if (options.before.empty() || options.after.empty()) return Refusal("the name of a trace is empty");
  if (std::count(options.before.begin(), options.before.end(), "-") +
          std::count(options.after.begin(), options.after.end(), "-") >
      1) {
    return Refusal("the standard input can be read once only");
  }
  options.comparison.slower_ratio = 1 + static_cast<double>(percent.value_or(kDefaultPercent)) / 100;
  if (slower_by.has_value()) options.comparison.slower_by_ns = absl::ToInt64Nanoseconds(*slower_by);
  if (min_calls.has_value()) options.comparison.slower_min_calls = *min_calls;
  if (limit.has_value()) options.limit = *limit;
  options.as_json = format == "json";
  return outcome;
}

}  // namespace agentos
