#include "agentos/benchmarks/whole_file_peers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "agentos/benchmarks/small_files.h"

namespace agentos::bench {
namespace {

// Per thread and touched once: neither allocation nor page faults belong to the measurement.
char* Buffer() {
  thread_local std::string buffer(kLargestFile, '\1');
  return buffer.data();
}

}  // namespace

int64_t ReadByThreeCalls(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const ssize_t count = read(fd, Buffer(), kLargestFile);
  close(fd);
  return count;
}

int64_t ReadByFourCalls(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  struct stat status;
  const bool fits = fstat(fd, &status) == 0 && static_cast<size_t>(status.st_size) <= kLargestFile;
  const ssize_t count = fits ? read(fd, Buffer(), static_cast<size_t>(status.st_size)) : -1;
  close(fd);
  return count;
}

int64_t CreateByThreeCalls(const std::string& path, const char* data, size_t size) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return -1;
  const ssize_t count = write(fd, data, size);
  close(fd);
  return count;
}

}  // namespace agentos::bench
