#include "agentos/tools/trace_replay.h"

#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/ring_options.h"
#include "agentos/testing/simulated_ring.h"
#include "agentos/tools/call_text.h"
#include "agentos/tools/command_line.h"
#include "agentos/tools/replay_plan.h"
#include "agentos/tools/replay_report.h"
#include "agentos/tools/replay_run.h"
#include "agentos/tools/trace_filter.h"
#include "agentos/tools/trace_item.h"
#include "agentos/tools/trace_stream.h"

namespace agentos {

namespace {

constexpr int kSame = 0;
constexpr int kDifferent = 1;
constexpr int kFailed = 2;
constexpr int kObstacles = 3;
constexpr uint64_t kMostOperations = 5'000'000;

std::atomic<bool> interrupted = false;

struct Flags {
  std::vector<std::string> files;
  TraceFilter filter;
  std::string root;
  std::string speed = "max";
  std::string executor = "auto";
  bool check = false;
  bool dry_run = false;
  bool zero_payloads = false;
  std::optional<uint64_t> seed;
  std::optional<uint64_t> differences;
};

void AddFlags(Flags& flags, CommandLine& line) {
  line.Group("what is done");
  line.Add("check", &flags.check, "only say what cannot be replayed, and why");
  line.Add("dry-run", &flags.dry_run, "only say what would be done");
  line.Add("root", "DIR", &flags.root, "beneath this directory; without it nothing is replayed that could change a file");
  line.Add("zero-payloads", &flags.zero_payloads, "write zeros where the trace does not have what was written");
  line.Group("how");
  line.Add("speed", "HOW", &flags.speed, "max, recorded, or a factor such as 2x or 0.5x (max without the flag)");
  line.AddChoice("executor", {"auto", "io_uring", "threads", "simulated"}, &flags.executor, "what executes the operations");
  line.Add("seed", "N", &flags.seed, "of the simulated executor, which then has faults that a caller never hears of");
  line.Add("differences", "N", &flags.differences, "list at most N different results, 0 is all; 20 without the flag");
  line.Group("which operations");
  flags.filter.AddFlags(line);
  line.AddPositional(&flags.files);
  line.Example("trace_replay --check /tmp/q.trace", "what of it can be done again");
  line.Example("trace_replay /tmp/q.trace", "read the same files again, as fast as possible");
  line.Example("trace_replay --root=/tmp/sandbox --zero-payloads --speed=recorded /tmp/q.trace",
               "writes too, beneath a directory");
  line.Example("trace_replay --executor=threads --op=Read,Open,Close /tmp/q.trace", "would it be the same without io_uring?");
  line.ExitCode(kSame, "every operation that was replayed had the recorded result");
  line.ExitCode(kDifferent, "some had another one");
  line.ExitCode(kFailed, "the command line is wrong, a file cannot be read, or the replay could not go on");
  line.ExitCode(kObstacles, "with --check: some cannot be replayed; otherwise: none could be");
}

// Operations per recorded second over those per replayed one; 0 is as fast as possible.
absl::StatusOr<double> ParseSpeed(const std::string& text) {
  if (text == "max") return 0.0;
  if (text == "recorded") return 1.0;
  double factor = 0;
  const absl::string_view number = absl::string_view(text).substr(0, text.size() - 1);
  if (absl::EndsWith(text, "x") && absl::SimpleAtod(number, &factor) && factor >= 0.001 && factor <= 1000) return factor;
  return absl::InvalidArgumentError(
      absl::StrCat("--speed is \"", text, "\": it must be max, recorded, or a factor from 0.001x to 1000x"));
}

absl::StatusOr<std::vector<TracedOperation>> ReadOperations(Flags& flags) {
  absl::StatusOr<std::unique_ptr<TraceStream>> stream = TraceStream::Open(flags.files);
  if (!stream.ok()) return stream.status();
  std::vector<TracedOperation> operations;
  for (TraceItem item; !flags.filter.is_satisfied();) {
    const absl::StatusOr<bool> next = (*stream)->Next(item);
    if (!next.ok()) return next.status();
    if (!*next) break;
    auto* operation = std::get_if<TracedOperation>(&item);
    if (!flags.filter.Passes(item) || operation == nullptr) continue;
    if (operations.size() == kMostOperations) {
      return absl::ResourceExhaustedError(absl::StrCat("the trace has more than ", kMostOperations,
                                                       " operations: choose a part of it, with --since and --until"));
    }
    operations.push_back(std::move(*operation));
  }
  return operations;
}

absl::StatusOr<std::unique_ptr<IoUringManager>> MakeManager(const Flags& flags) {
  IoUringManagerOptions options;
  options.threading = Threading::kOneThread;
  if (flags.executor == "io_uring") options.executor = ExecutorKind::kIoUring;
  if (flags.executor == "threads") options.executor = ExecutorKind::kThreadPool;
  if (flags.executor == "simulated") {
    SimulatedRingOptions simulated;
    if (flags.seed.has_value()) simulated = {.seed = *flags.seed, .faults = Faults::Survivable()};
    options.submission_rings = SimulatedRings(simulated);
  }
  return IoUringManager::Create(std::move(options));
}

class Replay {
 public:
  Replay(Flags& flags, std::ostream& out, std::ostream& err) : flags_(flags), out_(out), err_(err) {}

  int Run() {
    if (flags_.files.empty()) return Wrong("name a trace file; trace_replay --help has examples");
    if (flags_.seed.has_value() && flags_.executor != "simulated") return Wrong("--seed is for --executor=simulated");
    struct stat status = {};
    if (!flags_.root.empty() && (stat(flags_.root.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))) {
      return Wrong(absl::StrCat("--root is \"", flags_.root, "\": it must be a directory"));
    }
    const absl::StatusOr<double> speed = ParseSpeed(flags_.speed);
    if (!speed.ok()) return Wrong(speed.status().message());
    if (absl::Status checked = flags_.filter.Check(); !checked.ok()) return Wrong(checked.message());
    absl::StatusOr<std::vector<TracedOperation>> operations = ReadOperations(flags_);
    if (!operations.ok()) return Wrong(operations.status().message());
    const std::vector<PlannedOperation> plan =
        PlanReplay(*std::move(operations), {.has_root = !flags_.root.empty(), .zero_payloads = flags_.zero_payloads});
    const std::string obstacles = ObstaclesAsText(plan);
    if (flags_.check) {
      out_ << (obstacles.empty() ? absl::StrCat("all ", plan.size(), " operations can be replayed\n") : obstacles);
      return Flushed(obstacles.empty() ? kSame : kObstacles);
    }
    err_ << obstacles;
    if (std::none_of(plan.begin(), plan.end(), [](const PlannedOperation& one) { return one.obstacle.empty(); })) {
      err_ << "trace_replay: there is nothing to replay\n";
      return kObstacles;
    }
    return flags_.dry_run ? Say(plan) : Do(plan, *speed);
  }

 private:
  int Wrong(absl::string_view why) {
    err_ << "trace_replay: " << absl::Utf8SafeCHexEscape(why) << "\n";
    return kFailed;
  }
  int Flushed(int code) {
    out_ << std::flush;
    return out_.good() ? code : Wrong("the output takes no more bytes");
  }

  int Say(const std::vector<PlannedOperation>& plan) {
    for (const PlannedOperation& planned : plan) {
      if (!planned.obstacle.empty()) continue;
      out_ << "pid " << planned.traced.entry.pid() << " #" << planned.traced.seq << " " << CallAsText(planned.traced.entry)
           << "\n";
    }
    return Flushed(kSame);
  }

  int Do(const std::vector<PlannedOperation>& plan, double speed) {
    absl::StatusOr<std::unique_ptr<IoUringManager>> manager = MakeManager(flags_);
    if (!manager.ok()) return Wrong(manager.status().message());
    interrupted = false;
    struct sigaction action = {};
    struct sigaction before = {};
    action.sa_handler = [](int) { interrupted = true; };
    sigaction(SIGINT, &action, &before);
    absl::StatusOr<std::vector<ReplayedOperation>> results;
    {
      ReplayRun run(**manager, {.root = flags_.root, .speed = speed, .is_cancelled = [] { return interrupted.load(); }});
      results = run.Run(plan);
    }
    sigaction(SIGINT, &before, nullptr);
    if (!results.ok()) return Wrong(results.status().message());
    const ReplayReport report = MakeReplayReport(plan, *results, static_cast<size_t>(flags_.differences.value_or(20)));
    out_ << "executor: " << (*manager)->Executor().name << "\n" << report.text;
    if (interrupted) err_ << "trace_replay: interrupted, the rest was not replayed\n";
    return Flushed(report.different == 0 ? kSame : kDifferent);
  }

  Flags& flags_;
  std::ostream& out_;
  std::ostream& err_;
};

}  // namespace

int RunTraceReplay(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
  Flags flags;
  CommandLine line("trace_replay", "Does again what a trace says was done, and compares results and latencies.",
                   "[FLAG]... FILE...");
  AddFlags(flags, line);
  const CommandLine::Outcome outcome = line.Parse(argc, argv);
  if (outcome.exit_code.has_value()) {
    out << outcome.out;
    err << outcome.error;
    return *outcome.exit_code;
  }
  return Replay(flags, out, err).Run();
}

}  // namespace agentos
