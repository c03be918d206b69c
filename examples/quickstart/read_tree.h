// Reads every file that a walker finds, in batches, through the rings of two processes at once.
//
//     walker --next batch--> thread of process 1 --SubmitBatch--> its ring --WaitCompletions--> tally
//        \-----next batch--> thread of process 2 --SubmitBatch--> its ring --WaitCompletions--> tally
//
// Each thread takes the next batch when it is done with its last, so neither waits for the other, and the contents of at most two
// batches are in memory.
//
// Thread rule: ReadTree runs on the calling thread and one more, which has ended when it returns.
// Errors: what stops a ring from being used. A file that cannot be read is counted and listed in the summary.
//
//   absl::StatusOr<TreeSummary> summary = ReadTree(&walker, &first, &second, /*batch=*/64, &progress);

#ifndef AGENTOS_EXAMPLES_QUICKSTART_READ_TREE_H_
#define AGENTOS_EXAMPLES_QUICKSTART_READ_TREE_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentos/examples/quickstart/directory_walker.h"
#include "agentos/examples/quickstart/failure_list.h"
#include "agentos/examples/quickstart/process.h"
#include "agentos/examples/quickstart/progress_line.h"

namespace agentos::quickstart {

struct TreeSummary {
  // Files found; those that could not be read included.
  uint64_t found = 0;
  uint64_t read = 0;
  uint64_t bytes = 0;
  uint64_t lines = 0;
  // Files that could not be read and directories that could not be listed.
  FailureList failures;
  absl::Duration elapsed;
};

absl::StatusOr<TreeSummary> ReadTree(DirectoryWalker* walker, Process* first, Process* second, size_t batch, Progress* progress);

}  // namespace agentos::quickstart

#endif  // AGENTOS_EXAMPLES_QUICKSTART_READ_TREE_H_
