// What else goes through a ring, one function per thing: a file that is written, a message, an error. tcp_echo.h has one more.
//
// Thread rule: each runs on the calling thread alone.
// Errors: why the step did not do what it is there to show. The answer otherwise is one line for people to read.
//
//   absl::StatusOr<std::string> line = PassMessage(&first, &second);

#ifndef AGENTOS_EXAMPLES_QUICKSTART_STEPS_H_
#define AGENTOS_EXAMPLES_QUICKSTART_STEPS_H_

#include <string>

#include "absl/status/statusor.h"
#include "agentos/examples/quickstart/process.h"

namespace agentos::quickstart {

// `writer` writes `content` to the file at `path`, `reader` reads it back.
absl::StatusOr<std::string> WriteResult(Process* writer, Process* reader, const std::string& path, const std::string& content);

// `sender` sends a message to `receiver`, from ring to ring.
absl::StatusOr<std::string> PassMessage(Process* sender, Process* receiver);

// `process` reads a path that does not exist; the answer is the error that its completion holds.
absl::StatusOr<std::string> ShowError(Process* process);

}  // namespace agentos::quickstart

#endif  // AGENTOS_EXAMPLES_QUICKSTART_STEPS_H_
