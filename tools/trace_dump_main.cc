#include <unistd.h>

#include <iostream>

#include "agentos/tools/trace_dump.h"

int main(int argc, char** argv) { return agentos::RunTraceDump(argc, argv, STDOUT_FILENO, std::cerr); }
