// What trace_diff does: reads two traces and says what is different between them.
//
// Thread rule: free function; it reads the standard input when a path is "-".
// Errors: those of TraceStream are said on `err`, and the answer is kTraceDiffFailed.
//
//   TraceDiffOptions options{.before = {"good.trace"}, .after = {"bad.trace"}};
//   return RunTraceDiff(options, std::cout, std::cerr);

#ifndef AGENTOS_TOOLS_TRACE_DIFF_H_
#define AGENTOS_TOOLS_TRACE_DIFF_H_

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "agentos/tools/trace_comparison.h"

namespace agentos {

// Exit codes.
inline constexpr int kTraceDiffSame = 0;
inline constexpr int kTraceDiffDifferent = 1;
inline constexpr int kTraceDiffFailed = 2;

struct TraceDiffOptions {
  // The files of each, several when it was written to several.
  std::vector<std::string> before;
  std::vector<std::string> after;
  ComparisonOptions comparison;
  bool ignore_pids = false;
  bool as_json = false;
  // Of each kind of difference, in text; 0 is all.
  size_t limit = 20;
  // Says on `err` how far it is, once a second.
  bool shows_progress = false;
};

int RunTraceDiff(const TraceDiffOptions& options, std::ostream& out, std::ostream& err);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_DIFF_H_
