// Appends records to a journal and flushes it to the disk: after every record, or after so many as the argument says. The program
// that docs/tracing.md finds the cause in.
//
//   ./bazelw run //examples:journal -- 1
//   ./bazelw run //examples:journal -- 50

#include <fcntl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/bytes.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/submission_entry.h"

namespace {

using Entry = agentos::SyscallSubmissionEntry;

constexpr agentos::Pid kWriter = 1;
constexpr size_t kRecords = 400;
constexpr size_t kRecordBytes = 4096;

absl::Status WriteJournal(agentos::IoUringManager& manager, const std::string& path, size_t records_per_flush) {
  const auto run = [&](Entry entry) -> absl::StatusOr<int64_t> {
    absl::StatusOr<agentos::Seq> seq = manager.Submit(kWriter, std::move(entry));
    if (!seq.ok()) return seq.status();
    absl::StatusOr<agentos::SyscallCompletionEntry> done = manager.WaitCompletion(kWriter, *seq);
    if (!done.ok()) return done.status();
    if (!done->status.is_success()) return done->status.ToStatus();
    return done->result.value();
  };
  absl::StatusOr<int64_t> fd = run(Entry::Open(kWriter, path, O_WRONLY | O_CREAT | O_TRUNC, 0600, 0));
  if (!fd.ok()) return fd.status();
  const int journal = static_cast<int>(*fd);
  for (size_t i = 0; i < kRecords; i += records_per_flush) {
    // What a flush shall cover is linked to it: it begins when all of it has been written.
    std::vector<Entry> batch;
    for (size_t j = i; j < std::min(i + records_per_flush, kRecords); ++j) {
      batch.push_back(Entry::Write(kWriter, journal, agentos::Bytes(std::string(kRecordBytes, 'r')),
                                   static_cast<int64_t>(j * kRecordBytes), j)
                          .WithLink());
    }
    batch.push_back(Entry::Fsync(kWriter, journal, kRecords));
    const size_t count = batch.size();
    absl::StatusOr<std::vector<agentos::Seq>> seqs = manager.SubmitBatch(kWriter, std::move(batch));
    if (!seqs.ok()) return seqs.status();
    absl::StatusOr<std::vector<agentos::SyscallCompletionEntry>> done =
        manager.WaitCompletions(kWriter, count, count, absl::Seconds(30));
    if (!done.ok()) return done.status();
    for (const agentos::SyscallCompletionEntry& each : *done) {
      if (!each.status.is_success()) return each.status.ToStatus();
    }
  }
  return run(Entry::Close(kWriter, journal, 0)).status();
}

}  // namespace

int main(int argc, char** argv) {
  size_t records_per_flush = 1;
  if (argc > 2 ||
      (argc == 2 && (!absl::SimpleAtoi(argv[1], &records_per_flush) || records_per_flush < 1 || records_per_flush > 200))) {
    std::cerr << "usage: journal [RECORDS_PER_FLUSH, 1 to 200]\n";
    return 2;
  }
  auto manager = agentos::IoUringManager::Create();
  if (!manager.ok()) {
    std::cerr << manager.status() << "\n";
    return 1;
  }
  const std::string path = absl::StrCat(std::filesystem::temp_directory_path().string(), "/agentos_journal.log");
  const absl::Time begin = absl::Now();
  const absl::Status status = WriteJournal(**manager, path, records_per_flush);
  std::filesystem::remove(path);
  if (!status.ok()) {
    std::cerr << status << "\n";
    return 1;
  }
  std::cout << kRecords << " records in " << absl::Now() - begin << "\n";
}
