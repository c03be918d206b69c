#include "agentos/examples/quickstart/directory_walker.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace agentos::quickstart {

DirectoryWalker::DirectoryWalker(std::string root, Skip skip) : root_(std::move(root)), skip_(skip), unvisited_{root_} {}

std::vector<FoundFile> DirectoryWalker::Next(size_t max_files, uint64_t max_bytes) {
  std::vector<FoundFile> files;
  uint64_t bytes = 0;
  while (files.size() < max_files && bytes < max_bytes) {
    if (current_ == nullptr && !OpenNextDirectory()) break;
    errno = 0;
    const dirent* entry = readdir(current_.get());
    if (entry == nullptr) {
      if (errno != 0) AddFailure(current_path_, errno);
      current_.reset();
      continue;
    }
    const size_t before = files.size();
    Visit(*entry, &files);
    if (files.size() > before) bytes += files.back().size;
  }
  return files;
}

bool DirectoryWalker::OpenNextDirectory() {
  while (!unvisited_.empty()) {
    current_path_ = std::move(unvisited_.back());
    unvisited_.pop_back();
    const int no_follow = current_path_ == root_ ? 0 : O_NOFOLLOW;
    const int fd = open(current_path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | no_follow);
    if (fd < 0) {
      AddFailure(current_path_, errno);
      continue;
    }
    current_.reset(fdopendir(fd));
    if (current_ != nullptr) return true;
    AddFailure(current_path_, errno);
    close(fd);
  }
  return false;
}

void DirectoryWalker::Visit(const dirent& entry, std::vector<FoundFile>* files) {
  const absl::string_view name = entry.d_name;
  if (name == "." || name == ".." || IsSkipped(name)) return;
  if (entry.d_type != DT_REG && entry.d_type != DT_DIR && entry.d_type != DT_UNKNOWN) return;

  std::string path = absl::StrCat(current_path_, absl::EndsWith(current_path_, "/") ? "" : "/", name);
  // A ring refuses such a path, and the whole batch with it.
  if (path.size() >= PATH_MAX) return AddFailure(path, ENAMETOOLONG);
  if (entry.d_type == DT_DIR) {
    unvisited_.push_back(std::move(path));
    return;
  }
  struct stat status;
  if (fstatat(dirfd(current_.get()), entry.d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) return AddFailure(path, errno);
  if (S_ISDIR(status.st_mode)) {
    unvisited_.push_back(std::move(path));
  } else if (S_ISREG(status.st_mode)) {
    files->push_back({std::move(path), static_cast<uint64_t>(status.st_size)});
  }
}

bool DirectoryWalker::IsSkipped(absl::string_view name) const {
  return skip_ == Skip::kVersionControlAndBuildOutput && (name == ".git" || absl::StartsWith(name, "bazel-"));
}

void DirectoryWalker::AddFailure(const std::string& path, int error_number) {
  failures_.Add(absl::StrCat("listing ", path, ": ", strerror(error_number)));
}

}  // namespace agentos::quickstart
