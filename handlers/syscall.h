// Syscall: a request as an agent issues it, before it is decided who executes it; SyscallAnswer: what it gets.
//
// A request is an operation (operation.h), or something that has no ring: information about processes, or whatever a program names
// itself. Which handler takes it is the registries' business (syscall_handler.h, async_syscall_handler.h).
//
// Thread rule: values; one thread at a time.
// Errors: an answer says whether it is a success (a value, bytes), an error (a message, and its errno where there is one) or a
// denial (a reason).
//
//   SyscallAnswer answer = registry.Handle(kPid, Syscall::ReadFile("/etc/hostname"));
//   if (answer.is_success()) Use(answer.data());
//   else LOG(ERROR) << answer.message();

#ifndef AGENTOS_HANDLERS_SYSCALL_H_
#define AGENTOS_HANDLERS_SYSCALL_H_

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agentos/ring/bytes.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/operation.h"
#include "agentos/ring/submission_entry.h"
#include "agentos/ring/types.h"

namespace agentos {

class Syscall {
 public:
  // About which process, running where, doing what: for handlers that know.
  struct ProcessInfo {
    Pid about = 0;
  };
  // Anything that a program and its handlers have a name for.
  struct Other {
    std::string name;
    std::string argument;
  };

  explicit Syscall(Operation operation) : request_(std::move(operation)) {}
  explicit Syscall(ProcessInfo info) : request_(info) {}
  explicit Syscall(Other other) : request_(std::move(other)) {}

  static Syscall ReadFile(std::string path) { return Of(operation::ReadFile{std::move(path)}); }
  static Syscall WriteFile(std::string path, Bytes data) { return Of(operation::WriteFile{std::move(path), std::move(data)}); }
  static Syscall Open(std::string path, int flags, mode_t mode) { return Of(operation::Open{std::move(path), flags, mode}); }
  static Syscall Close(int fd) { return Of(operation::Close{fd}); }
  static Syscall Read(int fd, size_t size, int64_t offset) { return Of(operation::Read{fd, size, offset}); }
  static Syscall Write(int fd, Bytes data, int64_t offset) { return Of(operation::Write{fd, std::move(data), offset}); }
  static Syscall Fsync(int fd) { return Of(operation::Fsync{fd}); }
  static Syscall Lseek(int fd, int64_t offset, int whence) { return Of(operation::Lseek{fd, offset, whence}); }
  static Syscall Send(int fd, Bytes data, int flags) { return Of(operation::Send{fd, std::move(data), flags}); }
  static Syscall Recv(int fd, size_t size, int flags) { return Of(operation::Recv{fd, size, flags}); }
  static Syscall Accept(int fd) { return Of(operation::Accept{fd}); }
  static Syscall Connect(int fd, std::string address) { return Of(operation::Connect{fd, std::move(address)}); }
  static Syscall SendTo(int fd, Bytes data, std::string address, int flags) {
    return Of(operation::SendTo{fd, std::move(data), std::move(address), flags});
  }
  static Syscall RecvFrom(int fd, size_t size, int flags) { return Of(operation::RecvFrom{fd, size, flags}); }
  static Syscall IpcSend(Pid target, Bytes data) { return Of(operation::IpcSend{target, std::move(data)}); }
  static Syscall IpcRecv(size_t size) { return Of(operation::IpcRecv{size}); }
  static Syscall Sleep(absl::Duration duration) { return Of(operation::Sleep{duration}); }
  static Syscall GetProcessInfo(Pid about) { return Syscall(ProcessInfo{about}); }
  static Syscall Named(std::string name, std::string argument) { return Syscall(Other{std::move(name), std::move(argument)}); }

  // "ReadFile", "ProcessInfo", or what a Named one is called.
  absl::string_view name() const;
  // Whether its time goes to a device, a file system or a peer: what rings are for. Not Sleep, Close, Lseek and their like.
  bool is_io_bound() const;

  // Null when it is something else.
  const Operation* operation() const { return std::get_if<Operation>(&request_); }
  const ProcessInfo* process_info() const { return std::get_if<ProcessInfo>(&request_); }
  const Other* other() const { return std::get_if<Other>(&request_); }

  // An entry that asks for the same, with operands of its own. InvalidArgument when there is none: it is no operation, it is one
  // that completes many times, or one that reads into a registered buffer, which has one owner.
  absl::StatusOr<SyscallSubmissionEntry> ToEntry(Pid pid, uint64_t user_data) const;

 private:
  template <typename Op>
  static Syscall Of(Op op) {
    return Syscall(Operation(std::in_place_type<Op>, std::move(op)));
  }

  std::variant<Operation, ProcessInfo, Other> request_;
};

// Names a request that is under way: of a pid, and only for the handler that gave it.
using SyscallTaskId = uint64_t;

class SyscallAnswer {
 public:
  enum class Kind : uint8_t { kSuccess, kError, kPermissionDenied, kPending };

  // A success without a value.
  SyscallAnswer() = default;
  static SyscallAnswer Success(int64_t value, Bytes data = {}, std::string peer_address = "");
  // `error_number` is 0 where there is none.
  static SyscallAnswer Error(std::string message, int error_number = 0);
  static SyscallAnswer PermissionDenied(std::string reason);
  // It is under way.
  static SyscallAnswer Pending(SyscallTaskId task);
  // What the ring says: EACCES and EPERM are denials.
  static SyscallAnswer Of(SyscallCompletionEntry done);
  // What the library refuses, or could not do.
  static SyscallAnswer Of(const absl::Status& status);

  Kind kind() const { return kind_; }
  bool is_success() const { return kind_ == Kind::kSuccess; }
  bool is_error() const { return kind_ == Kind::kError; }
  bool is_permission_denied() const { return kind_ == Kind::kPermissionDenied; }
  bool is_pending() const { return kind_ == Kind::kPending; }

  // Bytes, fd or offset, as the system call returns it.
  int64_t value() const { return value_; }
  absl::string_view data() const { return data_.view(); }
  Bytes TakeData() { return std::move(data_); }
  absl::string_view peer_address() const { return text_; }
  // Of an error or a denial: what, and why. Empty otherwise.
  absl::string_view message() const { return is_error() || is_permission_denied() ? absl::string_view(text_) : ""; }
  int error_number() const { return error_number_; }
  // Of one that is pending.
  SyscallTaskId task() const { return static_cast<SyscallTaskId>(value_); }

  absl::Status ToStatus() const;

 private:
  Kind kind_ = Kind::kSuccess;
  int error_number_ = 0;
  int64_t value_ = 0;
  Bytes data_;
  // The message, the reason, or the peer's address.
  std::string text_;
};

}  // namespace agentos

#endif  // AGENTOS_HANDLERS_SYSCALL_H_
