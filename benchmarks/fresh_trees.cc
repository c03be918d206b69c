#include "agentos/benchmarks/fresh_trees.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <string>

#include "agentos/benchmarks/small_files.h"

namespace agentos::bench {
namespace {

void WaitForWriteback(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || syncfs(fd) != 0) DieOfErrno(path);
  close(fd);
}

}  // namespace

FreshTrees::FreshTrees(Place place, size_t count) : dir_(place), sizes_(SmallFileSizes(count)), content_(kLargestFile, 'x') {}

void FreshTrees::Next() {
  const std::string root = dir_.path() + "/t" + std::to_string(made_++);
  if (mkdir(root.c_str(), 0755) != 0) DieOfErrno(root);
  paths_ = MakeSmallFileTree(root, sizes_.size());
  if (!QuickMode()) WaitForWriteback(root);
}

bool FreshTrees::Whole() const {
  for (size_t i = 0; i < paths_.size(); ++i) {
    struct stat status;
    if (stat(paths_[i].c_str(), &status) != 0 || status.st_size != static_cast<off_t>(sizes_[i])) return false;
  }
  return !paths_.empty();
}

}  // namespace agentos::bench
