#include <sys/resource.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "agentos/executor/lane.h"

// Memory and files of processes that are registered with the lane's submission ring.

namespace agentos {

namespace {

std::string WhyNotRegistered(int error_number, const char* what) {
  switch (error_number) {
    case EOPNOTSUPP:
      return absl::StrCat("this executor has no registered ", what);
    case ENOSPC:
      return absl::StrCat("all places of a kernel ring for registered ", what, " are taken");
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
  if (number < 0) return pool->SetNotRegistered(WhyNotRegistered(-number, "memory"));
  pool->SetRegistered(number);
  ring.registrations.push_back({number, pool});
}

std::string Lane::RegisterFile(BoundRing& ring, int fd) {
  const int result = kernel_->AddFile(fd);
  if (result < 0) return WhyNotRegistered(-result, "files");
  ring.files.push_back(fd);
  return "";
}

void Lane::UnregisterFile(BoundRing& ring, int fd) {
  if (std::erase(ring.files, fd) > 0) kernel_->RemoveFile(fd);
}

}  // namespace agentos
