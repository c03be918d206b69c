#include "agentos/proto/entry_encoding.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <variant>

#include "absl/time/time.h"
#include "agentos/proto/entry.pb.h"
#include "agentos/proto/wire_writer.h"
#include "agentos/ring/bytes.h"
#include "agentos/ring/operation.h"
#include "agentos/ring/types.h"

namespace agentos {

namespace {

namespace pb = proto::v1;

// The operations whose operands have no fixed size.
constexpr OperationKinds kOfAnySize = {OperationKind::kReadFile, OperationKind::kWriteFile, OperationKind::kOpen,
                                       OperationKind::kWrite,    OperationKind::kSend,      OperationKind::kConnect,
                                       OperationKind::kSendTo,   OperationKind::kIpcSend,   OperationKind::kStatx,
                                       OperationKind::kRename,   OperationKind::kUnlink,    OperationKind::kMkdir};

// Six numbers at most in an operation, four modifiers, pid and user_data; three messages within each other and one beside.
constexpr size_t kMostFixedBytes = 16 * WireWriter::kMostNumberBytes;

// One function per operation: writes the fields of its message.
class Encoder {
 public:
  Encoder(WireWriter& writer, size_t payload_bytes) : to_(writer), payload_bytes_(payload_bytes) {}

  void Encode(const operation::None&) {}
  void Encode(const operation::Nop&) {}
  void Encode(const operation::ReadFile& op) {
    to_.String(pb::ReadFile::kPathFieldNumber, op.path);
    Beneath(pb::ReadFile::kBeneathFdFieldNumber, op.beneath_fd);
  }
  void Encode(const operation::WriteFile& op) {
    to_.String(pb::WriteFile::kPathFieldNumber, op.path);
    Payload(pb::WriteFile::kPayloadFieldNumber, op.data);
    Beneath(pb::WriteFile::kBeneathFdFieldNumber, op.beneath_fd);
    to_.Unsigned(pb::WriteFile::kAtomicFieldNumber, op.options.atomic ? 1 : 0);
    to_.Unsigned(pb::WriteFile::kDurableFieldNumber, op.options.durable ? 1 : 0);
  }
  void Encode(const operation::Open& op) {
    to_.String(pb::Open::kPathFieldNumber, op.path);
    to_.Signed(pb::Open::kFlagsFieldNumber, op.flags);
    to_.Unsigned(pb::Open::kModeFieldNumber, op.mode);
    Beneath(pb::Open::kBeneathFdFieldNumber, op.beneath_fd);
  }
  void Encode(const operation::Close& op) { to_.Signed(pb::Close::kFdFieldNumber, op.fd); }
  void Encode(const operation::Read& op) { Transfer<pb::Read>(op); }
  void Encode(const operation::Write& op) {
    to_.Signed(pb::Write::kFdFieldNumber, op.fd);
    Payload(pb::Write::kPayloadFieldNumber, op.data);
    to_.ZigZag(pb::Write::kOffsetFieldNumber, op.offset);
  }
  void Encode(const operation::Fsync& op) { to_.Signed(pb::Fsync::kFdFieldNumber, op.fd); }
  void Encode(const operation::Lseek& op) {
    to_.Signed(pb::Lseek::kFdFieldNumber, op.fd);
    to_.ZigZag(pb::Lseek::kOffsetFieldNumber, op.offset);
    to_.Signed(pb::Lseek::kWhenceFieldNumber, op.whence);
  }
  void Encode(const operation::Send& op) {
    to_.Signed(pb::Send::kFdFieldNumber, op.fd);
    Payload(pb::Send::kPayloadFieldNumber, op.data);
    to_.Signed(pb::Send::kFlagsFieldNumber, op.flags);
  }
  void Encode(const operation::Recv& op) { Receive<pb::Recv>(op); }
  void Encode(const operation::Accept& op) { to_.Signed(pb::Accept::kFdFieldNumber, op.fd); }
  void Encode(const operation::Connect& op) {
    to_.Signed(pb::Connect::kFdFieldNumber, op.fd);
    to_.String(pb::Connect::kAddressFieldNumber, op.address);
  }
  void Encode(const operation::SendTo& op) {
    to_.Signed(pb::SendTo::kFdFieldNumber, op.fd);
    Payload(pb::SendTo::kPayloadFieldNumber, op.data);
    to_.String(pb::SendTo::kAddressFieldNumber, op.address);
    to_.Signed(pb::SendTo::kFlagsFieldNumber, op.flags);
  }
  void Encode(const operation::RecvFrom& op) { Receive<pb::RecvFrom>(op); }
  void Encode(const operation::IpcSend& op) {
    to_.Unsigned(pb::IpcSend::kTargetPidFieldNumber, op.target);
    Payload(pb::IpcSend::kPayloadFieldNumber, op.data);
  }
  void Encode(const operation::IpcRecv& op) { to_.Unsigned(pb::IpcRecv::kSizeFieldNumber, op.size); }
  void Encode(const operation::Statx& op) {
    to_.String(pb::Statx::kPathFieldNumber, op.path);
    to_.Signed(pb::Statx::kFlagsFieldNumber, op.flags);
    to_.Unsigned(pb::Statx::kMaskFieldNumber, op.mask);
  }
  void Encode(const operation::Rename& op) {
    to_.String(pb::Rename::kFromFieldNumber, op.from);
    to_.String(pb::Rename::kToFieldNumber, op.to);
    to_.Unsigned(pb::Rename::kFlagsFieldNumber, op.flags);
  }
  void Encode(const operation::Unlink& op) {
    to_.String(pb::Unlink::kPathFieldNumber, op.path);
    to_.Signed(pb::Unlink::kFlagsFieldNumber, op.flags);
  }
  void Encode(const operation::Mkdir& op) {
    to_.String(pb::Mkdir::kPathFieldNumber, op.path);
    to_.Unsigned(pb::Mkdir::kModeFieldNumber, op.mode);
  }
  void Encode(const operation::Fallocate& op) {
    to_.Signed(pb::Fallocate::kFdFieldNumber, op.fd);
    to_.Signed(pb::Fallocate::kModeFieldNumber, op.mode);
    to_.ZigZag(pb::Fallocate::kOffsetFieldNumber, op.offset);
    to_.ZigZag(pb::Fallocate::kSizeFieldNumber, op.size);
  }
  void Encode(const operation::Ftruncate& op) {
    to_.Signed(pb::Ftruncate::kFdFieldNumber, op.fd);
    to_.ZigZag(pb::Ftruncate::kSizeFieldNumber, op.size);
  }
  void Encode(const operation::Splice& op) {
    to_.Signed(pb::Splice::kFromFdFieldNumber, op.from_fd);
    to_.ZigZag(pb::Splice::kFromOffsetFieldNumber, op.from_offset);
    to_.Signed(pb::Splice::kToFdFieldNumber, op.to_fd);
    to_.ZigZag(pb::Splice::kToOffsetFieldNumber, op.to_offset);
    to_.Unsigned(pb::Splice::kSizeFieldNumber, op.size);
    to_.Unsigned(pb::Splice::kFlagsFieldNumber, op.flags);
  }
  void Encode(const operation::CopyFileRange& op) {
    to_.Signed(pb::CopyFileRange::kFromFdFieldNumber, op.from_fd);
    to_.ZigZag(pb::CopyFileRange::kFromOffsetFieldNumber, op.from_offset);
    to_.Signed(pb::CopyFileRange::kToFdFieldNumber, op.to_fd);
    to_.ZigZag(pb::CopyFileRange::kToOffsetFieldNumber, op.to_offset);
    to_.Unsigned(pb::CopyFileRange::kSizeFieldNumber, op.size);
  }
  void Encode(const operation::Socket& op) {
    to_.Signed(pb::Socket::kDomainFieldNumber, op.domain);
    to_.Signed(pb::Socket::kTypeFieldNumber, op.type);
    to_.Signed(pb::Socket::kProtocolFieldNumber, op.protocol);
  }
  void Encode(const operation::Shutdown& op) {
    to_.Signed(pb::Shutdown::kFdFieldNumber, op.fd);
    to_.Signed(pb::Shutdown::kHowFieldNumber, op.how);
  }
  void Encode(const operation::Poll& op) {
    to_.Signed(pb::Poll::kFdFieldNumber, op.fd);
    to_.Unsigned(pb::Poll::kEventsFieldNumber, op.events);
  }
  void Encode(const operation::Sleep& op) {
    to_.Signed(pb::Sleep::kDurationNsFieldNumber, absl::ToInt64Nanoseconds(op.duration));
  }
  void Encode(const operation::ReadInto& op) { Transfer<pb::ReadInto>(op); }
  void Encode(const operation::RecvInto& op) { Receive<pb::RecvInto>(op); }
  void Encode(const operation::AcceptMany& op) { to_.Signed(pb::AcceptMany::kFdFieldNumber, op.fd); }
  void Encode(const operation::RecvMany& op) {
    to_.Signed(pb::RecvMany::kFdFieldNumber, op.fd);
    to_.Signed(pb::RecvMany::kFlagsFieldNumber, op.flags);
  }

 private:
  template <typename Message, typename Op>
  void Transfer(const Op& op) {
    to_.Signed(Message::kFdFieldNumber, op.fd);
    to_.Unsigned(Message::kSizeFieldNumber, op.size);
    to_.ZigZag(Message::kOffsetFieldNumber, op.offset);
  }
  template <typename Message, typename Op>
  void Receive(const Op& op) {
    to_.Signed(Message::kFdFieldNumber, op.fd);
    to_.Unsigned(Message::kSizeFieldNumber, op.size);
    to_.Signed(Message::kFlagsFieldNumber, op.flags);
  }
  void Beneath(int field, const std::optional<int>& fd) {
    if (fd.has_value()) to_.AnySigned(field, *fd);
  }
  void Payload(int field, const Bytes& data) {
    uint8_t* payload = to_.Begin(field);
    to_.Unsigned(pb::Payload::kSizeFieldNumber, data.size());
    to_.String(pb::Payload::kDataFieldNumber, data.view().substr(0, payload_bytes_));
    to_.End(payload);
  }

  WireWriter& to_;
  const size_t payload_bytes_;
};

constexpr int FieldOf(OperationKind kind) {
  switch (kind) {
    case OperationKind::kNone:
      return 0;
    case OperationKind::kNop:
      return pb::Entry::kNopFieldNumber;
    case OperationKind::kReadFile:
      return pb::Entry::kReadFileFieldNumber;
    case OperationKind::kWriteFile:
      return pb::Entry::kWriteFileFieldNumber;
    case OperationKind::kOpen:
      return pb::Entry::kOpenFieldNumber;
    case OperationKind::kClose:
      return pb::Entry::kCloseFieldNumber;
    case OperationKind::kRead:
      return pb::Entry::kReadFieldNumber;
    case OperationKind::kWrite:
      return pb::Entry::kWriteFieldNumber;
    case OperationKind::kFsync:
      return pb::Entry::kFsyncFieldNumber;
    case OperationKind::kLseek:
      return pb::Entry::kLseekFieldNumber;
    case OperationKind::kSend:
      return pb::Entry::kSendFieldNumber;
    case OperationKind::kRecv:
      return pb::Entry::kRecvFieldNumber;
    case OperationKind::kAccept:
      return pb::Entry::kAcceptFieldNumber;
    case OperationKind::kConnect:
      return pb::Entry::kConnectFieldNumber;
    case OperationKind::kSendTo:
      return pb::Entry::kSendToFieldNumber;
    case OperationKind::kRecvFrom:
      return pb::Entry::kRecvFromFieldNumber;
    case OperationKind::kIpcSend:
      return pb::Entry::kIpcSendFieldNumber;
    case OperationKind::kIpcRecv:
      return pb::Entry::kIpcRecvFieldNumber;
    case OperationKind::kStatx:
      return pb::Entry::kStatxFieldNumber;
    case OperationKind::kRename:
      return pb::Entry::kRenameFieldNumber;
    case OperationKind::kUnlink:
      return pb::Entry::kUnlinkFieldNumber;
    case OperationKind::kMkdir:
      return pb::Entry::kMkdirFieldNumber;
    case OperationKind::kFallocate:
      return pb::Entry::kFallocateFieldNumber;
    case OperationKind::kFtruncate:
      return pb::Entry::kFtruncateFieldNumber;
    case OperationKind::kSplice:
      return pb::Entry::kSpliceFieldNumber;
    case OperationKind::kSocket:
      return pb::Entry::kSocketFieldNumber;
    case OperationKind::kShutdown:
      return pb::Entry::kShutdownFieldNumber;
    case OperationKind::kPoll:
      return pb::Entry::kPollFieldNumber;
    case OperationKind::kSleep:
      return pb::Entry::kSleepFieldNumber;
    case OperationKind::kReadInto:
      return pb::Entry::kReadIntoFieldNumber;
    case OperationKind::kRecvInto:
      return pb::Entry::kRecvIntoFieldNumber;
    case OperationKind::kAcceptMany:
      return pb::Entry::kAcceptManyFieldNumber;
    case OperationKind::kRecvMany:
      return pb::Entry::kRecvManyFieldNumber;
    case OperationKind::kCopyFileRange:
      return pb::Entry::kCopyFileRangeFieldNumber;
  }
  return 0;
}

pb::Modifiers::Priority ToProto(Priority priority) {
  switch (priority) {
    case Priority::kBackground:
      return pb::Modifiers::PRIORITY_BACKGROUND;
    case Priority::kUrgent:
      return pb::Modifiers::PRIORITY_URGENT;
    case Priority::kNormal:
      break;
  }
  return pb::Modifiers::PRIORITY_NORMAL;
}

}  // namespace

size_t MostEncodedBytes(const SyscallSubmissionEntry& entry, size_t payload_bytes) {
  if (!kOfAnySize.Has(entry.kind())) [[likely]] {
    return kMostFixedBytes;
  }
  const auto variable = [payload_bytes](const auto& op) {
    size_t bytes = 0;
    if constexpr (requires { op.path; }) bytes += op.path.size();
    if constexpr (requires { op.address; }) bytes += op.address.size();
    if constexpr (requires { op.from; }) bytes += op.from.size() + op.to.size();
    if constexpr (requires { op.data; }) bytes += std::min(payload_bytes, op.data.size());
    return bytes;
  };
  return kMostFixedBytes + std::visit(variable, entry.operation());
}

char* EncodeEntry(const SyscallSubmissionEntry& entry, size_t payload_bytes, char* to) {
  WireWriter writer(to);
  writer.Unsigned(pb::Entry::kPidFieldNumber, entry.pid());
  writer.Unsigned(pb::Entry::kUserDataFieldNumber, entry.user_data());
  if (entry.has_modifiers()) [[unlikely]] {
    uint8_t* modifiers = writer.Begin(pb::Entry::kModifiersFieldNumber);
    writer.Signed(pb::Modifiers::kTimeoutNsFieldNumber, entry.timeout_ns());
    writer.Unsigned(pb::Modifiers::kPriorityFieldNumber, ToProto(entry.priority()));
    writer.Unsigned(pb::Modifiers::kLinkFieldNumber, static_cast<uint64_t>(entry.link()));
    writer.Unsigned(pb::Modifiers::kDrainFieldNumber, entry.drain() ? 1 : 0);
    writer.End(modifiers);
  }
  if (!entry.has_operation()) return writer.end();
  uint8_t* operation = writer.Begin(FieldOf(entry.kind()));
  Encoder encoder(writer, payload_bytes);
  // The most frequent one, without the table.
  if (const auto* read = std::get_if<operation::Read>(&entry.operation())) [[likely]] {
    encoder.Encode(*read);
  } else {
    std::visit([&](const auto& op) { encoder.Encode(op); }, entry.operation());
  }
  writer.End(operation);
  return writer.end();
}

}  // namespace agentos
