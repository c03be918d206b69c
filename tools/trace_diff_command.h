// The command line of trace_diff.
//
// Thread rule: free function.
// Errors: exit code 2 with a message that names what is wrong and what is right.
//
//   TraceDiffOptions options;
//   const CommandLine::Outcome outcome = ParseTraceDiff(argc, argv, options);
//   if (outcome.exit_code.has_value()) return outcome.Print();
//   return RunTraceDiff(options, std::cout, std::cerr);

#ifndef AGENTOS_TOOLS_TRACE_DIFF_COMMAND_H_
#define AGENTOS_TOOLS_TRACE_DIFF_COMMAND_H_

#include "agentos/tools/command_line.h"
#include "agentos/tools/trace_diff.h"

namespace agentos {

// What the command line asks for; when the outcome has an exit code there is nothing to run.
CommandLine::Outcome ParseTraceDiff(int argc, const char* const* argv, TraceDiffOptions& options);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_DIFF_COMMAND_H_
