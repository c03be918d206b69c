// trace_dump: the strace for rings. Its --help says what it does.
//
// Thread rule: one call at a time; it reads the standard input when a path is "-".
//
//   int main(int argc, char** argv) { return agentos::RunTraceDump(argc, argv, STDOUT_FILENO, std::cerr); }

#ifndef AGENTOS_TOOLS_TRACE_DUMP_H_
#define AGENTOS_TOOLS_TRACE_DUMP_H_

#include <ostream>

namespace agentos {

// Answers the exit code.
int RunTraceDump(int argc, const char* const* argv, int out_fd, std::ostream& err);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_DUMP_H_
