// A file that is registered with the kernel, for a process that does much with it.
//
// The kernel looks an ordinary descriptor up for every entry, and counts its users; a registered file it has at hand. fd() is a
// descriptor of the handle's own, for the same open file: entries that name it take the short way, and any other call may use it
// too. Where the file could not be registered the same calls work all the same, and reason() says why.
//
// Thread rule: one thread at a time; with Threading::kOneThread, destroyed on the manager's thread.
// Lifetime: the file stays open until the handle is destroyed, whatever becomes of the descriptor it was made from, and registered
// as long as the process's ring lives. What is under way on it then goes on. Do not close fd() yourself: a Close entry that names
// it is EBADF.
// Source: io_uring_register_files(3).
//
//   absl::StatusOr<RegisteredFile> file = manager->RegisterFile(kPid, fd);
//   manager->Submit(kPid, SyscallSubmissionEntry::Read(kPid, file->fd(), 4096, /*offset=*/0, 0));

#ifndef AGENTOS_RING_REGISTERED_FILE_H_
#define AGENTOS_RING_REGISTERED_FILE_H_

#include <memory>
#include <string>
#include <utility>

namespace agentos {

class RegisteredFile {
 public:
  // What whoever registered it has to undo.
  class Registration {
   public:
    virtual ~Registration() = default;
    // False: not now, and the descriptor must stay open until that is done; it is the registration's then.
    virtual bool Undo(int fd) = 0;
  };

  // No file.
  RegisteredFile() = default;
  // Takes `fd` over. Without a registration, `reason` says why there is none.
  RegisteredFile(int fd, std::unique_ptr<Registration> registration, std::string reason)
      : fd_(fd), registration_(std::move(registration)), reason_(std::move(reason)) {}
  RegisteredFile(RegisteredFile&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), registration_(std::move(other.registration_)), reason_(std::move(other.reason_)) {}
  RegisteredFile& operator=(RegisteredFile&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(registration_, other.registration_);
    std::swap(reason_, other.reason_);
    return *this;
  }
  ~RegisteredFile();

  // -1 when there is no file, or when it was moved from.
  int fd() const { return fd_; }
  // Whether the kernel took it, and why not: "io_uring_register: ENOMEM", "this executor has no registered files".
  bool registered() const { return registration_ != nullptr; }
  const std::string& reason() const { return reason_; }

 private:
  int fd_ = -1;
  std::unique_ptr<Registration> registration_;
  std::string reason_;
};

}  // namespace agentos

#endif  // AGENTOS_RING_REGISTERED_FILE_H_
