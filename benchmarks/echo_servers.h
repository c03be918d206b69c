// The servers of the TCP echo: whatever comes in on a connection goes out on it again, whole and in order.
//
// Each serves with one thread, its library's own threads aside, and runs until its process is killed (echo_process.h): it returns
// only when it cannot go on, with the cause. A connection is closed once its peer has ended its side and has got everything back.
//
// Thread rule: one server in a process.
// Lifetime: `listener` stays open; a server may make it non-blocking.

#ifndef AGENTOS_BENCHMARKS_ECHO_SERVERS_H_
#define AGENTOS_BENCHMARKS_ECHO_SERVERS_H_

#include <cstddef>
#include <string>

#include "agentos/executor/executor_info.h"

namespace agentos::bench {

// What one receive takes at most.
inline constexpr size_t kEchoReceive = 256;

// Multishot accept and receive by liburing; `direct`: connections are direct descriptors, which have no place in the process's table.
std::string EchoByLiburing(int listener, bool direct);

std::string EchoByEpoll(int listener);

std::string EchoByLibuv(int listener);

std::string EchoByAsio(int listener);

std::string EchoByManager(int listener, ExecutorKind executor);

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_ECHO_SERVERS_H_
