// What a replay did beside what was recorded.
//
// Thread rule: pure functions.

#ifndef AGENTOS_TOOLS_REPLAY_REPORT_H_
#define AGENTOS_TOOLS_REPLAY_REPORT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "agentos/tools/replay_plan.h"
#include "agentos/tools/replay_run.h"

namespace agentos {

// Whether both came to the same: both failed alike, or both succeeded with the same count and, as far as it was kept, the same bytes. A
// descriptor may have another number.
bool IsSameResult(const TracedOperation& recorded, const ReplayedOperation& replayed);

// How many operations cannot be replayed for which reason, with the first of each; "" when all can.
std::string ObstaclesAsText(const std::vector<PlannedOperation>& plan);

struct ReplayReport {
  size_t replayed = 0;
  size_t different = 0;
  std::string text;
};

// At most `limit` differences are listed; 0 is all.
ReplayReport MakeReplayReport(const std::vector<PlannedOperation>& plan, const std::vector<ReplayedOperation>& results,
                              size_t limit);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_REPLAY_REPORT_H_
