#include <unistd.h>

#include <iostream>

#include "agentos/tools/command_line.h"
#include "agentos/tools/trace_diff.h"
#include "agentos/tools/trace_diff_command.h"

int main(int argc, char** argv) {
  agentos::TraceDiffOptions options;
  const agentos::CommandLine::Outcome outcome = agentos::ParseTraceDiff(argc, argv, options);
  if (outcome.exit_code.has_value()) return outcome.Print();
  options.shows_progress = isatty(STDERR_FILENO) == 1;
  return agentos::RunTraceDiff(options, std::cout, std::cerr);
}
