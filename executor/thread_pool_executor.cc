#include "agentos/executor/thread_pool_executor.h"

#include "absl/strings/str_cat.h"
#include "agentos/executor/thread_pools.h"
#include "agentos/executor/thread_ring.h"

namespace agentos {

absl::StatusOr<std::unique_ptr<RingExecutor>> MakeThreadPoolExecutor(const RingExecutor::Options& options,
                                                                     IpcExchange* exchange) {
  ThreadRing::Options ring;
  ring.entries = static_cast<unsigned>(options.ring_entries);
  const auto pools = std::make_shared<ThreadPools>();
  return RingExecutor::Create(
      options, [ring, pools]() -> absl::StatusOr<std::unique_ptr<SubmissionRing>> { return ThreadRing::Create(ring, pools); },
      exchange);
}

std::string DescribeThreadPoolExecutor(const RingExecutor& executor) {
  return absl::StrCat(executor.rings(), executor.rings() == 1 ? " ring" : " rings", " on ", executor.Features());
}

}  // namespace agentos
