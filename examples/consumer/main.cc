// Reads the files it is given through the ring of one process, and prints their sizes.

#include <cstdint>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "agentos/manager/io_uring_manager.h"

using agentos::IoUringManager;
using agentos::Seq;
using agentos::SyscallCompletionEntry;
using agentos::SyscallSubmissionEntry;

int main(int argc, char** argv) {
  constexpr agentos::Pid kProcess = 1;

  absl::StatusOr<std::unique_ptr<IoUringManager>> manager = IoUringManager::Create();
  if (!manager.ok()) {
    std::cerr << manager.status() << "\n";
    return 1;
  }

  std::vector<SyscallSubmissionEntry> batch;
  for (int i = 1; i < argc; ++i) {
    batch.push_back(SyscallSubmissionEntry::ReadFile(kProcess, argv[i], static_cast<uint64_t>(i)));
  }
  absl::StatusOr<std::vector<Seq>> seqs = (*manager)->SubmitBatch(kProcess, std::move(batch));
  if (!seqs.ok()) {
    std::cerr << seqs.status() << "\n";
    return 1;
  }

  int failures = 0;
  for (const Seq seq : *seqs) {
    absl::StatusOr<SyscallCompletionEntry> entry = (*manager)->WaitCompletion(kProcess, seq);
    if (!entry.ok()) {
      std::cerr << entry.status() << "\n";
      return 1;
    }
    std::cout << argv[entry->user_data] << ": ";
    if (entry->status.is_success()) {
      std::cout << entry->result.data().size() << " bytes\n";
    } else {
      std::cout << entry->status.error_message() << "\n";
      ++failures;
    }
  }
  return failures == 0 ? 0 : 1;
}
