#include "agentos/tools/trace_dump.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agentos/manager/trace_counts.h"
#include "agentos/tools/chrome_export.h"
#include "agentos/tools/command_line.h"
#include "agentos/tools/html_report.h"
#include "agentos/tools/perfetto_export.h"
#include "agentos/tools/progress.h"
#include "agentos/tools/trace_check.h"
#include "agentos/tools/trace_exporter.h"
#include "agentos/tools/trace_filter.h"
#include "agentos/tools/trace_formats.h"
#include "agentos/tools/trace_item.h"
#include "agentos/tools/trace_stream.h"
#include "agentos/tools/trace_summary.h"
#include "agentos/tools/trace_text.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl.h"

namespace agentos {

namespace {

constexpr int kFailed = 2;
constexpr int kLossyCode = 1;
constexpr int kCorruptCode = 3;

using google::protobuf::io::ZeroCopyOutputStream;

std::atomic<bool> interrupted = false;

// While it lives, Ctrl-C ends the reading and not the program.
class InterruptGuard {
 public:
  InterruptGuard() {
    interrupted = false;
    struct sigaction action = {};
    action.sa_handler = [](int) { interrupted = true; };
    sigaction(SIGINT, &action, &before_);
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  ~InterruptGuard() { sigaction(SIGINT, &before_, nullptr); }

 private:
  struct sigaction before_ = {};
};

// The slowest operations, slowest first.
class Top final : public TraceExporter {
 public:
  Top(size_t count, std::unique_ptr<TraceExporter> then) : count_(count), then_(std::move(then)) {}

  absl::Status Begin() override { return then_->Begin(); }
  absl::Status Add(const TraceItem& item) override {
    const auto* operation = std::get_if<TracedOperation>(&item);
    if (operation == nullptr) return std::holds_alternative<proto::v1::TraceHeader>(item) ? then_->Add(item) : absl::OkStatus();
    if (!operation->took_ns.has_value()) return absl::OkStatus();
    const int64_t ns = Since(operation->queued_ns, EndOf(*operation));
    if (slowest_.size() == count_ && ns <= slowest_.top().ns) return absl::OkStatus();
    slowest_.push({ns, *operation});
    if (slowest_.size() > count_) slowest_.pop();
    return absl::OkStatus();
  }
  absl::Status End() override {
    std::vector<TracedOperation> in_order;
    for (; !slowest_.empty(); slowest_.pop()) in_order.push_back(slowest_.top().operation);
    for (auto it = in_order.rbegin(); it != in_order.rend(); ++it) {
      if (absl::Status added = then_->Add(*it); !added.ok()) return added;
    }
    return then_->End();
  }

 private:
  struct One {
    int64_t ns;
    TracedOperation operation;

    // So that the fastest of them is on top.
    bool operator<(const One& other) const { return ns > other.ns; }
  };

  const size_t count_;
  const std::unique_ptr<TraceExporter> then_;
  std::priority_queue<One> slowest_;
};

struct Flags {
  std::vector<std::string> files;
  TraceFilter filter;
  std::string format = "text";
  bool html = false;
  bool summary = false;
  bool histogram = false;
  std::string by = "operation";
  std::optional<uint64_t> top;
  bool follow = false;
  bool dates = false;
  std::string color = "auto";
  std::optional<uint64_t> width;
  std::string output;
  bool verify = false;
  std::string repair;
};

void AddFlags(Flags& flags, CommandLine& line) {
  line.Group("what is shown");
  line.Add("summary", &flags.summary, "sums instead of operations: calls, errors, bytes, latencies");
  line.AddChoice("by", {"operation", "pid", "fd", "path"}, &flags.by, "what --summary and --histogram sum by");
  line.Add("histogram", &flags.histogram, "how many operations took how long");
  line.Add("top", "N", &flags.top, "the N slowest operations, slowest first", 1);
  line.AddChoice("format", {"text", "json", "csv", "proto", "chrome", "perfetto"}, &flags.format, "how operations are written");
  line.Add("html", &flags.html, "one self-contained page: timeline, distributions, depth, slowest operations");
  line.Add("follow", &flags.follow, "go on with what is still being recorded, until Ctrl-C");
  line.Group("which operations");
  flags.filter.AddFlags(line);
  line.Group("how it looks and where it goes");
  line.Add("output", "FILE", &flags.output, "write to this file instead of the standard output");
  line.AddChoice("color", {"auto", "always", "never"}, &flags.color, "colours; auto is on a terminal unless NO_COLOR is set");
  line.Add("width", "N", &flags.width, "cut lines after N letters, 0 is never; the terminal's width when there is one");
  line.Add("dates", &flags.dates, "local date and time instead of seconds since the trace began");
  line.Group("whether it is all there");
  line.Add("verify", &flags.verify, "say whether the trace is clean, lossy or corrupt, and exit with 0, 1 or 3");
  line.Add("repair", "FILE", &flags.repair, "write what is good of a damaged trace to FILE, which must not be there");
  line.AddPositional(&flags.files);
  line.Example("AGENTOS_URING_TRACE=/tmp/q.trace ./program && trace_dump /tmp/q.trace", "record a program and see what it did");
  line.Example("trace_dump --summary --by=path /tmp/q.trace", "which files cost most");
  line.Example("trace_dump --failed --op=Open /tmp/q.trace", "what could not be opened");
  line.Example("trace_dump --top=10 /tmp/q.trace", "the ten slowest operations");
  line.Example("trace_dump --html --output=q.html /tmp/q.trace", "a page to look at or to send");
  line.Example("trace_dump --format=perfetto --output=q.perfetto /tmp/q.trace", "for Perfetto's viewer");
  line.Example("trace_dump /tmp/q.trace.2 /tmp/q.trace.1 /tmp/q.trace", "all files of a recording; their order does not matter");
  line.ExitCode(0, "all is well; with --verify: the trace is clean");
  line.ExitCode(1, "with --verify: the recorder lost something, and says what");
  line.ExitCode(2, "the command line is wrong, or a file cannot be read or written");
  line.ExitCode(3, "with --verify: something that was written cannot be read any more");
}

bool WantsColour(const Flags& flags, bool to_terminal) {
  if (flags.color != "auto") return flags.color == "always";
  const char* no_color = std::getenv("NO_COLOR");
  return to_terminal && (no_color == nullptr || *no_color == '\0');
}

size_t WidthOf(const Flags& flags, int fd, bool to_terminal) {
  if (flags.width.has_value()) return static_cast<size_t>(*flags.width);
  winsize size = {};
  return to_terminal && ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

std::unique_ptr<TraceExporter> MakeExporter(const Flags& flags, int fd, ZeroCopyOutputStream* out) {
  if (flags.html) return MakeHtmlReport(out);
  if (flags.summary || flags.histogram) {
    const SummaryBy by = flags.by == "pid"    ? SummaryBy::kPid
                         : flags.by == "fd"   ? SummaryBy::kFd
                         : flags.by == "path" ? SummaryBy::kPath
                                              : SummaryBy::kOperation;
    return MakeTraceSummary(out, {.by = by, .table = flags.summary, .histogram = flags.histogram});
  }
  if (flags.format == "json") return MakeJsonLines(out);
  if (flags.format == "csv") return MakeCsv(out);
  if (flags.format == "proto") return MakeProtoRecords(out);
  if (flags.format == "chrome") return MakeChromeExporter(out);
  if (flags.format == "perfetto") return MakePerfettoExporter(out);
  const bool to_terminal = isatty(fd) != 0;
  TraceTextOptions text = {
      .colour = WantsColour(flags, to_terminal), .width = WidthOf(flags, fd, to_terminal), .absolute_times = flags.dates};
  // What comes slowest first, or as it happens, is not put in order.
  if (flags.top.has_value() || flags.follow) text.window = 0;
  return MakeTraceText(out, text);
}

// "" or what the flags contradict each other in.
std::string Contradiction(const Flags& flags, int fd) {
  if (flags.html && (flags.summary || flags.histogram || flags.top.has_value() || flags.format != "text")) {
    return "--html is a page of its own: leave out --summary, --histogram, --top and --format";
  }
  if ((flags.summary || flags.histogram) && (flags.format != "text" || flags.top.has_value())) {
    return "--summary and --histogram are tables: leave out --format and --top";
  }
  if (flags.follow && (flags.html || flags.format == "chrome" || flags.format == "perfetto" || flags.verify)) {
    return "--follow has no end to wait for: use it with text, json, csv or proto, --summary or --top";
  }
  if (flags.verify && !flags.repair.empty()) return "--repair verifies what it has written: leave out --verify";
  if (!flags.repair.empty() && flags.files.size() != 1) return "--repair takes one file at a time";
  const bool for_programs = flags.html || flags.format == "proto" || flags.format == "perfetto";
  if (for_programs && flags.output.empty() && isatty(fd) != 0) {
    return "this is not for a terminal: give it a file with --output=FILE";
  }
  return "";
}

class Dump {
 public:
  Dump(Flags& flags, int out_fd, std::ostream& err) : flags_(flags), out_fd_(out_fd), err_(err) {}

  int Run() {
    if (flags_.files.empty()) {
      if (isatty(STDIN_FILENO) != 0) return Wrong("name a trace file; trace_dump --help has examples");
      flags_.files.emplace_back("-");
    }
    if (const std::string wrong = Contradiction(flags_, out_fd_); !wrong.empty()) return Wrong(wrong);
    if (absl::Status status = flags_.filter.Check(); !status.ok()) return Wrong(status.message());
    if (flags_.verify || !flags_.repair.empty()) return Check();
    if (flags_.output.empty()) return Show(out_fd_);
    const int fd = open(flags_.output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return Wrong(absl::StrCat("--output is \"", flags_.output, "\": ", std::strerror(errno)));
    const int code = Show(fd);
    if (close(fd) != 0) return Wrong(absl::StrCat(flags_.output, ": ", std::strerror(errno)));
    return code;
  }

 private:
  int Wrong(absl::string_view why) {
    err_ << "trace_dump: " << absl::Utf8SafeCHexEscape(why) << "\n";
    return kFailed;
  }

  int Check() {
    const absl::StatusOr<TraceVerdict> verdict =
        flags_.verify ? VerifyTrace(flags_.files) : RepairTrace(flags_.files.front(), flags_.repair);
    if (!verdict.ok()) return Wrong(verdict.status().message());
    google::protobuf::io::FileOutputStream out(out_fd_);
    {
      google::protobuf::io::CodedOutputStream coded(&out);
      if (!flags_.verify) coded.WriteString(absl::StrCat(flags_.repair, " is "));
      coded.WriteString(verdict->ToString());
    }
    if (!out.Flush()) return Wrong(std::strerror(out.GetErrno()));
    if (!flags_.verify) return 0;
    if (verdict->condition == TraceCondition::kCorrupt) return kCorruptCode;
    return verdict->condition == TraceCondition::kLossy ? kLossyCode : 0;
  }

  int Show(int fd) {
    std::optional<InterruptGuard> guard;
    TraceStreamOptions options;
    if (flags_.follow) {
      guard.emplace();
      options.follow_until = [] { return interrupted.load(); };
    }
    absl::StatusOr<std::unique_ptr<TraceStream>> stream = TraceStream::Open(flags_.files, std::move(options));
    if (!stream.ok()) return Wrong(stream.status().message());
    google::protobuf::io::FileOutputStream out(fd);
    std::unique_ptr<TraceExporter> exporter = MakeExporter(flags_, fd, &out);
    if (flags_.top.has_value()) exporter = std::make_unique<Top>(static_cast<size_t>(*flags_.top), std::move(exporter));
    const absl::Status shown = Pump(**stream, *exporter, out);
    if (!out.Flush() || shown.code() == absl::StatusCode::kUnavailable) {
      // Whoever read it has seen enough.
      return out.GetErrno() == EPIPE ? 0 : Wrong(absl::StrCat("writing failed: ", std::strerror(out.GetErrno())));
    }
    if (!shown.ok()) return Wrong(shown.message());
    SayWhatIsMissing();
    return 0;
  }

  absl::Status Pump(TraceStream& stream, TraceExporter& exporter, google::protobuf::io::FileOutputStream& out) {
    Progress progress(absl::StrCat("reading ", absl::CHexEscape(absl::StrJoin(flags_.files, ", "))),
                      isatty(STDERR_FILENO) != 0 && isatty(STDOUT_FILENO) == 0 ? &err_ : nullptr);
    absl::Status status = exporter.Begin();
    for (TraceItem item; status.ok() && !flags_.filter.is_satisfied();) {
      const absl::StatusOr<bool> next = stream.Next(item);
      if (!next.ok()) {
        // What was there before is not lost.
        const absl::Status ended = exporter.End();
        return ended.ok() ? next.status() : ended;
      }
      if (!*next) break;
      Notice(item);
      if (flags_.filter.Passes(item)) status = exporter.Add(item);
      if (flags_.follow && status.ok()) {
        exporter.Flush();
        out.Flush();
      }
      if (progress.IsDue()) progress.At(stream.bytes_read(), stream.bytes());
    }
    return status.ok() ? exporter.End() : status;
  }

  void Notice(const TraceItem& item) {
    if (const auto* loss = std::get_if<TraceLoss>(&item)) {
      lost_ += {loss->submissions, loss->completions, loss->others};
    } else if (std::holds_alternative<TraceDamage>(item)) {
      ++damaged_;
    }
  }

  void SayWhatIsMissing() {
    if (lost_.any()) {
      err_ << "trace_dump: the recorder lost " << lost_.submissions << " submissions, " << lost_.completions << " ends and "
           << lost_.others << " other events\n";
    }
    if (damaged_ > 0) {
      err_ << "trace_dump: " << damaged_ << (damaged_ == 1 ? " place" : " places")
           << " of the trace cannot be read; --verify says which, --repair saves the rest\n";
    }
  }

  Flags& flags_;
  const int out_fd_;
  std::ostream& err_;
  TraceCounts lost_;
  uint64_t damaged_ = 0;
};

}  // namespace

int RunTraceDump(int argc, const char* const* argv, int out_fd, std::ostream& err) {
  Flags flags;
  CommandLine line("trace_dump", "Shows what a program asked of its rings and what came of it: the strace for agentos_uring.",
                   "[FLAG]... [FILE]...");
  AddFlags(flags, line);
  const CommandLine::Outcome outcome = line.Parse(argc, argv);
  if (outcome.exit_code.has_value()) {
    err << outcome.error;
    google::protobuf::io::FileOutputStream out(out_fd);
    google::protobuf::io::CodedOutputStream(&out).WriteString(outcome.out);
    return *outcome.exit_code;
  }
  return Dump(flags, out_fd, err).Run();
}

}  // namespace agentos
