#include <fcntl.h>
#include <limits.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>

#include "agentos/executor/file_path.h"
#include "agentos/executor/plain_file_steps.h"

// WriteFile with options. Both need the directory that holds the file itself: to put another file beside it, and to flush its
// name.

namespace agentos::executor_internal {

namespace {

// As the kernel's own limit.
constexpr int kMostLinks = 40;
constexpr int kMostNames = 16;
// What an old file hands down to the one that replaces it.
constexpr mode_t kPermissions = 0777;

class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  ~OwnedFd() { Reset(-1); }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;

  void Reset(int fd) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }
  int Release() { return std::exchange(fd_, -1); }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

// The directory that holds a file itself, and the file's name in there.
struct Place {
  OwnedFd directory;
  char name[NAME_MAX + 1];
};

int Flush(int fd) {
  while (fsync(fd) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

bool IsDirectoryName(const char* name) { return name[0] == '\0' || std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0; }

// Follows the links that a path ends with, so that what is found is the file. Allocates nothing. 0 or an errno.
int Find(const FilePath& file, int directory_flags, Place& place) {
  char path[PATH_MAX];
  if (std::strlen(file.path) >= sizeof(path)) return ENAMETOOLONG;
  std::strcpy(path, file.path);
  FilePath whole = file;
  whole.path = path;
  for (int links = 0; links < kMostLinks; ++links) {
    char* const slash = std::strrchr(path, '/');
    char* const name = slash == nullptr ? path : slash + 1;
    if (IsDirectoryName(name)) {
      const OwnedFd found(OpenRetrying(whole, O_PATH | O_CLOEXEC));
      // As open(2) with O_CREAT says of "missing/".
      if (found.get() < 0 && (found.get() != -ENOENT || *name != '\0')) return -found.get();
      return EISDIR;
    }
    if (std::strlen(name) > NAME_MAX) return ENAMETOOLONG;
    std::strcpy(place.name, name);

    *name = '\0';
    FilePath directory = file;
    directory.path = path[0] == '\0' ? "." : path;
    const int fd = OpenRetrying(directory, directory_flags | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -fd;
    place.directory.Reset(fd);
    *name = place.name[0];

    char link[PATH_MAX];
    const ssize_t length = readlinkat(fd, place.name, link, sizeof(link));
    if (length < 0) return errno == EINVAL || errno == ENOENT ? 0 : errno;
    // Whether this link may be followed is the kernel's to say (fs.protected_symlinks, loops); where it leads need not exist.
    const OwnedFd target(OpenRetrying(whole, O_PATH | O_CLOEXEC));
    if (target.get() < 0 && target.get() != -ENOENT) return -target.get();
    const size_t before = link[0] == '/' ? 0 : static_cast<size_t>(name - path);
    if (before + static_cast<size_t>(length) >= sizeof(path)) return ENAMETOOLONG;
    std::memcpy(path + before, link, static_cast<size_t>(length));
    path[before + static_cast<size_t>(length)] = '\0';
  }
  return ELOOP;
}

// A new file in a directory, which goes again unless it was renamed.
class TemporaryFile {
 public:
  explicit TemporaryFile(int directory) : directory_(directory) {}
  ~TemporaryFile() {
    if (fd_.get() >= 0 || closed_) unlinkat(directory_, name_, 0);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  // 0 or an errno, as that of the others.
  int Make(mode_t mode) {
    for (int tries = 0; tries < kMostNames; ++tries) {
      uint64_t random[2];
      if (getrandom(random, sizeof(random), 0) != static_cast<ssize_t>(sizeof(random))) {
        if (errno == EINTR) continue;
        return errno;
      }
      std::snprintf(name_, sizeof(name_), ".agentos-%016llx%016llx.tmp", static_cast<unsigned long long>(random[0]),
                    static_cast<unsigned long long>(random[1]));
      const int fd =
          OpenRetrying({.path = name_, .directory_fd = directory_}, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
      if (fd >= 0) {
        fd_.Reset(fd);
        return 0;
      }
      if (fd != -EEXIST) return -fd;
    }
    return EEXIST;
  }
  int Close() {
    closed_ = true;
    return CloseReporting(fd_.Release());
  }
  int RenameTo(const char* name) {
    if (renameat(directory_, name_, directory_, name) != 0) return errno;
    closed_ = false;
    return 0;
  }
  int fd() const { return fd_.get(); }

 private:
  const int directory_;
  OwnedFd fd_;
  bool closed_ = false;
  char name_[64];
};

// Whether the file in this place may be replaced, and by one of which mode; no mode when there is none yet. 0 or an errno.
int LookAtOld(const Place& place, mode_t& mode) {
  mode = 0;
  struct stat status;
  if (fstatat(place.directory.get(), place.name, &status, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT ? 0 : errno;
  if (S_ISDIR(status.st_mode)) return EISDIR;
  if (!S_ISREG(status.st_mode)) return EINVAL;
  if (faccessat(place.directory.get(), place.name, W_OK, AT_EACCESS) != 0) return errno;
  mode = status.st_mode;
  return 0;
}

int WriteBeside(const Place& place, absl::string_view data, TemporaryFile& beside, FileCallResult& result) {
  mode_t old_mode;
  if (const int error = LookAtOld(place, old_mode)) return error;
  // Nobody but the owner reads it before it has the old one's permissions.
  if (const int error = beside.Make(old_mode == 0 ? 0644 : 0600)) return error;
  WriteToEnd(beside.fd(), data, result);
  if (result.error_number != 0) return result.error_number;
  if (old_mode != 0 && fchmod(beside.fd(), old_mode & kPermissions) != 0) return errno;
  if (const int error = Flush(beside.fd())) return error;
  return beside.Close();
}

FileCallResult Replace(const Place& place, absl::string_view data) {
  FileCallResult result;
  TemporaryFile beside(place.directory.get());
  result.error_number = WriteBeside(place, data, beside, result);
  if (result.error_number == 0) result.error_number = beside.RenameTo(place.name);
  if (result.error_number != 0) result.value = 0;
  return result;
}

FileCallResult WriteThrough(const Place& place, absl::string_view data) {
  FileCallResult result;
  // Links were followed: one that has come meanwhile is not this file.
  const int fd =
      OpenNeverHanging({.path = place.name, .directory_fd = place.directory.get()}, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW);
  if (fd < 0) {
    result.error_number = -fd;
    return result;
  }
  WriteToEnd(fd, data, result);
  if (result.error_number == 0) result.error_number = Flush(fd);
  const int close_error = CloseReporting(fd);
  if (result.error_number == 0) result.error_number = close_error;
  return result;
}

}  // namespace

FileCallResult WriteCarefully(const FilePath& file, absl::string_view data, const operation::WriteFile::Options& options) {
  FileCallResult result;
  Place place;
  // A directory that is held by O_PATH need not be readable, and cannot be flushed.
  result.error_number = Find(file, options.durable ? O_RDONLY : O_PATH, place);
  if (result.error_number != 0) return result;
  result = options.atomic ? Replace(place, data) : WriteThrough(place, data);
  if (result.error_number == 0 && options.durable) result.error_number = Flush(place.directory.get());
  return result;
}

}  // namespace agentos::executor_internal
