// Starts a program with its standard input and outputs on pipes, in a process group of its own. Private to handlers/.
//
// Thread rule: any thread, but one that lives as long as the program shall: the kernel ends the program with it (PR_SET_PDEATHSIG).
// Lifetime: the caller reaps the program (waitid(2) on its pidfd).
// Errors: what kept it from starting: the call, its errno, and the program.
// Source: fork(2), execve(2), pidfd_open(2), prctl(2).

#ifndef AGENTOS_HANDLERS_PROGRAM_LAUNCHER_H_
#define AGENTOS_HANDLERS_PROGRAM_LAUNCHER_H_

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "agentos/handlers/async_task.h"
#include "agentos/ring/unique_fd.h"

namespace agentos::handlers_internal {

struct LaunchedProgram {
  pid_t process = 0;
  UniqueFd pidfd;
  // Our ends.
  UniqueFd input;
  UniqueFd output;
  UniqueFd error;
};

absl::StatusOr<LaunchedProgram> LaunchProgram(const ProcessRequest& request);

}  // namespace agentos::handlers_internal

#endif  // AGENTOS_HANDLERS_PROGRAM_LAUNCHER_H_
