// Which operations of a trace can be done again, and why the others cannot.
//
// A file that the trace opened is opened again, and what was done with its descriptor is done with the new one. What needs something
// that is not in the trace has an obstacle: a socket's peer, a descriptor that came from elsewhere, bytes that were not recorded.
// Without a root nothing is replayed that could change a file.
//
// Thread rule: pure functions.
//
//   for (const PlannedOperation& planned : PlanReplay(std::move(operations), options)) {
//     if (!planned.obstacle.empty()) ...
//   }

#ifndef AGENTOS_TOOLS_REPLAY_PLAN_H_
#define AGENTOS_TOOLS_REPLAY_PLAN_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "agentos/tools/trace_item.h"

namespace agentos {

struct ReplayRules {
  // Paths lie beneath the root: what writes is allowed.
  bool has_root = false;
  // Payloads that were not recorded are replaced by zeros of the same length.
  bool zero_payloads = false;
};

struct PlannedOperation {
  TracedOperation traced;
  // Empty: it can be replayed.
  std::string obstacle;
};

// In the order in which they were submitted. Operations that complete many times are there once.
std::vector<PlannedOperation> PlanReplay(std::vector<TracedOperation> operations, const ReplayRules& rules);

// A path as it is beneath a root: without a leading slash, "." and ".."; "" when it would leave the root, or is the root itself.
std::string PathBeneath(absl::string_view path);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_REPLAY_PLAN_H_
