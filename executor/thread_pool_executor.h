// The executor for hosts that refuse io_uring: plain system calls, made at once where they cannot wait, by epoll where they wait
// for an fd, and by a bounded number of threads otherwise.
//
// Thread rule, lifetime: RingExecutor's.
// Errors: a Status naming call and errno, when descriptors or threads have run out.
//
//   absl::StatusOr<std::unique_ptr<RingExecutor>> executor = MakeThreadPoolExecutor({}, &exchange);

#ifndef AGENTOS_EXECUTOR_THREAD_POOL_EXECUTOR_H_
#define AGENTOS_EXECUTOR_THREAD_POOL_EXECUTOR_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agentos/executor/ipc_exchange.h"
#include "agentos/executor/ring_executor.h"

namespace agentos {

absl::StatusOr<std::unique_ptr<RingExecutor>> MakeThreadPoolExecutor(const RingExecutor::Options& options, IpcExchange* exchange);

// "2 rings on epoll, 4 file threads, ...".
std::string DescribeThreadPoolExecutor(const RingExecutor& executor);

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_THREAD_POOL_EXECUTOR_H_
