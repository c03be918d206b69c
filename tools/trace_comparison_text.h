// Says what Compare found: as text for people, or as JSON.
//
// Thread rule: pure functions.
//
//   std::cout << DifferencesAsText({"a.trace", before}, {"b.trace", after}, differences, /*limit=*/20);

#ifndef AGENTOS_TOOLS_TRACE_COMPARISON_TEXT_H_
#define AGENTOS_TOOLS_TRACE_COMPARISON_TEXT_H_

#include <cstddef>
#include <string>

#include "agentos/tools/trace_comparison.h"

namespace agentos {

struct ComparedTrace {
  std::string name;
  const TraceProfile& profile;
};

// At most `limit` lines of each kind of difference, and how many more there are; 0 is no limit. Nothing that a trace holds reaches
// a terminal as a control character.
std::string DifferencesAsText(const ComparedTrace& before, const ComparedTrace& after, const TraceDifferences& differences,
                              size_t limit);

// One object: "before" and "after" {"name", "operations", "complete", "beyond_limit"}; "same"; "changed" [{"pid", "operation",
// "target", "from", "to", "count", "of", "first"}]; "slower" [{"operation", "target", "median_before_ns", "median_after_ns",
// "calls_before", "calls_after"}]; "appeared" and "vanished" [{"pid", "operation", "target", "before", "after"}]. Without "pid" when pids
// were ignored. Everything is listed.
std::string DifferencesAsJson(const ComparedTrace& before, const ComparedTrace& after, const TraceDifferences& differences);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_COMPARISON_TEXT_H_
