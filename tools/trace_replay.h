// trace_replay: does again what a trace says was done, and compares. Its --help says how.
//
// Thread rule: one call at a time.

#ifndef AGENTOS_TOOLS_TRACE_REPLAY_H_
#define AGENTOS_TOOLS_TRACE_REPLAY_H_

#include <ostream>

namespace agentos {

// Answers the exit code.
int RunTraceReplay(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_REPLAY_H_
