// Whether a trace is all there, and what of it can be saved when it is not.
//
// Thread rule: free functions.
// Errors: those of TraceStream and of the file that is written.
//
//   absl::StatusOr<TraceVerdict> verdict = VerifyTrace({"/tmp/a.trace"});
//   absl::StatusOr<TraceVerdict> saved = RepairTrace("/tmp/a.trace", "/tmp/good.trace");

#ifndef AGENTOS_TOOLS_TRACE_CHECK_H_
#define AGENTOS_TOOLS_TRACE_CHECK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agentos/manager/trace_counts.h"

namespace agentos {

enum class TraceCondition : uint8_t {
  kClean,
  // The recorder says that something is missing.
  kLossy,
  // Something of what was written cannot be read.
  kCorrupt,
};

struct TraceVerdict {
  TraceCondition condition = TraceCondition::kClean;
  uint64_t operations = 0;
  uint64_t in_flight = 0;
  TraceCounts lost;
  uint64_t damaged_places = 0;
  // What is wrong, a line each.
  std::vector<std::string> problems;

  // "clean: 120 operations", and the problems.
  std::string ToString() const;
};

absl::StatusOr<TraceVerdict> VerifyTrace(const std::vector<std::string>& paths);

// Writes the good blocks of one file to another one, which must not be there. What is missing is a loss from then on.
absl::StatusOr<TraceVerdict> RepairTrace(const std::string& path, const std::string& repaired_path);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_CHECK_H_
