// What became of one entry: who it was, how it ended, and what the system call gave.
//
// A completion owns its bytes: they stay readable after the ring and the manager are gone, and holding many of them costs memory,
// never progress.
//
// Thread rule: values; one thread at a time. May be destroyed on another thread than it was reaped on.
// Errors: an entry ends in one of three ways.
// - Success: is_success(), errno 0.
// - Error: is_error(), error_number() is the errno that the system call gave, error_message() names operation and cause.
// - Cancelled: is_cancelled(), errno 0.
//
//   if (done.status.is_success()) Use(done.result.data());
//   else LOG(ERROR) << done.status.error_message();

#ifndef AGENTOS_RING_COMPLETION_ENTRY_H_
#define AGENTOS_RING_COMPLETION_ENTRY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agentos/ring/bytes.h"
#include "agentos/ring/operation.h"
#include "agentos/ring/result_buffer_pool.h"
#include "agentos/ring/types.h"

namespace agentos {

class SyscallCompletionStatus {
 public:
  // Success.
  SyscallCompletionStatus() noexcept = default;

  // `error_number` must be positive. `context` says on what, e.g. the path; it may be empty.
  static SyscallCompletionStatus Error(OperationKind operation, int error_number, absl::string_view context);
  static SyscallCompletionStatus Cancelled(OperationKind operation);

  void SetSuccess() noexcept {
    if (context_ != nullptr) context_.reset();
    error_number_ = 0;
    outcome_ = Outcome::kSuccess;
  }

  bool is_success() const { return outcome_ == Outcome::kSuccess; }
  bool is_error() const { return outcome_ == Outcome::kError; }
  bool is_cancelled() const { return outcome_ == Outcome::kCancelled; }

  // The errno of an error, 0 otherwise.
  int error_number() const { return error_number_; }

  // Which operation ended so, and on what: a path, "fd 5". Only of an error or of what was cancelled; a success has neither.
  OperationKind operation() const { return operation_; }
  absl::string_view context() const { return context_ == nullptr ? absl::string_view() : absl::string_view(*context_); }

  // "ReadFile(/etc/shadow): Permission denied (EACCES)"; empty on success.
  std::string error_message() const;

  // OK, the status that absl::ErrnoToStatus gives for the errno (but EFBIG is ResourceExhausted: a limit to raise), or Cancelled.
  absl::Status ToStatus() const;

 private:
  enum class Outcome : uint8_t { kSuccess, kError, kCancelled };

  std::unique_ptr<std::string> context_;
  int error_number_ = 0;
  Outcome outcome_ = Outcome::kSuccess;
  OperationKind operation_ = OperationKind::kNone;
};

class SyscallResult {
 public:
  SyscallResult() noexcept = default;
  explicit SyscallResult(int64_t value) noexcept : value_(value) {}
  SyscallResult(int64_t value, Bytes data) noexcept : value_(value), data_(std::move(data)) {}
  // `peer_address` may be null: there is none.
  SyscallResult(int64_t value, Bytes data, std::unique_ptr<std::string> peer_address) noexcept
      : value_(value), data_(std::move(data)), peer_address_(std::move(peer_address)) {}

  // Lets the data go; a buffer of `owner`'s pool goes back the short way. Only the pool's owner may call it.
  void ReturnDataTo(ResultBufferPool& owner) noexcept { data_.ReturnTo(owner); }

  // Takes the parts over in place.
  void Set(int64_t value, Bytes& data, std::unique_ptr<std::string>& peer_address) noexcept {
    value_ = value;
    data_ = std::move(data);
    if (peer_address_ != nullptr || peer_address != nullptr) peer_address_ = std::move(peer_address);
  }

  // Bytes, fd or offset, as the call returns it; 0 where there is none. Of a Write or Send that failed half-way: the bytes that
  // went before it did.
  int64_t value() const { return value_; }

  // What was read or received. Valid while this result lives and is not moved from.
  absl::string_view data() const { return data_.view(); }

  // The data as a string: a copy, unless it was a string before (IPC).
  std::string TakeData() { return std::move(data_).IntoString(); }

  // The data without a copy, 4 KiB aligned from 4 KiB upward.
  Bytes TakeBytes() { return std::move(data_); }

  // Of Accept and RecvFrom: the other side's address, as socket_address.h writes it ("" for an unnamed Unix socket). Of IpcRecv:
  // "pid:N".
  absl::string_view peer_address() const {
    return peer_address_ == nullptr ? absl::string_view() : absl::string_view(*peer_address_);
  }

 private:
  int64_t value_ = 0;
  Bytes data_;
  std::unique_ptr<std::string> peer_address_;
};

struct SyscallCompletionEntry {
  Seq seq = 0;
  Pid pid = 0;
  // Whether further completions of the same entry follow (multishot operations only).
  bool more = false;
  uint64_t user_data = 0;
  SyscallCompletionStatus status;
  SyscallResult result;
};

}  // namespace agentos

#endif  // AGENTOS_RING_COMPLETION_ENTRY_H_
