// The executor that hands entries to the kernel's io_uring.
//
// Thread rule, lifetime: RingExecutor's.
// Errors: when io_uring is not to be had, a Status that names call, errno and remedy ("io_uring_setup: EPERM: seccomp or
// kernel.io_uring_disabled forbids it; ...").
// Source: io_uring(7).
//
//   absl::StatusOr<std::unique_ptr<RingExecutor>> executor = MakeIoUringExecutor({}, &exchange);

#ifndef AGENTOS_EXECUTOR_IO_URING_EXECUTOR_H_
#define AGENTOS_EXECUTOR_IO_URING_EXECUTOR_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agentos/executor/ipc_exchange.h"
#include "agentos/executor/ring_executor.h"

namespace agentos {

absl::StatusOr<std::unique_ptr<RingExecutor>> MakeIoUringExecutor(const RingExecutor::Options& options, IpcExchange* exchange);

// "io_uring_setup succeeded: 2 kernel rings with SUBMIT_ALL".
std::string DescribeIoUringExecutor(const RingExecutor& executor);

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_IO_URING_EXECUTOR_H_
