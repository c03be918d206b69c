#include <iostream>

#include "agentos/tools/trace_replay.h"

int main(int argc, char** argv) { return agentos::RunTraceReplay(argc, argv, std::cout, std::cerr); }
