#include "agentos/tools/trace_stream.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace agentos {

namespace {

constexpr std::chrono::milliseconds kFollowPause{50};

struct Opened {
  std::unique_ptr<TraceBlocks> blocks;
  size_t number = 0;
  // What tells recordings apart: the header's first fields. Empty when there is none.
  std::string recording;
  uint64_t sequence = 0;
};

absl::StatusOr<Opened> OpenOne(const std::string& path, size_t number, bool follow) {
  Opened opened;
  opened.number = number;
  if (path == "-") {
    opened.blocks = TraceBlocks::FromFd(dup(STDIN_FILENO), "the standard input");
    return opened;
  }
  absl::StatusOr<std::unique_ptr<TraceBlocks>> blocks = TraceBlocks::Open(path, follow);
  if (!blocks.ok()) return blocks.status();
  opened.blocks = *std::move(blocks);
  std::optional<TraceBlock> first = opened.blocks->Peek();
  if (!first.has_value()) return opened;
  opened.sequence = first->sequence();
  absl::string_view bytes;
  proto::v1::TraceRecord record;
  if (first->Next(bytes) && record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) && record.has_header()) {
    const proto::v1::TraceHeader& header = record.header();
    opened.recording = absl::StrCat(header.os_pid(), " ", header.monotonic_ns(), " ", header.realtime_ns());
  }
  return opened;
}

int64_t TimeOf(const TraceItem& item) {
  struct Time {
    int64_t operator()(const TracedOperation& operation) const { return operation.queued_ns; }
    int64_t operator()(const TraceRingEvent& event) const { return event.time_ns; }
    int64_t operator()(const TraceDrop& drop) const { return drop.time_ns; }
    int64_t operator()(const TraceRefusal& refusal) const { return refusal.time_ns; }
    int64_t operator()(const TraceLoss& loss) const { return loss.time_ns; }
    int64_t operator()(const proto::v1::TraceHeader&) const { return 0; }
    int64_t operator()(const TraceDamage&) const { return 0; }
    int64_t operator()(const TraceUnknown&) const { return 0; }
  };
  return std::visit(Time(), item);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TraceStream>> TraceStream::Open(const std::vector<std::string>& paths,
                                                               TraceStreamOptions options) {
  if (paths.empty()) return absl::InvalidArgumentError("no trace file is named");
  const bool follows = options.follow_until != nullptr;
  std::map<std::string, std::vector<Opened>> recordings;
  for (size_t i = 0; i < paths.size(); ++i) {
    absl::StatusOr<Opened> opened = OpenOne(paths[i], i, follows);
    if (!opened.ok()) return opened.status();
    const uint64_t size = opened->blocks->size();
    if (paths[i] != "-" && !follows && opened->recording.empty()) {
      if (size == 0 && opened->blocks->is_regular()) {
        return absl::InvalidArgumentError(absl::StrCat(paths[i], " is empty: nothing was recorded to it"));
      }
      if (opened->blocks->is_regular() && !opened->blocks->Peek().has_value()) {
        return absl::InvalidArgumentError(absl::StrCat(
            paths[i], " is no trace file, or no block of it is whole; recordings are made with AGENTOS_URING_TRACE"));
      }
    }
    // One without a header belongs to nobody else.
    const std::string recording = opened->recording.empty() ? absl::StrCat("file ", i) : opened->recording;
    recordings[recording].push_back(*std::move(opened));
  }
  auto stream = std::unique_ptr<TraceStream>(new TraceStream(std::move(options)));
  for (auto& [name, files] : recordings) {
    std::stable_sort(files.begin(), files.end(), [](const Opened& a, const Opened& b) { return a.sequence < b.sequence; });
    // One number for all of them, so that a process which goes on in the next file stays one process.
    const size_t number = std::min_element(files.begin(), files.end(), [](const Opened& a, const Opened& b) {
                            return a.number < b.number;
                          })->number;
    std::vector<TraceRecording::File> in_order;
    for (Opened& file : files) in_order.push_back({std::move(file.blocks), number});
    Source source;
    source.recording = std::make_unique<TraceRecording>(std::move(in_order));
    if (!follows) source.recording->Finish();
    stream->sources_.push_back(std::move(source));
  }
  return stream;
}

absl::Status TraceStream::Fill(Source& source) {
  if (source.has_next || source.has_ended) return absl::OkStatus();
  absl::StatusOr<bool> next = source.recording->Next(source.next);
  if (!next.ok()) return next.status();
  source.has_next = *next;
  source.has_ended = !*next && options_.follow_until == nullptr;
  if (source.has_next) source.time_ns = Shifted(TimeOf(source.next), source.recording->realtime_offset_ns());
  return absl::OkStatus();
}

absl::StatusOr<bool> TraceStream::Next(TraceItem& item) {
  for (;;) {
    if (sources_.size() == 1 && options_.follow_until == nullptr) return sources_.front().recording->Next(item);
    Source* first = nullptr;
    for (Source& source : sources_) {
      if (absl::Status filled = Fill(source); !filled.ok()) return filled;
      if (source.has_next && (first == nullptr || source.time_ns < first->time_ns)) first = &source;
    }
    if (first != nullptr) {
      item = std::move(first->next);
      first->has_next = false;
      return true;
    }
    if (options_.follow_until == nullptr) return false;
    if (options_.follow_until()) {
      options_.follow_until = nullptr;
      for (Source& source : sources_) source.recording->Finish();
      continue;
    }
    std::this_thread::sleep_for(kFollowPause);
  }
}

uint64_t TraceStream::bytes_read() const {
  uint64_t bytes = 0;
  for (const Source& source : sources_) bytes += source.recording->bytes_read();
  return bytes;
}

uint64_t TraceStream::bytes() const {
  uint64_t bytes = 0;
  for (const Source& source : sources_) bytes += source.recording->bytes();
  return bytes;
}

}  // namespace agentos
