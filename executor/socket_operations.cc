#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "agentos/executor/operation_steps.h"
#include "agentos/ring/socket_address.h"

namespace agentos::executor_internal {

namespace {

void PrepareMessage(Slot& slot, const void* data, size_t size) {
  slot.vector = {.iov_base = const_cast<void*>(data), .iov_len = size};
  slot.message = {};
  slot.message.msg_name = &slot.address;
  slot.message.msg_iov = &slot.vector;
  slot.message.msg_iovlen = 1;
}

// Validated at Submit, so it cannot fail here.
socklen_t PrepareAddress(Slot& slot, const std::string& text) {
  const SocketAddress address = *ParseSocketAddress(text);
  slot.address = address.storage;
  return address.length;
}

// The kernel must not wait for a datagram's room by itself: Linux 6.18 tries again with data that it has consumed already, and
// what arrives is empty. So the first try never waits, and operations.cc decides what to do about EAGAIN.
uint32_t SendFlags(int flags) { return static_cast<uint32_t>(flags | MSG_NOSIGNAL | MSG_DONTWAIT); }

// Of a stream: the kernel waits, and goes on by itself when a part is taken.
uint32_t WholeSendFlags(int flags) { return static_cast<uint32_t>(flags | MSG_NOSIGNAL | MSG_WAITALL); }

StepResult FillReceive(OperationContext& context, Slot& slot, size_t size, io_uring_sqe& sqe) {
  if (!slot.buffer) slot.buffer = context.buffers.Acquire(size);
  if (!slot.buffer) return Fail(slot, ENOMEM);
  sqe.addr = AddressOf(slot.buffer.data());
  sqe.len = static_cast<uint32_t>(size);
  return StepResult::kWaiting;
}

// Where nothing is a message, unless nothing will ever come again.
bool MayBeEmptyMessage(int fd) {
  int type = 0;
  socklen_t size = sizeof(type);
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_DGRAM) return false;
  pollfd ended = {.fd = fd, .events = POLLRDHUP, .revents = 0};
  return poll(&ended, 1, 0) == 0;
}

std::unique_ptr<std::string> PeerAddress(const Slot& slot, socklen_t length) {
  return std::make_unique<std::string>(FormatSocketAddress(reinterpret_cast<const sockaddr*>(&slot.address), length));
}

StepResult EndAnySend(Slot& slot, int32_t result, size_t size, int flags) {
  const StepResult step = Continue(slot, result, size);
  // A non-blocking send has done what it could.
  return step == StepResult::kAgain && (flags & MSG_DONTWAIT) != 0 ? StepResult::kDone : step;
}

}  // namespace

// Only the internet's protocols have it, and only one try: what is left over or comes back is sent in the ordinary way.
bool TriesZeroCopy(OperationContext& context, const Slot& slot, const operation::Send& op) {
  if (!context.kernel.Supports(IORING_OP_SEND_ZC) || slot.progress.phase != kPhaseCall || slot.progress.retries > 0 ||
      slot.value > 0) {
    return false;
  }
  int domain = 0;
  socklen_t size = sizeof(domain);
  if (getsockopt(op.fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || (domain != AF_INET && domain != AF_INET6)) return false;
  // Last: the policy waits for what becomes of the one that it lets try.
  return context.zero_copy.ShouldTry(op.data.size());
}

StepResult FillSend(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Send>(slot);
  const auto sent = static_cast<size_t>(slot.value);
  sqe.opcode = IORING_OP_SEND;
  sqe.fd = op.fd;
  sqe.addr = AddressOf(op.data.data() + sent);
  sqe.len = static_cast<uint32_t>(op.data.size() - sent);
  sqe.msg_flags = slot.progress.phase == kPhaseWholeSend ? WholeSendFlags(op.flags) : SendFlags(op.flags);
  if (op.data.size() >= context.zero_copy.from() && TriesZeroCopy(context, slot, op)) {
    slot.progress.phase = kPhaseZeroCopySend;
    sqe.opcode = IORING_OP_SEND_ZC;
    sqe.ioprio = IORING_SEND_ZC_REPORT_USAGE;
    if (UseRegistration(context, op.data.arena(), op.data.data(), sqe, IORING_OP_SEND_ZC))
      sqe.ioprio |= IORING_RECVSEND_FIXED_BUF;
  }
  return StepResult::kWaiting;
}

StepResult EndSend(Slot& slot, int32_t result) {
  const auto& op = As<operation::Send>(slot);
  const StepResult step = EndAnySend(slot, result, op.data.size(), op.flags);
  // Only a stream takes a part.
  if (step == StepResult::kAgain) slot.progress.phase = kPhaseWholeSend;
  return step;
}

StepResult FillRecv(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Recv>(slot);
  sqe.opcode = IORING_OP_RECV;
  sqe.fd = op.fd;
  sqe.msg_flags = static_cast<uint32_t>(op.flags);
  return FillReceive(context, slot, op.size, sqe);
}

StepResult FillRecvInto(OperationContext& /*context*/, Slot& slot, io_uring_sqe& sqe) {
  auto& op = std::get<operation::RecvInto>(slot.entry.operation());
  if (!slot.buffer) slot.buffer = std::move(op.buffer);
  sqe.opcode = IORING_OP_RECV;
  sqe.fd = op.fd;
  sqe.addr = AddressOf(slot.buffer.data());
  sqe.len = static_cast<uint32_t>(op.size);
  sqe.msg_flags = static_cast<uint32_t>(op.flags);
  return StepResult::kWaiting;
}

StepResult FillAccept(OperationContext& /*context*/, Slot& slot, io_uring_sqe& sqe) {
  slot.address_length = sizeof(slot.address);
  sqe.opcode = IORING_OP_ACCEPT;
  sqe.fd = As<operation::Accept>(slot).fd;
  sqe.addr = AddressOf(&slot.address);
  sqe.addr2 = AddressOf(&slot.address_length);
  sqe.accept_flags = SOCK_CLOEXEC;
  return StepResult::kWaiting;
}

StepResult EndAccept(Slot& slot, int32_t result) {
  if (result >= 0) slot.peer_address = PeerAddress(slot, slot.address_length);
  return EndValue(slot, result);
}

// Without memory for the address, of which there is one and not one for each connection.
StepResult FillAcceptMany(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  sqe.opcode = IORING_OP_ACCEPT;
  sqe.fd = As<operation::AcceptMany>(slot).fd;
  sqe.accept_flags = SOCK_CLOEXEC;
  if (context.kernel.has_multishot()) sqe.ioprio = IORING_ACCEPT_MULTISHOT;
  return StepResult::kWaiting;
}

StepResult EndAcceptMany(Slot& slot, int32_t result) {
  switch (result) {
    case -ECONNABORTED:
      // It was gone before it was accepted; the next one is another.
      return StepResult::kAgain;
    case -EMFILE:
    case -ENFILE:
    case -ENOBUFS:
    case -ENOMEM:
      slot.progress.error = static_cast<int16_t>(-result);
      return PauseBeforeNext(slot);
    default:
      break;
  }
  if (result < 0) return Fail(slot, -result);
  slot.progress.retries = 0;
  slot.value = result;
  return StepResult::kMore;
}

StepResult FillRecvMany(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  sqe.opcode = IORING_OP_RECV;
  sqe.fd = As<operation::RecvMany>(slot).fd;
  if (!context.provided.Ready()) return FillReceive(context, slot, operation::kRecvManyBytes, sqe);
  sqe.ioprio = IORING_RECV_MULTISHOT;
  sqe.flags = IOSQE_BUFFER_SELECT;
  sqe.buf_group = SubmissionRing::kBufferGroup;
  return StepResult::kWaiting;
}

StepResult EndRecvMany(Slot& slot, int32_t result) {
  if (result < 0 || (result == 0 && !MayBeEmptyMessage(As<operation::RecvMany>(slot).fd))) {
    slot.buffer.Reset();
    return EndValue(slot, result);
  }
  slot.progress.retries = 0;
  slot.value = result;
  slot.data = Bytes(std::move(slot.buffer), static_cast<size_t>(result));
  return StepResult::kMore;
}

StepResult FillConnect(OperationContext& /*context*/, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Connect>(slot);
  sqe.opcode = IORING_OP_CONNECT;
  sqe.fd = op.fd;
  sqe.off = PrepareAddress(slot, op.address);
  sqe.addr = AddressOf(&slot.address);
  return StepResult::kWaiting;
}

StepResult EndConnect(Slot& slot, int32_t result) {
  if (slot.progress.phase == kPhaseConnecting) {
    if (result < 0) return Fail(slot, -result);
    int error_number = 0;
    socklen_t size = sizeof(error_number);
    if (getsockopt(As<operation::Connect>(slot).fd, SOL_SOCKET, SO_ERROR, &error_number, &size) != 0) error_number = errno;
    return EndValue(slot, -error_number);
  }
  if (result == -EINPROGRESS || result == -EINTR) {
    slot.progress.phase = kPhaseConnecting;
    return StepResult::kAgain;
  }
  return EndValue(slot, result);
}

StepResult FillSendTo(OperationContext& /*context*/, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::SendTo>(slot);
  const auto sent = static_cast<size_t>(slot.value);
  PrepareMessage(slot, op.data.data() + sent, op.data.size() - sent);
  slot.message.msg_namelen = PrepareAddress(slot, op.address);
  sqe.opcode = IORING_OP_SENDMSG;
  sqe.fd = op.fd;
  sqe.addr = AddressOf(&slot.message);
  sqe.len = 1;
  sqe.msg_flags = SendFlags(op.flags);
  return StepResult::kWaiting;
}

StepResult EndSendTo(Slot& slot, int32_t result) {
  const auto& op = As<operation::SendTo>(slot);
  return EndAnySend(slot, result, op.data.size(), op.flags);
}

StepResult FillRecvFrom(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::RecvFrom>(slot);
  const StepResult filled = FillReceive(context, slot, op.size, sqe);
  if (filled != StepResult::kWaiting) return filled;
  PrepareMessage(slot, slot.buffer.data(), op.size);
  slot.message.msg_namelen = sizeof(slot.address);
  sqe.opcode = IORING_OP_RECVMSG;
  sqe.fd = op.fd;
  sqe.addr = AddressOf(&slot.message);
  sqe.len = 1;
  sqe.msg_flags = static_cast<uint32_t>(op.flags);
  return StepResult::kWaiting;
}

StepResult EndRecvFrom(Slot& slot, int32_t result) {
  if (result >= 0) slot.peer_address = PeerAddress(slot, slot.message.msg_namelen);
  return EndRead(slot, result);
}

StepResult FillSocket(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Socket>(slot);
  sqe.fd = op.domain;
  sqe.off = static_cast<uint64_t>(op.type | SOCK_CLOEXEC);
  sqe.len = static_cast<uint32_t>(op.protocol);
  return UseOpcode(context, slot, sqe, IORING_OP_SOCKET);
}

StepResult FillShutdown(OperationContext& context, Slot& slot, io_uring_sqe& sqe) {
  const auto& op = As<operation::Shutdown>(slot);
  sqe.fd = op.fd;
  sqe.len = static_cast<uint32_t>(op.how);
  return UseOpcode(context, slot, sqe, IORING_OP_SHUTDOWN);
}

}  // namespace agentos::executor_internal
