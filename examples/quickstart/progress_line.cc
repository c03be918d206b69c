#include "agentos/examples/quickstart/progress_line.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/examples/quickstart/format.h"

namespace agentos::quickstart {

namespace {

constexpr std::chrono::milliseconds kTerminalInterval(200);
constexpr char kWipeLine[] = "\r\x1b[K";

}  // namespace

ProgressLine::ProgressLine(std::ostream* out, bool is_terminal, const Progress* progress, std::chrono::milliseconds first)
    : out_(out), is_terminal_(is_terminal), progress_(progress), first_(first), thread_([this] { Run(); }) {}

ProgressLine::~ProgressLine() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void ProgressLine::Run() {
  const auto start = std::chrono::steady_clock::now();
  auto next = start + first_;
  bool written = false;
  std::unique_lock<std::mutex> lock(mutex_);
  while (!wake_.wait_until(lock, next, [this] { return stop_; })) {
    const auto elapsed = std::chrono::steady_clock::now() - start;
    Write(elapsed);
    written = true;
    // A log that grows by the logarithm of the time stays readable.
    next += is_terminal_ ? std::chrono::steady_clock::duration(kTerminalInterval) : elapsed;
  }
  if (written && is_terminal_) *out_ << kWipeLine << std::flush;
}

void ProgressLine::Write(std::chrono::steady_clock::duration elapsed) {
  const std::string text =
      absl::StrCat("reading: ", WithSeparators(progress_->files.load(std::memory_order_relaxed)), " files, ",
                   HumanBytes(progress_->bytes.load(std::memory_order_relaxed)), ", ", HumanDuration(absl::FromChrono(elapsed)));
  if (is_terminal_) {
    *out_ << kWipeLine << text << std::flush;
  } else {
    *out_ << text << std::endl;
  }
}

}  // namespace agentos::quickstart
