#include "agentos/ipc/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace agentos {

namespace {

// Of Linux 6.3, newer than the headers: the memory can never be executed.
constexpr unsigned kNoExecSeal = 0x0008U;

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

size_t WholePages(size_t size) {
  return (size + SharedMemory::kPageSize - 1) / SharedMemory::kPageSize * SharedMemory::kPageSize;
}

int MakeMemfd(const char* name) {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const int fd = memfd_create(name, kFlags | kNoExecSeal);
  return fd < 0 && errno == EINVAL ? memfd_create(name, kFlags) : fd;
}

bool Seal(int fd, SharedMemory::Others others) {
  if (others == SharedMemory::Others::kRead && fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | kSizeSeals) == 0) return true;
  // Before Linux 5.1 that others only read rests on them: this side keeps checking all that it reads.
  return fcntl(fd, F_ADD_SEALS, kSizeSeals) == 0;
}

absl::Status CheckSize(size_t size) {
  if (size > 0 && size <= SharedMemory::kMaxSize) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("shared memory of ", size, " bytes: 1 to ", SharedMemory::kMaxSize, " are possible"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SharedMemory>> SharedMemory::Create(const char* name, size_t size, Others others) {
  if (absl::Status status = CheckSize(size); !status.ok()) return status;
  size = WholePages(size);
  const int fd = MakeMemfd(name);
  if (fd < 0) return absl::ErrnoToStatus(errno, "memfd_create");
  absl::Cleanup close_fd = [fd] { close(fd); };
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) return absl::ErrnoToStatus(errno, "ftruncate of a memfd");
  void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return absl::ErrnoToStatus(errno, "mmap of a memfd");
  if (!Seal(fd, others)) {
    const int error = errno;
    munmap(memory, size);
    return absl::ErrnoToStatus(error, "F_ADD_SEALS");
  }
  std::move(close_fd).Cancel();
  return absl::WrapUnique(new SharedMemory(static_cast<char*>(memory), size, fd));
}

absl::StatusOr<std::unique_ptr<SharedMemory>> SharedMemory::Adopt(int fd, size_t size, Others others) {
  absl::Cleanup close_fd = [fd] { close(fd); };
  if (absl::Status status = CheckSize(size); !status.ok()) return status;
  size = WholePages(size);
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0) return absl::FailedPreconditionError("the peer's descriptor is no memfd: it cannot be sealed");
  if ((seals & kSizeSeals) != kSizeSeals) {
    return absl::FailedPreconditionError(
        "the peer's memory is not sealed: F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_SEAL are needed");
  }
  // After the seals: from here on the size stays what it is.
  struct stat about {};
  if (fstat(fd, &about) != 0) return absl::ErrnoToStatus(errno, "fstat of the peer's memory");
  if (static_cast<size_t>(about.st_size) != size) {
    return absl::InvalidArgumentError(absl::StrCat("the peer's memory has ", about.st_size, " bytes instead of ", size));
  }
  const int protection = others == Others::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
  void* const memory = mmap(nullptr, size, protection, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return absl::ErrnoToStatus(errno, "mmap of the peer's memory");
  return absl::WrapUnique(new SharedMemory(static_cast<char*>(memory), size, -1));
}

SharedMemory::~SharedMemory() {
  munmap(data_, size_);
  if (fd_ >= 0) close(fd_);
}

}  // namespace agentos
