// The public interface from another workspace, through the narrow targets and without a test framework:
// a consumer who declares agentos_uring_deps() alone has none.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/submission_entry.h"

namespace {

void Expect(bool condition, const char* what) {
  if (!condition) {
    std::fprintf(stderr, "failed: %s\n", what);
    std::exit(1);
  }
}

}  // namespace

int main() {
  constexpr agentos::Pid kProcess = 7;
  constexpr uint64_t kUserData = 42;
  const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/file";
  std::ofstream(path) << "from the consumer";

  absl::StatusOr<std::unique_ptr<agentos::IoUringManager>> manager = agentos::IoUringManager::Create();
  Expect(manager.ok(), "a manager is made");
  Expect(!(*manager)->HasRing(kProcess), "no process has a ring at first");

  absl::StatusOr<agentos::Seq> seq =
      (*manager)->Submit(kProcess, agentos::SyscallSubmissionEntry::ReadFile(kProcess, path, kUserData));
  Expect(seq.ok() && *seq == 1, "the first entry is number 1");
  absl::StatusOr<agentos::SyscallCompletionEntry> entry = (*manager)->WaitCompletion(kProcess, *seq);
  Expect(entry.ok() && entry->status.is_success(), "the file is read");
  Expect(entry->user_data == kUserData, "user_data comes back");
  Expect(entry->result.TakeData() == "from the consumer", "the content is the file's");
  Expect((*manager)->DestroyRing(kProcess).ok(), "the ring goes away");
}
