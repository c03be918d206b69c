#include "agentos/examples/quickstart/read_tree.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace agentos::quickstart {

namespace {

// A batch ends early when its files are this large together, so that big files do not pile up in memory.
constexpr uint64_t kBytesPerBatch = uint64_t{32} << 20;

// The walker as both threads share it.
struct SharedWalk {
  std::mutex mutex;
  DirectoryWalker* walker = nullptr;
  size_t batch = 0;
  Progress* progress = nullptr;
  std::atomic<bool> stop{false};

  std::vector<FoundFile> Next() {
    if (stop.load(std::memory_order_relaxed)) return {};
    const std::lock_guard<std::mutex> lock(mutex);
    return walker->Next(batch, kBytesPerBatch);
  }
};

uint64_t CountLines(absl::string_view text) {
  uint64_t lines = 0;
  while (!text.empty()) {
    const void* end = memchr(text.data(), '\n', text.size());
    if (end == nullptr) break;
    ++lines;
    text.remove_prefix(static_cast<size_t>(static_cast<const char*>(end) - text.data()) + 1);
  }
  return lines;
}

void Add(const SyscallCompletionEntry& done, const std::string& path, TreeSummary* summary) {
  if (done.status.is_success()) {
    ++summary->read;
    summary->bytes += done.result.data().size();
    summary->lines += CountLines(done.result.data());
  } else if (done.status.is_cancelled()) {
    summary->failures.Add(absl::StrCat("ReadFile(", path, "): cancelled, it did not end in time"));
  } else if (done.status.error_number() == EFBIG) {
    summary->failures.Add(absl::StrCat(done.status.error_message(), ", see --max-file"));
  } else {
    summary->failures.Add(done.status.error_message());
  }
}

absl::Status ReadThrough(Process* process, SharedWalk* walk, TreeSummary* summary) {
  for (std::vector<FoundFile> files = walk->Next(); !files.empty(); files = walk->Next()) {
    std::vector<SyscallSubmissionEntry> entries;
    entries.reserve(files.size());
    for (size_t i = 0; i < files.size(); ++i) {
      entries.push_back(SyscallSubmissionEntry::ReadFile(process->pid(), files[i].path, /*user_data=*/i));
    }
    absl::StatusOr<std::vector<SyscallCompletionEntry>> batch = process->RunBatch(std::move(entries));
    if (!batch.ok()) {
      walk->stop.store(true, std::memory_order_relaxed);
      return batch.status();
    }
    const uint64_t bytes_before = summary->bytes;
    for (const SyscallCompletionEntry& done : *batch) {
      // An empty path marks a file as dealt with; no file has one.
      Add(done, std::exchange(files[done.user_data].path, std::string()), summary);
    }
    for (const FoundFile& file : files) {
      if (!file.path.empty()) {
        summary->failures.Add(absl::StrCat("ReadFile(", file.path, "): ended neither in time nor when it was cancelled"));
      }
    }
    summary->found += files.size();
    walk->progress->files.fetch_add(files.size(), std::memory_order_relaxed);
    walk->progress->bytes.fetch_add(summary->bytes - bytes_before, std::memory_order_relaxed);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TreeSummary> ReadTree(DirectoryWalker* walker, Process* first, Process* second, size_t batch, Progress* progress) {
  const auto start = std::chrono::steady_clock::now();
  SharedWalk walk;
  walk.walker = walker;
  walk.batch = batch;
  walk.progress = progress;

  TreeSummary summary;
  TreeSummary others;
  absl::Status others_status;
  std::thread other([&] { others_status = ReadThrough(second, &walk, &others); });
  const absl::Status status = ReadThrough(first, &walk, &summary);
  other.join();
  if (!status.ok()) return status;
  if (!others_status.ok()) return others_status;

  summary.found += others.found;
  summary.read += others.read;
  summary.bytes += others.bytes;
  summary.lines += others.lines;
  summary.failures.Append(std::move(others.failures));
  summary.failures.Append(FailureList(walker->failures()));
  summary.elapsed = absl::FromChrono(std::chrono::steady_clock::now() - start);
  return summary;
}

}  // namespace agentos::quickstart
