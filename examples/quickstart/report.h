// What the quickstart tells at its end, as text.
//
// Thread rule: pure functions of plain values.

#ifndef AGENTOS_EXAMPLES_QUICKSTART_REPORT_H_
#define AGENTOS_EXAMPLES_QUICKSTART_REPORT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/examples/quickstart/process.h"
#include "agentos/examples/quickstart/read_tree.h"
#include "agentos/manager/io_uring_stats.h"

namespace agentos::quickstart {

// What the result file holds.
std::string FormatSummary(const std::string& directory, const TreeSummary& summary);

// One sentence on what was read, and the first failures below it.
std::string FormatRead(const TreeSummary& summary);

// "TCP echo     process 2 ...", or why it failed.
std::string FormatStep(const std::string& title, const absl::StatusOr<std::string>& outcome);

// The processes' tallies as a table, with their sum.
std::string FormatTallies(const std::vector<const Process*>& processes);

// How many entries went into the kernel at a time, and the manager's own statistics.
std::string FormatStats(const IoUringStats& stats);

// Whether the manager counted what the processes counted, and nothing is left under way.
absl::Status CheckBooks(const std::vector<const Process*>& processes, const IoUringStats& stats);

}  // namespace agentos::quickstart

#endif  // AGENTOS_EXAMPLES_QUICKSTART_REPORT_H_
