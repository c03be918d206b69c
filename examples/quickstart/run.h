// The quickstart from its command line to its exit code.
//
// Thread rule: one at a time for a console; starts threads and has ended them when it returns.
//
//   return Run({argv + 1, argv + argc}, SurroundingsFromEnvironment(), {&std::cout, &std::cerr, isatty(STDERR_FILENO) == 1});

#ifndef AGENTOS_EXAMPLES_QUICKSTART_RUN_H_
#define AGENTOS_EXAMPLES_QUICKSTART_RUN_H_

#include <ostream>
#include <string>
#include <vector>

#include "agentos/examples/quickstart/arguments.h"

namespace agentos::quickstart {

inline constexpr int kExitDone = 0;
inline constexpr int kExitStepFailed = 1;
inline constexpr int kExitBadArguments = 2;

struct Console {
  std::ostream* out;
  std::ostream* err;
  bool err_is_terminal = false;
};

int Run(const std::vector<std::string>& words, const Surroundings& surroundings, const Console& console);

}  // namespace agentos::quickstart

#endif  // AGENTOS_EXAMPLES_QUICKSTART_RUN_H_
