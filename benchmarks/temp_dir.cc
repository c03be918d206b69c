#include "agentos/benchmarks/temp_dir.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>

namespace agentos::bench {
namespace {

std::string MakeUnique(const std::string& parent) {
  std::string path = parent + "/agentos_bench.XXXXXX";
  if (mkdtemp(path.data()) == nullptr) DieOfErrno(path);
  return path;
}

// Asks the file system to place each directory made in `path` apart from it. Only ext2 to ext4 know how.
void SpreadSubdirectories(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) DieOfErrno(path);
  int flags = 0;
  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
    flags |= FS_TOPDIR_FL;
    (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
  }
  close(fd);
}

}  // namespace

void DieOfErrno(const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

TempDir::TempDir(Place place)
    : keep_(place == Place::kDisk && std::getenv("AGENTOS_BENCH_KEEP") != nullptr), outer_(MakeUnique(RootOf(place))) {
  SpreadSubdirectories(outer_);
  // The group follows from the name, which must be another one each time.
  path_ = MakeUnique(outer_);
}

TempDir::~TempDir() {
  if (keep_) return;
  std::error_code ignored;
  std::filesystem::remove_all(outer_, ignored);
}

}  // namespace agentos::bench
