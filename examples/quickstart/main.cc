#include <unistd.h>

#include <iostream>

#include "agentos/examples/quickstart/arguments.h"
#include "agentos/examples/quickstart/run.h"

int main(int argc, char** argv) {
  return agentos::quickstart::Run({argv + 1, argv + argc}, agentos::quickstart::SurroundingsFromEnvironment(),
                                  {&std::cout, &std::cerr, isatty(STDERR_FILENO) == 1});
}
