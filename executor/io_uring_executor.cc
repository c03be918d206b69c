#include "agentos/executor/io_uring_executor.h"

#include "absl/strings/str_cat.h"
#include "agentos/executor/kernel_ring.h"

namespace agentos {

absl::StatusOr<std::unique_ptr<RingExecutor>> MakeIoUringExecutor(const RingExecutor::Options& options, IpcExchange* exchange) {
  KernelRing::Options kernel;
  kernel.entries = static_cast<unsigned>(options.ring_entries);
  kernel.single_issuer = options.threading == Threading::kOneThread;
  return RingExecutor::Create(
      options, [kernel]() -> absl::StatusOr<std::unique_ptr<SubmissionRing>> { return KernelRing::Create(kernel); }, exchange);
}

std::string DescribeIoUringExecutor(const RingExecutor& executor) {
  const std::string features = executor.Features();
  return absl::StrCat("io_uring_setup succeeded: ", executor.rings(), executor.rings() == 1 ? " kernel ring" : " kernel rings",
                      features.empty() ? "" : absl::StrCat(" with ", features));
}

}  // namespace agentos
