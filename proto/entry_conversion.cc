#include "agentos/proto/entry_conversion.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/proto/entry_encoding.h"
#include "agentos/ring/bytes.h"
#include "agentos/ring/check.h"
#include "agentos/ring/operation.h"
#include "agentos/ring/result_buffer_pool.h"
#include "agentos/ring/types.h"

namespace agentos {

namespace {

using proto::v1::Modifiers;

// Each takes the message of its operation; what it cannot be made of is said in `problem_`.

class Maker {
 public:
  explicit Maker(const proto::v1::Entry& message) : pid_(message.pid()), user_data_(message.user_data()) {}

  absl::StatusOr<SyscallSubmissionEntry> Make(const proto::v1::Entry& message) {
    SyscallSubmissionEntry entry = MakeOperation(message);
    if (!problem_.ok()) return problem_;
    return entry;
  }

 private:
  using Entry = SyscallSubmissionEntry;
  using Message = proto::v1::Entry;

  template <typename Op>
  Entry Of(Op operation) const {
    return Entry(pid_, std::move(operation), user_data_);
  }

  Bytes Data(const char* operation, const proto::v1::Payload& payload) {
    if (payload.data().size() != payload.size()) {
      problem_ = absl::FailedPreconditionError(absl::StrCat(operation, ".payload: ", payload.data().size(), " of its ",
                                                            payload.size(), " bytes were kept; record with the whole payload"));
    }
    return Bytes(payload.data());
  }
  PooledBuffer Buffer(const char* operation, uint64_t size) {
    PooledBuffer buffer;
    if (size <= kMaxTransferSize) buffer = ResultBufferPool::NewUnpooled(size);
    if (!buffer) {
      problem_ = absl::InvalidArgumentError(
          absl::StrCat(operation, ".size is ", size, ": there is no memory of that size; the most is ", kMaxTransferSize));
    }
    return buffer;
  }
  template <typename M>
  static std::optional<int> Beneath(const M& from) {
    return from.has_beneath_fd() ? std::optional<int>(from.beneath_fd()) : std::nullopt;
  }

  Entry MakeOperation(const Message& message) {
    switch (message.operation_case()) {
      case Message::kNop:
        return Of(operation::Nop{});
      case Message::kReadFile:
        return Of(operation::ReadFile{message.read_file().path(), Beneath(message.read_file())});
      case Message::kWriteFile: {
        const proto::v1::WriteFile& from = message.write_file();
        return Of(operation::WriteFile{
            from.path(), Data("WriteFile", from.payload()), {.atomic = from.atomic(), .durable = from.durable()}, Beneath(from)});
      }
      case Message::kOpen: {
        const proto::v1::Open& from = message.open();
        return Of(operation::Open{from.path(), from.flags(), from.mode(), Beneath(from)});
      }
      case Message::kClose:
        return Of(operation::Close{message.close().fd()});
      case Message::kRead:
        return Of(operation::Read{message.read().fd(), message.read().size(), message.read().offset()});
      case Message::kWrite:
        return Of(operation::Write{message.write().fd(), Data("Write", message.write().payload()), message.write().offset()});
      case Message::kFsync:
        return Of(operation::Fsync{message.fsync().fd()});
      case Message::kLseek:
        return Of(operation::Lseek{message.lseek().fd(), message.lseek().offset(), message.lseek().whence()});
      case Message::kSend:
        return Of(operation::Send{message.send().fd(), Data("Send", message.send().payload()), message.send().flags()});
      case Message::kRecv:
        return Of(operation::Recv{message.recv().fd(), message.recv().size(), message.recv().flags()});
      case Message::kAccept:
        return Of(operation::Accept{message.accept().fd()});
      case Message::kConnect:
        return Of(operation::Connect{message.connect().fd(), message.connect().address()});
      case Message::kSendTo: {
        const proto::v1::SendTo& from = message.send_to();
        return Of(operation::SendTo{from.fd(), Data("SendTo", from.payload()), from.address(), from.flags()});
      }
      case Message::kRecvFrom:
        return Of(operation::RecvFrom{message.recv_from().fd(), message.recv_from().size(), message.recv_from().flags()});
      case Message::kIpcSend:
        return Of(operation::IpcSend{message.ipc_send().target_pid(), Data("IpcSend", message.ipc_send().payload())});
      case Message::kIpcRecv:
        return Of(operation::IpcRecv{message.ipc_recv().size()});
      default:
        return MakeFurtherOperation(message);
    }
  }

  Entry MakeFurtherOperation(const Message& message) {
    switch (message.operation_case()) {
      case Message::kStatx:
        return Of(operation::Statx{message.statx().path(), message.statx().flags(), message.statx().mask()});
      case Message::kRename:
        return Of(operation::Rename{message.rename().from(), message.rename().to(), message.rename().flags()});
      case Message::kUnlink:
        return Of(operation::Unlink{message.unlink().path(), message.unlink().flags()});
      case Message::kMkdir:
        return Of(operation::Mkdir{message.mkdir().path(), message.mkdir().mode()});
      case Message::kFallocate: {
        const proto::v1::Fallocate& from = message.fallocate();
        return Of(operation::Fallocate{from.fd(), from.mode(), from.offset(), from.size()});
      }
      case Message::kFtruncate:
        return Of(operation::Ftruncate{message.ftruncate().fd(), message.ftruncate().size()});
      case Message::kSplice: {
        const proto::v1::Splice& from = message.splice();
        return Of(
            operation::Splice{from.from_fd(), from.from_offset(), from.to_fd(), from.to_offset(), from.size(), from.flags()});
      }
      case Message::kCopyFileRange: {
        const proto::v1::CopyFileRange& from = message.copy_file_range();
        return Of(operation::CopyFileRange{from.from_fd(), from.from_offset(), from.to_fd(), from.to_offset(), from.size()});
      }
      case Message::kSocket:
        return Of(operation::Socket{message.socket().domain(), message.socket().type(), message.socket().protocol()});
      case Message::kShutdown:
        return Of(operation::Shutdown{message.shutdown().fd(), message.shutdown().how()});
      case Message::kPoll:
        return Of(operation::Poll{message.poll().fd(), message.poll().events()});
      case Message::kSleep:
        return Of(operation::Sleep{absl::Nanoseconds(message.sleep().duration_ns())});
      case Message::kReadInto: {
        const proto::v1::ReadInto& from = message.read_into();
        return Of(operation::ReadInto{from.fd(), Buffer("ReadInto", from.size()), from.size(), from.offset()});
      }
      case Message::kRecvInto: {
        const proto::v1::RecvInto& from = message.recv_into();
        return Of(operation::RecvInto{from.fd(), Buffer("RecvInto", from.size()), from.size(), from.flags()});
      }
      case Message::kAcceptMany:
        return Of(operation::AcceptMany{message.accept_many().fd()});
      case Message::kRecvMany:
        return Of(operation::RecvMany{message.recv_many().fd(), message.recv_many().flags()});
      default:
        problem_ = absl::InvalidArgumentError("the entry has no operation that this version knows");
        return Entry();
    }
  }

  const Pid pid_;
  const uint64_t user_data_;
  absl::Status problem_;
};

absl::Status SetModifiers(const Modifiers& from, SyscallSubmissionEntry& entry) {
  if (from.timeout_ns() != 0) entry = std::move(entry).WithTimeout(absl::Nanoseconds(from.timeout_ns()));
  switch (from.priority()) {
    case Modifiers::PRIORITY_NORMAL:
      break;
    case Modifiers::PRIORITY_BACKGROUND:
      entry = std::move(entry).WithPriority(Priority::kBackground);
      break;
    case Modifiers::PRIORITY_URGENT:
      entry = std::move(entry).WithPriority(Priority::kUrgent);
      break;
    default:
      return absl::InvalidArgumentError(absl::StrCat("modifiers.priority is ", from.priority(), ": this version knows 0 to 2"));
  }
  switch (from.link()) {
    case Modifiers::LINK_NONE:
      break;
    case Modifiers::LINK_ON_SUCCESS:
      entry = std::move(entry).WithLink();
      break;
    case Modifiers::LINK_ON_END:
      entry = std::move(entry).WithHardLink();
      break;
    default:
      return absl::InvalidArgumentError(absl::StrCat("modifiers.link is ", from.link(), ": this version knows 0 to 2"));
  }
  if (from.drain()) entry = std::move(entry).WithDrain();
  return absl::OkStatus();
}

}  // namespace

proto::v1::Entry ToProto(const SyscallSubmissionEntry& entry, size_t payload_bytes) {
  // A message ends at 2 GiB.
  payload_bytes = std::min(payload_bytes, size_t{1} << 30);
  std::string bytes(MostEncodedBytes(entry, payload_bytes), '\0');
  bytes.resize(static_cast<size_t>(EncodeEntry(entry, payload_bytes, bytes.data()) - bytes.data()));
  proto::v1::Entry message;
  AGENTOS_CHECK(message.ParseFromString(bytes));
  return message;
}

absl::StatusOr<SyscallSubmissionEntry> FromProto(const proto::v1::Entry& message) {
  absl::StatusOr<SyscallSubmissionEntry> entry = Maker(message).Make(message);
  if (!entry.ok() || !message.has_modifiers()) return entry;
  if (absl::Status status = SetModifiers(message.modifiers(), *entry); !status.ok()) return status;
  return entry;
}

}  // namespace agentos
