#include <sys/resource.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "agentos/executor/lane.h"

// Memory of processes that is registered with the lane's submission ring.

namespace agentos {

namespace {

std::string WhyNotRegistered(int error_number) {
  switch (error_number) {
    case EOPNOTSUPP:
      return "this executor has no registered memory";
    case ENOSPC:
      return absl::StrCat("all ", SubmissionRing::kFixedBuffers - SubmissionRing::kOwnBuffers,
                          " places for registered memory of a kernel ring are taken");
    case ENOMEM: {
      rlimit limit = {};
      getrlimit(RLIMIT_MEMLOCK, &limit);
      return absl::StrCat("io_uring_register: ENOMEM: RLIMIT_MEMLOCK, ", limit.rlim_cur,
                          " bytes, is used up; raise it or register less");
    }
    default:
      return absl::StrCat("io_uring_register: ",
                          strerrorname_np(error_number) == nullptr ? "error" : strerrorname_np(error_number));
  }
}

}  // namespace

void Lane::Register(BoundRing& ring, const std::shared_ptr<RegisteredBufferPool>& pool) {
  const int number = kernel_->AddBuffer(pool->memory());
  if (number < 0) return pool->SetNotRegistered(WhyNotRegistered(-number));
  pool->SetRegistered(number);
  ring.registrations.push_back({number, pool});
}

}  // namespace agentos
