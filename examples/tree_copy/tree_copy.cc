#include "agentos/examples/tree_copy/tree_copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agentos/handlers/copy_file.h"
#include "agentos/handlers/when_all.h"

namespace agentos {

namespace {

// Smaller files are read and written whole.
constexpr off_t kLarge = 1 << 20;
// Batches that are listed before the first one is copied.
constexpr size_t kGather = 8;
constexpr size_t kSpread = 128;
// What WriteFile makes new files with, before the umask.
constexpr mode_t kNewFileMode = 0644;

struct FileToCopy {
  std::string from;
  std::string to;
  mode_t mode;
  off_t size;
};

std::string ErrnoText(int error_number) { return std::strerror(error_number); }

class TreeCopy {
 public:
  TreeCopy(AsyncRing& ring, TreeCopyOptions options) : ring_(ring), options_(std::move(options)), umask_(umask(0)) {
    umask(umask_);
  }

  Task<TreeCopyResult> Run(std::string from, std::string to) {
    struct stat status {};
    if (stat(from.c_str(), &status) != 0) co_return Fail(absl::ErrnoToStatus(errno, from));
    if (!S_ISDIR(status.st_mode)) co_return Fail(absl::FailedPreconditionError(absl::StrCat(from, " is not a directory")));
    std::error_code ignored;
    const std::filesystem::path inner = std::filesystem::weakly_canonical(to, ignored);
    const std::filesystem::path outer = std::filesystem::weakly_canonical(from, ignored);
    if (std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end()) {
      co_return Fail(absl::InvalidArgumentError(absl::StrCat("cannot copy ", from, " into itself, ", to)));
    }
    directories_.push_back({from, to, status.st_mode, 0});
    while (!directories_.empty()) {
      while (!directories_.empty() && files_.size() < kGather * options_.parallel) {
        const FileToCopy directory = std::move(directories_.back());
        directories_.pop_back();
        if (MakeDirectory(directory)) List(directory);
      }
      SpreadFiles();
      while (!files_.empty()) {
        if (options_.stop.stop_requested()) co_return Fail(absl::CancelledError("stopped"));
        co_await CopyBatch();
      }
    }
    // Last, so that directories nobody may write to can be filled.
    for (const FileToCopy& directory : made_) SetMode(directory);
    co_return std::move(result_);
  }

 private:
  TreeCopyResult Fail(const absl::Status& status) {
    result_.status = status;
    return std::move(result_);
  }

  void Problem(const std::string& path, absl::string_view what) { result_.problems.push_back(absl::StrCat(path, ": ", what)); }

  bool MakeDirectory(const FileToCopy& directory) {
    if (mkdir(directory.to.c_str(), 0700) != 0 && errno != EEXIST) {
      Problem(directory.to, ErrnoText(errno));
      return false;
    }
    made_.push_back(directory);
    ++result_.directories;
    return true;
  }

  // Notes what a directory holds. Its calls are short: a ring has none for them.
  void List(const FileToCopy& directory) {
    const std::unique_ptr<DIR, int (*)(DIR*)> listing(opendir(directory.from.c_str()), &closedir);
    if (listing == nullptr) return Problem(directory.from, ErrnoText(errno));
    while (const dirent* entry = readdir(listing.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      FileToCopy file = {absl::StrCat(directory.from, "/", name), absl::StrCat(directory.to, "/", name), 0, 0};
      struct stat status {};
      if (fstatat(dirfd(listing.get()), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        Problem(file.from, ErrnoText(errno));
        continue;
      }
      file.mode = status.st_mode;
      file.size = status.st_size;
      if (S_ISDIR(status.st_mode)) {
        directories_.push_back(std::move(file));
      } else if (S_ISREG(status.st_mode)) {
        files_.push_back(std::move(file));
      } else if (S_ISLNK(status.st_mode)) {
        CopyLink(file);
      } else {
        Problem(file.from, "skipped: neither a file nor a directory nor a link");
      }
    }
  }

  void CopyLink(const FileToCopy& link) {
    std::error_code error;
    const std::filesystem::path target = std::filesystem::read_symlink(link.from, error);
    if (!error) {
      unlink(link.to.c_str());
      std::filesystem::create_symlink(target, link.to, error);
    }
    if (error) return Problem(link.from, error.message());
    ++result_.links;
  }

  // Takes neighbours apart: two that make files in the same directory wait for its lock.
  void SpreadFiles() {
    std::vector<FileToCopy> spread;
    spread.reserve(files_.size());
    for (size_t first = 0; first < kSpread; ++first) {
      for (size_t i = first; i < files_.size(); i += kSpread) spread.push_back(std::move(files_[i]));
    }
    files_ = std::move(spread);
  }

  Task<void> CopyBatch() {
    const size_t count = std::min(files_.size(), options_.parallel);
    std::vector<Task<void>> copies;
    copies.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      copies.push_back(CopyOne(std::move(files_.back())));
      files_.pop_back();
    }
    co_await WhenAll(std::move(copies));
    if (options_.progress) options_.progress(result_);
  }

  Task<void> CopyOne(FileToCopy file) {
    uint64_t bytes = 0;
    if (file.size >= kLarge) {
      const CopyResult copied = co_await CopyFile(ring_, file.from, file.to, {.stop = options_.stop});
      if (!copied.status.ok()) {
        Problem(file.from, copied.status.message());
        co_return;
      }
      bytes = copied.bytes;
    } else {
      SyscallCompletionEntry read = co_await ring_.ReadFile(file.from);
      if (!read.status.is_success()) {
        Problem(file.from, read.status.error_message());
        co_return;
      }
      const SyscallCompletionEntry written = co_await ring_.WriteFile(file.to, read.result.TakeBytes());
      if (!written.status.is_success()) {
        Problem(file.to, written.status.error_message());
        co_return;
      }
      bytes = static_cast<uint64_t>(written.result.value());
    }
    if ((file.mode & 0777 & ~umask_) != (kNewFileMode & ~umask_)) SetMode(file);
    ++result_.files;
    result_.bytes += bytes;
  }

  void SetMode(const FileToCopy& file) {
    if (chmod(file.to.c_str(), file.mode & 0777 & ~umask_) != 0) Problem(file.to, ErrnoText(errno));
  }

  AsyncRing& ring_;
  const TreeCopyOptions options_;
  const mode_t umask_;
  std::vector<FileToCopy> directories_;
  std::vector<FileToCopy> files_;
  // Directories whose permission bits are still to be set.
  std::vector<FileToCopy> made_;
  TreeCopyResult result_;
};

}  // namespace

Task<TreeCopyResult> CopyTree(AsyncRing& ring, std::string from, std::string to, TreeCopyOptions options) {
  options.parallel = std::max<size_t>(1, options.parallel);
  TreeCopy copy(ring, std::move(options));
  Task<TreeCopyResult> run = copy.Run(std::move(from), std::move(to));
  co_return co_await run;
}

}  // namespace agentos
