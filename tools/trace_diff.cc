#include "agentos/tools/trace_diff.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agentos/tools/text_encoding.h"
#include "agentos/tools/trace_comparison_text.h"
#include "agentos/tools/trace_item.h"
#include "agentos/tools/trace_stream.h"

namespace agentos {

namespace {

using Clock = std::chrono::steady_clock;

// Rewrites one line of a terminal, and takes it away in the end.
class Progress {
 public:
  Progress(std::string what, std::ostream* err) : what_(std::move(what)), err_(err) {}
  ~Progress() {
    if (is_shown_) *err_ << "\r\033[K" << std::flush;
  }

  void At(const TraceStream& stream) {
    // Asking the clock takes as long as an operation.
    if (err_ == nullptr || ++calls_ % 4096 != 0) return;
    const Clock::time_point now = Clock::now();
    if (now < next_) return;
    next_ = now + std::chrono::seconds(1);
    is_shown_ = true;
    *err_ << "\r\033[Kreading " << what_;
    if (stream.bytes() > 0) *err_ << " " << stream.bytes_read() * 100 / stream.bytes() << " %";
    *err_ << std::flush;
  }

 private:
  const std::string what_;
  std::ostream* const err_;
  uint64_t calls_ = 0;
  bool is_shown_ = false;
  Clock::time_point next_ = Clock::now() + std::chrono::seconds(1);
};

std::string NameOf(const std::vector<std::string>& paths) { return absl::StrJoin(paths, ","); }

absl::Status Read(const std::vector<std::string>& paths, std::ostream* progress_to, TraceProfile& profile) {
  absl::StatusOr<std::unique_ptr<TraceStream>> stream = TraceStream::Open(paths);
  if (!stream.ok()) return stream.status();
  Progress progress(absl::Utf8SafeCHexEscape(ToUtf8(NameOf(paths))), progress_to);
  for (TraceItem item;;) {
    const absl::StatusOr<bool> next = (*stream)->Next(item);
    if (!next.ok()) return next.status();
    if (!*next) return absl::OkStatus();
    profile.Add(item);
    progress.At(**stream);
  }
}

}  // namespace

int RunTraceDiff(const TraceDiffOptions& options, std::ostream& out, std::ostream& err) {
  TraceProfile before(options.ignore_pids);
  TraceProfile after(options.ignore_pids);
  std::ostream* const progress_to = options.shows_progress ? &err : nullptr;
  for (const auto& [paths, profile] : {std::pair(&options.before, &before), std::pair(&options.after, &after)}) {
    if (const absl::Status read = Read(*paths, progress_to, *profile); !read.ok()) {
      err << "trace_diff: " << absl::Utf8SafeCHexEscape(ToUtf8(read.message())) << "\n";
      return kTraceDiffFailed;
    }
  }
  const TraceDifferences differences = Compare(before, after, options.comparison);
  const ComparedTrace named_before{NameOf(options.before), before};
  const ComparedTrace named_after{NameOf(options.after), after};
  out << (options.as_json ? DifferencesAsJson(named_before, named_after, differences)
                          : DifferencesAsText(named_before, named_after, differences, options.limit))
      << std::flush;
  if (!out.good()) {
    err << "trace_diff: the output takes no more bytes\n";
    return kTraceDiffFailed;
  }
  return differences.empty() ? kTraceDiffSame : kTraceDiffDifferent;
}

}  // namespace agentos
