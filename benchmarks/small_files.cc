#include "agentos/benchmarks/small_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <random>
#include <string>
#include <vector>

namespace agentos::bench {

std::vector<size_t> SmallFileSizes(size_t count) {
  std::mt19937_64 random(20261122);
  std::uniform_int_distribution<size_t> size(kSmallestFile, kLargestFile);
  std::vector<size_t> sizes(count);
  for (size_t& each : sizes) each = size(random);
  return sizes;
}

std::vector<std::string> MakeSmallFileTree(const std::string& root, size_t count) {
  constexpr size_t kFilesPerDirectory = 100;
  std::vector<std::string> paths;
  paths.reserve(count);
  std::string directory;
  for (size_t i = 0; i < count; ++i) {
    if (i % kFilesPerDirectory == 0) {
      directory = root + "/d" + std::to_string(i / kFilesPerDirectory);
      if (mkdir(directory.c_str(), 0755) != 0) DieOfErrno(directory);
    }
    paths.push_back(directory + "/f" + std::to_string(i));
  }
  return paths;
}

void WriteWholeFile(const std::string& path, const char* data, size_t size) {
  const int fd = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0) DieOfErrno(path);
  size_t written = 0;
  while (written < size) {
    const ssize_t n = write(fd, data + written, size - written);
    if (n < 0) DieOfErrno(path);
    written += static_cast<size_t>(n);
  }
  close(fd);
}

SmallFiles::SmallFiles(Place place, size_t count) : dir_(place), paths_(MakeSmallFileTree(dir_.path(), count)) {
  const std::string content(kLargestFile, 'x');
  const std::vector<size_t> sizes = SmallFileSizes(count);
  for (size_t i = 0; i < count; ++i) {
    WriteWholeFile(paths_[i], content.data(), sizes[i]);
    total_bytes_ += sizes[i];
  }
  // Writeback during a measurement would be measured with it.
  sync();
}

}  // namespace agentos::bench
