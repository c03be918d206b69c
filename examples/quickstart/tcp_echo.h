// A TCP connection through two rings: Accept in one, Connect in the other, and a message out and home.
//
// Thread rule: runs on the calling thread alone.
// Errors: why there was no echo. The answer otherwise is one line for people to read.
//
//   absl::StatusOr<std::string> line = EchoOverTcp(&server, &client);

#ifndef AGENTOS_EXAMPLES_QUICKSTART_TCP_ECHO_H_
#define AGENTOS_EXAMPLES_QUICKSTART_TCP_ECHO_H_

#include <string>

#include "absl/status/statusor.h"
#include "agentos/examples/quickstart/process.h"

namespace agentos::quickstart {

// `client` connects to `server` over the loopback interface, sends a message and gets it back. Socket, bind and listen are plain
// calls.
absl::StatusOr<std::string> EchoOverTcp(Process* server, Process* client);

}  // namespace agentos::quickstart

#endif  // AGENTOS_EXAMPLES_QUICKSTART_TCP_ECHO_H_
