// One request for a system call, on its way into a ring.
//
// An entry owns its operands; after it was accepted the ring owns them, until the entry has completed, whatever the caller
// destroys meanwhile. An entry that was moved from (an accepted one, too) asks for nothing and is refused with InvalidArgument.
// user_data comes back untouched in the completion and means nothing to the library.
//
// Thread rule: a value; one thread at a time.
// Errors: none here; operands are checked by Submit, which names the field that is wrong.
//
//   SyscallSubmissionEntry entry = SyscallSubmissionEntry::ReadFile(kPid, "/etc/hostname", /*user_data=*/1);
//   absl::StatusOr<Seq> seq = manager->Submit(kPid, std::move(entry));

#ifndef AGENTOS_RING_SUBMISSION_ENTRY_H_
#define AGENTOS_RING_SUBMISSION_ENTRY_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/time/time.h"
#include "agentos/ring/bytes.h"
#include "agentos/ring/operation.h"
#include "agentos/ring/types.h"

namespace agentos {

class SyscallSubmissionEntry {
 public:
  // Asks for nothing: a place in an array that a factory's entry is moved into.
  SyscallSubmissionEntry() noexcept : operation_(std::in_place_type<operation::None>) {}
  // `Op` is one of the structs of namespace operation.
  template <typename Op>
  SyscallSubmissionEntry(Pid pid, Op operation, uint64_t user_data) noexcept
      : operation_(std::in_place_type<Op>, std::move(operation)), user_data_(user_data), pid_(pid) {}

  SyscallSubmissionEntry(SyscallSubmissionEntry&& other) noexcept
      : user_data_(other.user_data_), pid_(other.pid_), modifiers_(other.modifiers_) {
    Take(other.operation_);
  }
  SyscallSubmissionEntry& operator=(SyscallSubmissionEntry&& other) noexcept {
    if (this != &other) {
      End();
      Take(other.operation_);
      user_data_ = other.user_data_;
      pid_ = other.pid_;
      modifiers_ = other.modifiers_;
    }
    return *this;
  }
  SyscallSubmissionEntry(const SyscallSubmissionEntry&) = delete;
  SyscallSubmissionEntry& operator=(const SyscallSubmissionEntry&) = delete;
  ~SyscallSubmissionEntry() { End(); }

  // The factories: the process, the operands in the order of the system call, the caller's own word. What each operation does and
  // what value() of its result is stands at its struct in operation.h.
  static SyscallSubmissionEntry Nop(Pid pid, uint64_t user_data) { return {pid, operation::Nop{}, user_data}; }
  static SyscallSubmissionEntry ReadFile(Pid pid, std::string path, uint64_t user_data) {
    return {pid, operation::ReadFile{std::move(path)}, user_data};
  }
  static SyscallSubmissionEntry WriteFile(Pid pid, std::string path, Bytes data, uint64_t user_data) {
    return {pid, operation::WriteFile{std::move(path), std::move(data)}, user_data};
  }
  // WriteFile(pid, path, data, {.atomic = true}, user_data)
  static SyscallSubmissionEntry WriteFile(Pid pid, std::string path, Bytes data, operation::WriteFile::Options options,
                                          uint64_t user_data) {
    return {pid, operation::WriteFile{std::move(path), std::move(data), options}, user_data};
  }
  static SyscallSubmissionEntry Open(Pid pid, std::string path, int flags, mode_t mode, uint64_t user_data) {
    return {pid, operation::Open{std::move(path), flags, mode}, user_data};
  }
  // Beneath a directory, which the path is relative to and cannot leave (operation.h).
  static SyscallSubmissionEntry ReadFileBeneath(Pid pid, int directory_fd, std::string path, uint64_t user_data) {
    return {pid, operation::ReadFile{std::move(path), directory_fd}, user_data};
  }
  static SyscallSubmissionEntry WriteFileBeneath(Pid pid, int directory_fd, std::string path, Bytes data,
                                                 operation::WriteFile::Options options, uint64_t user_data) {
    return {pid, operation::WriteFile{std::move(path), std::move(data), options, directory_fd}, user_data};
  }
  static SyscallSubmissionEntry WriteFileBeneath(Pid pid, int directory_fd, std::string path, Bytes data, uint64_t user_data) {
    return WriteFileBeneath(pid, directory_fd, std::move(path), std::move(data), {}, user_data);
  }
  static SyscallSubmissionEntry OpenBeneath(Pid pid, int directory_fd, std::string path, int flags, mode_t mode,
                                            uint64_t user_data) {
    return {pid, operation::Open{std::move(path), flags, mode, directory_fd}, user_data};
  }
  static SyscallSubmissionEntry Close(Pid pid, int fd, uint64_t user_data) { return {pid, operation::Close{fd}, user_data}; }
  static SyscallSubmissionEntry Read(Pid pid, int fd, size_t size, int64_t offset, uint64_t user_data) {
    return {pid, operation::Read{fd, size, offset}, user_data};
  }
  static SyscallSubmissionEntry Write(Pid pid, int fd, Bytes data, int64_t offset, uint64_t user_data) {
    return {pid, operation::Write{fd, std::move(data), offset}, user_data};
  }
  static SyscallSubmissionEntry Fsync(Pid pid, int fd, uint64_t user_data) { return {pid, operation::Fsync{fd}, user_data}; }
  static SyscallSubmissionEntry Lseek(Pid pid, int fd, int64_t offset, int whence, uint64_t user_data) {
    return {pid, operation::Lseek{fd, offset, whence}, user_data};
  }
  static SyscallSubmissionEntry Send(Pid pid, int fd, Bytes data, int flags, uint64_t user_data) {
    return {pid, operation::Send{fd, std::move(data), flags}, user_data};
  }
  static SyscallSubmissionEntry Recv(Pid pid, int fd, size_t size, int flags, uint64_t user_data) {
    return {pid, operation::Recv{fd, size, flags}, user_data};
  }
  static SyscallSubmissionEntry Accept(Pid pid, int fd, uint64_t user_data) { return {pid, operation::Accept{fd}, user_data}; }
  static SyscallSubmissionEntry Connect(Pid pid, int fd, std::string address, uint64_t user_data) {
    return {pid, operation::Connect{fd, std::move(address)}, user_data};
  }
  static SyscallSubmissionEntry SendTo(Pid pid, int fd, Bytes data, std::string address, int flags, uint64_t user_data) {
    return {pid, operation::SendTo{fd, std::move(data), std::move(address), flags}, user_data};
  }
  static SyscallSubmissionEntry RecvFrom(Pid pid, int fd, size_t size, int flags, uint64_t user_data) {
    return {pid, operation::RecvFrom{fd, size, flags}, user_data};
  }
  static SyscallSubmissionEntry IpcSend(Pid pid, Pid target_pid, Bytes data, uint64_t user_data) {
    return {pid, operation::IpcSend{target_pid, std::move(data)}, user_data};
  }
  static SyscallSubmissionEntry IpcRecv(Pid pid, size_t size, uint64_t user_data) {
    return {pid, operation::IpcRecv{size}, user_data};
  }
  static SyscallSubmissionEntry Statx(Pid pid, std::string path, int flags, uint32_t mask, uint64_t user_data) {
    return {pid, operation::Statx{std::move(path), flags, mask}, user_data};
  }
  static SyscallSubmissionEntry Rename(Pid pid, std::string from, std::string to, uint32_t flags, uint64_t user_data) {
    return {pid, operation::Rename{std::move(from), std::move(to), flags}, user_data};
  }
  static SyscallSubmissionEntry Unlink(Pid pid, std::string path, int flags, uint64_t user_data) {
    return {pid, operation::Unlink{std::move(path), flags}, user_data};
  }
  static SyscallSubmissionEntry Mkdir(Pid pid, std::string path, mode_t mode, uint64_t user_data) {
    return {pid, operation::Mkdir{std::move(path), mode}, user_data};
  }
  static SyscallSubmissionEntry Fallocate(Pid pid, int fd, int mode, int64_t offset, int64_t size, uint64_t user_data) {
    return {pid, operation::Fallocate{fd, mode, offset, size}, user_data};
  }
  static SyscallSubmissionEntry Ftruncate(Pid pid, int fd, int64_t size, uint64_t user_data) {
    return {pid, operation::Ftruncate{fd, size}, user_data};
  }
  static SyscallSubmissionEntry Splice(Pid pid, int from_fd, int64_t from_offset, int to_fd, int64_t to_offset, size_t size,
                                       uint32_t flags, uint64_t user_data) {
    return {pid, operation::Splice{from_fd, from_offset, to_fd, to_offset, size, flags}, user_data};
  }
  static SyscallSubmissionEntry CopyFileRange(Pid pid, int from_fd, int64_t from_offset, int to_fd, int64_t to_offset,
                                              size_t size, uint64_t user_data) {
    return {pid, operation::CopyFileRange{from_fd, from_offset, to_fd, to_offset, size}, user_data};
  }
  static SyscallSubmissionEntry Socket(Pid pid, int domain, int type, int protocol, uint64_t user_data) {
    return {pid, operation::Socket{domain, type, protocol}, user_data};
  }
  static SyscallSubmissionEntry Shutdown(Pid pid, int fd, int how, uint64_t user_data) {
    return {pid, operation::Shutdown{fd, how}, user_data};
  }
  static SyscallSubmissionEntry Poll(Pid pid, int fd, uint32_t events, uint64_t user_data) {
    return {pid, operation::Poll{fd, events}, user_data};
  }
  static SyscallSubmissionEntry Sleep(Pid pid, absl::Duration duration, uint64_t user_data) {
    return {pid, operation::Sleep{duration}, user_data};
  }
  static SyscallSubmissionEntry ReadInto(Pid pid, int fd, PooledBuffer buffer, size_t size, int64_t offset, uint64_t user_data) {
    return {pid, operation::ReadInto{fd, std::move(buffer), size, offset}, user_data};
  }
  static SyscallSubmissionEntry RecvInto(Pid pid, int fd, PooledBuffer buffer, size_t size, int flags, uint64_t user_data) {
    return {pid, operation::RecvInto{fd, std::move(buffer), size, flags}, user_data};
  }

  // The multishot ones complete many times.
  static SyscallSubmissionEntry AcceptMany(Pid pid, int fd, uint64_t user_data) {
    return {pid, operation::AcceptMany{fd}, user_data};
  }
  static SyscallSubmissionEntry RecvMany(Pid pid, int fd, int flags, uint64_t user_data) {
    return {pid, operation::RecvMany{fd, flags}, user_data};
  }

  // The modifiers, on an entry that is being made: Read(...).WithTimeout(absl::Seconds(1)).WithPriority(Priority::kUrgent).

  // How long after its acceptance the entry may take before it is stopped and completes as an error with ETIMEDOUT. What it has
  // transferred by then counts: a Send that got half-way succeeds with the count. InfiniteDuration means no timeout; zero and
  // less are refused by Submit. Kept to one part in a million. It is noticed while somebody waits for, reaps or submits to a ring
  // of the manager.
  SyscallSubmissionEntry WithTimeout(absl::Duration timeout) && {
    SetModifier(kTimeoutMask, EncodeTimeout(timeout) << kTimeoutShift);
    return std::move(*this);
  }
  // Which of its ring's waiting entries it goes before. Matters once max_in_flight entries have started.
  SyscallSubmissionEntry WithPriority(Priority priority) && {
    // A number that is no priority stays recognisable as wrong.
    const uint32_t level = std::min(static_cast<uint32_t>(priority), static_cast<uint32_t>(Priority::kUrgent) + 1);
    SetModifier(kPriorityMask, (level ^ static_cast<uint32_t>(Priority::kNormal)) << kPriorityShift);
    return std::move(*this);
  }
  // The next entry of the batch starts only if this one succeeded. A short read at the end of a file is a success.
  SyscallSubmissionEntry WithLink() && {
    SetModifier(kLinkMask, static_cast<uint32_t>(Link::kOnSuccess));
    return std::move(*this);
  }
  // The next entry of the batch starts only when this one has ended, however it ended.
  SyscallSubmissionEntry WithHardLink() && {
    SetModifier(kLinkMask, static_cast<uint32_t>(Link::kOnEnd));
    return std::move(*this);
  }
  // Starts only when every entry accepted before it has completed; entries accepted after it start only when it has. In a chain
  // only the first may be one.
  SyscallSubmissionEntry WithDrain() && {
    SetModifier(kDrainMask, kDrainMask);
    return std::move(*this);
  }

  // Nanoseconds; 0 means no timeout, a negative one is invalid.
  int64_t timeout_ns() const {
    const uint32_t code = modifiers_ >> kTimeoutShift;
    return code == kInvalidTimeout ? -1 : static_cast<int64_t>(code & kMantissaMask) << (code >> kMantissaBits);
  }
  Priority priority() const {
    return static_cast<Priority>(((modifiers_ & kPriorityMask) >> kPriorityShift) ^ static_cast<uint32_t>(Priority::kNormal));
  }
  Link link() const { return static_cast<Link>(modifiers_ & kLinkMask); }
  bool drain() const { return (modifiers_ & kDrainMask) != 0; }
  bool has_modifiers() const { return modifiers_ != 0; }
  // Whether it has no modifier but a priority: it asks for nothing more than to be started in its turn.
  bool is_plain() const { return (modifiers_ & ~kPriorityMask) == 0; }

  Pid pid() const { return pid_; }
  uint64_t user_data() const { return user_data_; }
  void set_user_data(uint64_t user_data) { user_data_ = user_data; }
  const Operation& operation() const { return operation_; }
  Operation& operation() { return operation_; }
  OperationKind kind() const { return KindOf(operation_); }

  // False when default-constructed or moved from.
  bool has_operation() const { return operation_.index() != 0; }

  // Lets the operands go; asks for nothing afterwards.
  void Clear() noexcept {
    End();
    PlaceNone(operation_);
  }

 private:
  // All modifiers in one word, zero for an entry without any: an entry is as large as without them, and one look tells.
  static constexpr uint32_t kLinkMask = 3;
  static constexpr uint32_t kDrainMask = 4;
  static constexpr uint32_t kPriorityShift = 4;
  static constexpr uint32_t kPriorityMask = 3u << kPriorityShift;
  // The timeout as a small floating-point number: 20 bits of mantissa, 6 of exponent.
  static constexpr uint32_t kTimeoutShift = 6;
  static constexpr uint32_t kTimeoutMask = ~0u << kTimeoutShift;
  static constexpr uint32_t kMantissaBits = 20;
  static constexpr uint32_t kMantissaMask = (1u << kMantissaBits) - 1;
  static constexpr uint32_t kInvalidTimeout = 63u << kMantissaBits;

  void SetModifier(uint32_t mask, uint32_t value) { modifiers_ = (modifiers_ & ~mask) | value; }

  // Rounds up, so that no entry is stopped before its time.
  static uint32_t EncodeTimeout(absl::Duration timeout) {
    if (timeout == absl::InfiniteDuration()) return 0;
    const int64_t nanos = absl::ToInt64Nanoseconds(timeout);
    if (nanos <= 0) return kInvalidTimeout;
    uint32_t exponent = 0;
    uint64_t mantissa = static_cast<uint64_t>(nanos);
    for (; mantissa > kMantissaMask; ++exponent) mantissa = (mantissa + 1) / 2;
    return (exponent << kMantissaBits) | static_cast<uint32_t>(mantissa);
  }

  // Whether an alternative owns nothing, so that its memory may be reused without a destructor. std::variant does not look: it
  // calls through a table for every move and every destruction, which is most of what a Nop would cost.
  template <size_t... I>
  static constexpr std::array<bool, sizeof...(I)> PlainAlternatives(std::index_sequence<I...>) {
    return {std::is_trivially_copyable_v<std::variant_alternative_t<I, Operation>>...};
  }
  static bool IsPlain(size_t index) {
    static constexpr auto kPlain = PlainAlternatives(std::make_index_sequence<kOperationKinds>());
    return kPlain[index];
  }

  // Leaves memory without an object behind.
  void End() noexcept {
    if (IsPlain(operation_.index())) return;
    switch (KindOf(operation_)) {
      case OperationKind::kReadInto:
        return std::get_if<operation::ReadInto>(&operation_)->~ReadInto();
      case OperationKind::kWrite:
        return std::get_if<operation::Write>(&operation_)->~Write();
      case OperationKind::kSend:
        return std::get_if<operation::Send>(&operation_)->~Send();
      default:
        return operation_.~Operation();
    }
  }

  // Not by the default constructor, which would clear all of the memory first.
  static void PlaceNone(Operation& at) noexcept { new (&at) Operation(std::in_place_type<operation::None>); }

  template <typename Op>
  void Place(const Operation& from) noexcept {
    new (&operation_) Operation(std::in_place_type<Op>, *std::get_if<Op>(&from));
  }

  // Precondition: operation_ is memory without an object. `from` asks for nothing afterwards.
  void Take(Operation& from) noexcept {
    switch (KindOf(from)) {
      case OperationKind::kNop:
        Place<operation::Nop>(from);
        break;
      case OperationKind::kRead:
        Place<operation::Read>(from);
        break;
      case OperationKind::kRecv:
        Place<operation::Recv>(from);
        break;
      case OperationKind::kReadInto:
        return Relocate<operation::ReadInto>(from);
      case OperationKind::kWrite:
        return Relocate<operation::Write>(from);
      case OperationKind::kSend:
        return Relocate<operation::Send>(from);
      default:
        new (&operation_) Operation(std::move(from));
        if (!IsPlain(from.index())) from.~Operation();
        break;
    }
    PlaceNone(from);
  }

  template <typename Op>
  void Relocate(Operation& from) noexcept {
    Op& operation = *std::get_if<Op>(&from);
    new (&operation_) Operation(std::in_place_type<Op>, std::move(operation));
    operation.~Op();
    PlaceNone(from);
  }

  union {
    Operation operation_;
  };
  uint64_t user_data_ = 0;
  Pid pid_ = 0;
  uint32_t modifiers_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_RING_SUBMISSION_ENTRY_H_
