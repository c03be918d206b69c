// Memory that two processes share: a sealed memfd, passed as a descriptor and never as a name in a file system.
//
// Nobody can change the size of it once it is made, so that no reader is killed by a page that is gone, and nobody can take that
// back. Unless its maker grants writing, the kernel refuses every writable mapping but the maker's own.
//
// Thread rule: any thread; what the bytes mean between threads and processes is their users' business.
// Lifetime: the mapping goes with the object, the memory with the last mapping or descriptor of any process, however that dies.
// Units: bytes; sizes are rounded up to whole pages.
// Errors: Adopt answers FailedPrecondition for what is not sealed, InvalidArgument for another size, and closes the descriptor in
// any case. The rest is what the system refused, with the name of the call.
// Source: memfd_create(2), fcntl(2) (F_ADD_SEALS).
//
//   absl::StatusOr<std::unique_ptr<SharedMemory>> mine = SharedMemory::Create("frames", 1 << 20, SharedMemory::Others::kRead);
//   // send (*mine)->fd() over a Unix socket; over there:
//   auto theirs = SharedMemory::Adopt(received_fd, 1 << 20, SharedMemory::Others::kRead);

#ifndef AGENTOS_IPC_SHARED_MEMORY_H_
#define AGENTOS_IPC_SHARED_MEMORY_H_

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"

namespace agentos {

class SharedMemory {
 public:
  // What everybody but the maker may do with the memory.
  enum class Others { kRead, kReadAndWrite };

  static constexpr size_t kPageSize = 4096;
  static constexpr size_t kMaxSize = size_t{1} << 40;

  // Filled with zeros. `name` is what /proc/PID/maps shows.
  static absl::StatusOr<std::unique_ptr<SharedMemory>> Create(const char* name, size_t size, Others others);

  // Another process's memory, whose descriptor came over a socket. Takes the descriptor over.
  static absl::StatusOr<std::unique_ptr<SharedMemory>> Adopt(int fd, size_t size, Others others);

  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  char* data() const { return data_; }
  size_t size() const { return size_; }
  // To be passed on; of memory that was adopted -1.
  int fd() const { return fd_; }

 private:
  SharedMemory(char* data, size_t size, int fd) : data_(data), size_(size), fd_(fd) {}

  char* const data_;
  const size_t size_;
  const int fd_;
};

}  // namespace agentos

#endif  // AGENTOS_IPC_SHARED_MEMORY_H_
