#include "agentos/manager/trace_writer.h"

#include <glog/logging.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "agentos/executor/library_thread.h"
#include "agentos/ring/monotonic_clock.h"

namespace agentos {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLongestPause{20};
constexpr milliseconds kShortestPause{1};
// How long what happened may take to get into the file.
constexpr int64_t kFlushEveryNs = 100'000'000;
// A full disk fails with every block.
constexpr int64_t kReportEveryNs = 60'000'000'000;
// How many recordings may have the same path with a number behind it.
constexpr int kMostNumbers = 99;

uint64_t Now() { return static_cast<uint64_t>(MonotonicNanos()); }

// Paths that this process has recorded to: a second manager's trace must not take the place of the first one's.
bool TakePath(const std::string& path) {
  static std::mutex mutex;
  static auto* taken = new std::set<std::string>();
  std::lock_guard<std::mutex> lock(mutex);
  return taken->insert(path).second;
}

}  // namespace

TraceWriter::TraceWriter(TraceOptions options, TraceBuffers& buffers) : options_(std::move(options)), buffers_(buffers) {
  options_.path = absl::StrReplaceAll(options_.path, {{"%p", absl::StrCat(getpid())}});
}

absl::Status TraceWriter::Begin(std::string header, bool find_free_path) {
  header_ = std::move(header);
  if (options_.redact_paths) redactor_.emplace();
  if (options_.mode == TraceMode::kFlightRecorder) {
    memory_.emplace(options_.flight_records, Now());
    if (options_.dump_signal != 0) {
      absl::StatusOr<DumpSignal> signal = DumpSignal::Install(options_.dump_signal);
      if (!signal.ok()) return signal.status();
      signal_.emplace(*std::move(signal));
    }
  } else if (absl::Status opened = OpenStream(find_free_path); !opened.ok()) {
    return opened;
  }
  assembler_.emplace(sink(), redactor_.has_value() ? &*redactor_ : nullptr);
  pthread_t thread;
  if (!StartLibraryThread(&thread, &Run, this)) {
    return absl::ResourceExhaustedError("the trace's writer: the system has no more threads");
  }
  thread_ = thread;
  return absl::OkStatus();
}

absl::Status TraceWriter::OpenStream(bool find_free_path) {
  const std::string path = options_.path;
  for (int number = 1;; ++number) {
    if (number > 1) options_.path = absl::StrCat(path, "-", number);
    const bool last = !find_free_path || number == kMostNumbers;
    if (!TakePath(options_.path) && !last) continue;
    auto file = TraceFileWriter::Create({options_.path, options_.max_file_bytes, options_.keep}, header_, Now());
    if (file.ok()) {
      file_ = *std::move(file);
      return absl::OkStatus();
    }
    if (last || !absl::IsFailedPrecondition(file.status())) return file.status();
  }
}

TraceSink& TraceWriter::sink() {
  if (file_ != nullptr) return *file_;
  return *memory_;
}

TraceWriter::~TraceWriter() {
  if (thread_.has_value()) {
    {
      std::lock_guard<std::mutex> lock(stop_mutex_);
      stop_ = true;
    }
    stop_changed_.notify_one();
    pthread_join(*thread_, nullptr);
  }
  if (!assembler_.has_value()) return;
  std::lock_guard<std::mutex> lock(work_mutex_);
  Pass();
  assembler_->Finish(Now());
  if (file_ != nullptr) Report(file_->Finish());
}

void* TraceWriter::Run(void* self) {
  NameLibraryThread("agentos-trace");
  static_cast<TraceWriter*>(self)->Loop();
  return nullptr;
}

void TraceWriter::Loop() {
  milliseconds pause = kShortestPause;
  int64_t flushed_ns = MonotonicNanos();
  std::unique_lock<std::mutex> stop_lock(stop_mutex_);
  while (!stop_) {
    stop_lock.unlock();
    {
      std::lock_guard<std::mutex> lock(work_mutex_);
      const size_t fullest = Pass();
      // A buffer that fills by an eighth from one look to the next is looked at as often as can be.
      if (fullest > options_.thread_buffer_bytes / 8) {
        pause = milliseconds(0);
      } else if (fullest > options_.thread_buffer_bytes / 64) {
        pause = kShortestPause;
      } else {
        pause = std::clamp(2 * pause, kShortestPause, kLongestPause);
      }
      if (const int64_t now_ns = MonotonicNanos(); now_ns - flushed_ns >= kFlushEveryNs) {
        Report(FlushLocked());
        flushed_ns = now_ns;
      }
      if (WantsDump()) Report(DumpLocked());
    }
    stop_lock.lock();
    if (pause > milliseconds(0)) stop_changed_.wait_for(stop_lock, pause, [this] { return stop_; });
  }
}

size_t TraceWriter::Pass() {
  const uint64_t now_ns = Now();
  // Asked first: what is counted as lost by now happened before what is taken out later, and is said before it.
  const TraceCounts lost = buffers_.TakeLost();
  if (lost.any()) {
    lost_in_buffers_ += lost;
    Report(sink().AppendLoss(lost, now_ns));
  }
  const size_t fullest = buffers_.Drain([&](const char* event, size_t size) { assembler_->Add(event, size, now_ns); });
  assembler_->EndPass(now_ns);
  Report(assembler_->TakeError());
  return fullest;
}

absl::Status TraceWriter::FlushLocked() {
  assembler_->FlushUnderWay(Now());
  return file_ != nullptr ? file_->Flush() : absl::OkStatus();
}

bool TraceWriter::WantsDump() {
  if (!memory_.has_value()) return false;
  const bool slow = assembler_->TakeSlowest() > absl::ToInt64Nanoseconds(options_.dump_when_slower);
  if (signal_.has_value() && signal_->TakeArrived()) return true;
  return slow && (!has_dumped_ || memory_->records() >= options_.flight_records / 2);
}

absl::Status TraceWriter::DumpLocked() {
  if (absl::Status flushed = FlushLocked(); !flushed.ok()) return flushed;
  absl::Status written = memory_->WriteTo({.path = options_.path, .keep = options_.keep}, header_, Now());
  has_dumped_ = has_dumped_ || written.ok();
  return written;
}

absl::Status TraceWriter::Flush() {
  std::lock_guard<std::mutex> lock(work_mutex_);
  // Twice: an end waits for its beginning for a pass.
  Pass();
  Pass();
  return FlushLocked();
}

absl::Status TraceWriter::Dump() {
  if (!memory_.has_value()) {
    return absl::FailedPreconditionError(
        "only a flight recorder (TraceMode::kFlightRecorder) is dumped; a stream is in its file");
  }
  std::lock_guard<std::mutex> lock(work_mutex_);
  Pass();
  Pass();
  return DumpLocked();
}

TraceStats TraceWriter::Stats() {
  std::lock_guard<std::mutex> lock(work_mutex_);
  Pass();
  Pass();
  assembler_->FlushUnderWay(Now());
  TraceStats stats;
  stats.path = options_.path;
  stats.recorded = assembler_->recorded();
  stats.lost = lost_in_buffers_;
  if (file_ != nullptr) {
    stats.recorded -= file_->lost();
    stats.lost += file_->lost();
  } else {
    stats.forgotten = memory_->forgotten();
    stats.recorded -= stats.forgotten;
  }
  return stats;
}

void TraceWriter::Report(const absl::Status& status) {
  if (status.ok()) return;
  const int64_t now_ns = MonotonicNanos();
  if (reported_ns_ != 0 && now_ns - reported_ns_ < kReportEveryNs) return;
  reported_ns_ = now_ns;
  LOG(WARNING) << status.message() << "; what cannot be written is counted and left out";
}

}  // namespace agentos
