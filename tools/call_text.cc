#include "agentos/tools/call_text.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <initializer_list>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "agentos/tools/operation_details.h"

namespace agentos {

namespace {

namespace pb = proto::v1;

struct Name {
  uint64_t bits;
  const char* name;
};
#define AGENTOS_NAME(constant) \
  Name { static_cast<uint64_t>(constant), #constant }

// Names of bits, the larger ones first where one holds another; what has no name as a number.
std::string Flags(uint64_t flags, std::initializer_list<Name> names, absl::string_view none = "0") {
  std::vector<std::string> parts;
  for (const Name& name : names) {
    if (name.bits == 0 || (flags & name.bits) != name.bits) continue;
    parts.emplace_back(name.name);
    flags &= ~name.bits;
  }
  if (flags != 0) parts.push_back(absl::StrFormat("%#x", flags));
  return parts.empty() ? std::string(none) : absl::StrJoin(parts, "|");
}

std::string One(int64_t value, std::initializer_list<Name> names) {
  for (const Name& name : names) {
    if (static_cast<int64_t>(name.bits) == value) return name.name;
  }
  return absl::StrCat(value);
}

std::string OpenFlags(int flags) {
  const std::string access = One(flags & O_ACCMODE, {AGENTOS_NAME(O_RDONLY), AGENTOS_NAME(O_WRONLY), AGENTOS_NAME(O_RDWR)});
  const std::string rest = Flags(static_cast<uint32_t>(flags & ~O_ACCMODE),
                                 {AGENTOS_NAME(O_TMPFILE), AGENTOS_NAME(O_SYNC), AGENTOS_NAME(O_CREAT), AGENTOS_NAME(O_EXCL),
                                  AGENTOS_NAME(O_TRUNC), AGENTOS_NAME(O_APPEND), AGENTOS_NAME(O_CLOEXEC), AGENTOS_NAME(O_DIRECT),
                                  AGENTOS_NAME(O_DIRECTORY), AGENTOS_NAME(O_NOFOLLOW), AGENTOS_NAME(O_NONBLOCK),
                                  AGENTOS_NAME(O_PATH), AGENTOS_NAME(O_DSYNC), AGENTOS_NAME(O_NOATIME), AGENTOS_NAME(O_NOCTTY)},
                                 "");
  return rest.empty() ? access : absl::StrCat(access, "|", rest);
}

std::string MessageFlags(int flags) {
  return Flags(static_cast<uint32_t>(flags), {AGENTOS_NAME(MSG_DONTWAIT), AGENTOS_NAME(MSG_NOSIGNAL), AGENTOS_NAME(MSG_MORE),
                                              AGENTOS_NAME(MSG_OOB), AGENTOS_NAME(MSG_PEEK), AGENTOS_NAME(MSG_TRUNC),
                                              AGENTOS_NAME(MSG_WAITALL), AGENTOS_NAME(MSG_EOR), AGENTOS_NAME(MSG_CONFIRM)});
}

std::string AtFlags(int flags) {
  return Flags(static_cast<uint32_t>(flags),
               {AGENTOS_NAME(AT_EMPTY_PATH), AGENTOS_NAME(AT_NO_AUTOMOUNT), AGENTOS_NAME(AT_SYMLINK_NOFOLLOW),
                AGENTOS_NAME(AT_REMOVEDIR), AGENTOS_NAME(AT_STATX_FORCE_SYNC), AGENTOS_NAME(AT_STATX_DONT_SYNC)});
}

std::string StatxMask(uint32_t mask) {
  return Flags(mask, {AGENTOS_NAME(STATX_ALL), AGENTOS_NAME(STATX_BASIC_STATS), AGENTOS_NAME(STATX_TYPE),
                      AGENTOS_NAME(STATX_MODE), AGENTOS_NAME(STATX_NLINK), AGENTOS_NAME(STATX_UID), AGENTOS_NAME(STATX_GID),
                      AGENTOS_NAME(STATX_ATIME), AGENTOS_NAME(STATX_MTIME), AGENTOS_NAME(STATX_CTIME), AGENTOS_NAME(STATX_INO),
                      AGENTOS_NAME(STATX_SIZE), AGENTOS_NAME(STATX_BLOCKS), AGENTOS_NAME(STATX_BTIME)});
}

std::string PollEvents(uint32_t events) {
  return Flags(events, {AGENTOS_NAME(POLLIN), AGENTOS_NAME(POLLPRI), AGENTOS_NAME(POLLOUT), AGENTOS_NAME(POLLERR),
                        AGENTOS_NAME(POLLHUP), AGENTOS_NAME(POLLRDHUP)});
}

std::string SocketType(int type) {
  const std::string kind = One(
      type & 0xf, {AGENTOS_NAME(SOCK_STREAM), AGENTOS_NAME(SOCK_DGRAM), AGENTOS_NAME(SOCK_RAW), AGENTOS_NAME(SOCK_SEQPACKET)});
  const std::string rest =
      Flags(static_cast<uint32_t>(type & ~0xf), {AGENTOS_NAME(SOCK_CLOEXEC), AGENTOS_NAME(SOCK_NONBLOCK)}, "");
  return rest.empty() ? kind : absl::StrCat(kind, "|", rest);
}

#undef AGENTOS_NAME

std::string Fd(int fd) { return absl::StrCat("fd ", fd); }

std::string At(int64_t offset) { return offset == -1 ? "at the position" : absl::StrCat("at ", offset); }

std::string Mode(uint32_t mode) { return absl::StrFormat("0%o", mode); }

std::string Data(const pb::Payload& payload) {
  if (payload.data().empty()) return absl::StrCat(payload.size(), " bytes");
  std::string text = QuotedText(payload.data(), 32);
  if (payload.data().size() < payload.size() && payload.data().size() <= 32) text += "...";
  return absl::StrCat(text, ", ", payload.size(), " bytes");
}

template <typename Message>
std::string Path(const Message& message) {
  const std::string path = QuotedText(message.path());
  return message.has_beneath_fd() ? absl::StrCat(path, " beneath ", Fd(message.beneath_fd())) : path;
}

using Arguments = std::vector<std::string>;

Arguments FileArguments(const pb::Entry& entry) {
  switch (entry.operation_case()) {
    case pb::Entry::kReadFile:
      return {Path(entry.read_file())};
    case pb::Entry::kWriteFile: {
      const pb::WriteFile& op = entry.write_file();
      Arguments arguments = {Path(op), Data(op.payload())};
      if (op.atomic()) arguments.emplace_back("atomic");
      if (op.durable()) arguments.emplace_back("durable");
      return arguments;
    }
    case pb::Entry::kOpen: {
      const pb::Open& op = entry.open();
      Arguments arguments = {Path(op), OpenFlags(op.flags())};
      if ((op.flags() & O_CREAT) != 0 || op.mode() != 0) arguments.push_back(Mode(op.mode()));
      return arguments;
    }
    case pb::Entry::kClose:
      return {Fd(entry.close().fd())};
    case pb::Entry::kRead:
      return {Fd(entry.read().fd()), absl::StrCat(entry.read().size()), At(entry.read().offset())};
    case pb::Entry::kReadInto:
      return {Fd(entry.read_into().fd()), absl::StrCat(entry.read_into().size()), At(entry.read_into().offset())};
    case pb::Entry::kWrite:
      return {Fd(entry.write().fd()), Data(entry.write().payload()), At(entry.write().offset())};
    case pb::Entry::kFsync:
      return {Fd(entry.fsync().fd())};
    case pb::Entry::kLseek:
      return {Fd(entry.lseek().fd()), absl::StrCat(entry.lseek().offset()),
              One(entry.lseek().whence(), {{SEEK_SET, "SEEK_SET"}, {SEEK_CUR, "SEEK_CUR"}, {SEEK_END, "SEEK_END"}})};
    case pb::Entry::kStatx:
      return {QuotedText(entry.statx().path()), AtFlags(entry.statx().flags()), StatxMask(entry.statx().mask())};
    case pb::Entry::kRename: {
      const pb::Rename& op = entry.rename();
      Arguments arguments = {QuotedText(op.from()), QuotedText(op.to())};
      if (op.flags() != 0) {
        arguments.push_back(Flags(op.flags(), {{RENAME_NOREPLACE, "RENAME_NOREPLACE"},
                                               {RENAME_EXCHANGE, "RENAME_EXCHANGE"},
                                               {RENAME_WHITEOUT, "RENAME_WHITEOUT"}}));
      }
      return arguments;
    }
    case pb::Entry::kUnlink:
      return {QuotedText(entry.unlink().path()), AtFlags(entry.unlink().flags())};
    case pb::Entry::kMkdir:
      return {QuotedText(entry.mkdir().path()), Mode(entry.mkdir().mode())};
    case pb::Entry::kFallocate: {
      const pb::Fallocate& op = entry.fallocate();
      return {Fd(op.fd()),
              Flags(static_cast<uint32_t>(op.mode()), {{FALLOC_FL_KEEP_SIZE, "FALLOC_FL_KEEP_SIZE"},
                                                       {FALLOC_FL_PUNCH_HOLE, "FALLOC_FL_PUNCH_HOLE"},
                                                       {FALLOC_FL_COLLAPSE_RANGE, "FALLOC_FL_COLLAPSE_RANGE"},
                                                       {FALLOC_FL_ZERO_RANGE, "FALLOC_FL_ZERO_RANGE"},
                                                       {FALLOC_FL_INSERT_RANGE, "FALLOC_FL_INSERT_RANGE"},
                                                       {FALLOC_FL_UNSHARE_RANGE, "FALLOC_FL_UNSHARE_RANGE"}}),
              At(op.offset()), absl::StrCat(op.size())};
    }
    case pb::Entry::kFtruncate:
      return {Fd(entry.ftruncate().fd()), absl::StrCat(entry.ftruncate().size())};
    case pb::Entry::kCopyFileRange: {
      const pb::CopyFileRange& op = entry.copy_file_range();
      return {Fd(op.from_fd()), At(op.from_offset()), Fd(op.to_fd()), At(op.to_offset()), absl::StrCat(op.size())};
    }
    case pb::Entry::kSplice: {
      const pb::Splice& op = entry.splice();
      Arguments arguments = {Fd(op.from_fd()), At(op.from_offset()), Fd(op.to_fd()), At(op.to_offset()), absl::StrCat(op.size())};
      if (op.flags() != 0) {
        arguments.push_back(Flags(
            op.flags(),
            {{SPLICE_F_MOVE, "SPLICE_F_MOVE"}, {SPLICE_F_NONBLOCK, "SPLICE_F_NONBLOCK"}, {SPLICE_F_MORE, "SPLICE_F_MORE"}}));
      }
      return arguments;
    }
    default:
      return {};
  }
}

template <typename Message>
Arguments Receive(const Message& message) {
  Arguments arguments = {Fd(message.fd()), absl::StrCat(message.size())};
  if (message.flags() != 0) arguments.push_back(MessageFlags(message.flags()));
  return arguments;
}

Arguments OtherArguments(const pb::Entry& entry) {
  switch (entry.operation_case()) {
    case pb::Entry::kSend: {
      Arguments arguments = {Fd(entry.send().fd()), Data(entry.send().payload())};
      if (entry.send().flags() != 0) arguments.push_back(MessageFlags(entry.send().flags()));
      return arguments;
    }
    case pb::Entry::kSendTo: {
      const pb::SendTo& op = entry.send_to();
      Arguments arguments = {Fd(op.fd()), Data(op.payload()), QuotedText(op.address())};
      if (op.flags() != 0) arguments.push_back(MessageFlags(op.flags()));
      return arguments;
    }
    case pb::Entry::kRecv:
      return Receive(entry.recv());
    case pb::Entry::kRecvFrom:
      return Receive(entry.recv_from());
    case pb::Entry::kRecvInto:
      return Receive(entry.recv_into());
    case pb::Entry::kRecvMany: {
      Arguments arguments = {Fd(entry.recv_many().fd())};
      if (entry.recv_many().flags() != 0) arguments.push_back(MessageFlags(entry.recv_many().flags()));
      return arguments;
    }
    case pb::Entry::kAccept:
      return {Fd(entry.accept().fd())};
    case pb::Entry::kAcceptMany:
      return {Fd(entry.accept_many().fd())};
    case pb::Entry::kConnect:
      return {Fd(entry.connect().fd()), QuotedText(entry.connect().address())};
    case pb::Entry::kIpcSend:
      return {absl::StrCat("pid ", entry.ipc_send().target_pid()), Data(entry.ipc_send().payload())};
    case pb::Entry::kIpcRecv:
      return {absl::StrCat(entry.ipc_recv().size())};
    case pb::Entry::kSocket:
      return {One(entry.socket().domain(), {{AF_UNIX, "AF_UNIX"}, {AF_INET, "AF_INET"}, {AF_INET6, "AF_INET6"}}),
              SocketType(entry.socket().type()), absl::StrCat(entry.socket().protocol())};
    case pb::Entry::kShutdown:
      return {Fd(entry.shutdown().fd()),
              One(entry.shutdown().how(), {{SHUT_RD, "SHUT_RD"}, {SHUT_WR, "SHUT_WR"}, {SHUT_RDWR, "SHUT_RDWR"}})};
    case pb::Entry::kPoll:
      return {Fd(entry.poll().fd()), PollEvents(entry.poll().events())};
    case pb::Entry::kSleep:
      return {ShortTime(static_cast<double>(entry.sleep().duration_ns()))};
    default:
      return {};
  }
}

std::string ModifiersAsText(const pb::Modifiers& modifiers) {
  std::string text;
  if (modifiers.timeout_ns() != 0) {
    absl::StrAppend(&text, " timeout ", ShortTime(static_cast<double>(modifiers.timeout_ns())));
  }
  if (modifiers.priority() == pb::Modifiers::PRIORITY_URGENT) text += " urgent";
  if (modifiers.priority() == pb::Modifiers::PRIORITY_BACKGROUND) text += " background";
  if (modifiers.drain()) text += " drain";
  return text;
}

}  // namespace

std::string ShortTime(double ns) {
  // What would be rounded up to four digits has the next unit.
  if (ns < 999.5) return absl::StrFormat("%.0fns", ns);
  if (ns < 999.5e3) return absl::StrFormat("%.3gus", ns / 1e3);
  if (ns < 999.5e6) return absl::StrFormat("%.3gms", ns / 1e6);
  if (ns < 9999.5e9) return absl::StrFormat("%.4gs", ns / 1e9);
  return absl::StrFormat("%.0fs", ns / 1e9);
}

std::string QuotedText(absl::string_view bytes, size_t most) {
  const bool cut = bytes.size() > most;
  return absl::StrCat("\"", absl::CHexEscape(bytes.substr(0, most)), cut ? "\"..." : "\"");
}

std::string CallAsText(const pb::Entry& entry) {
  Arguments arguments = FileArguments(entry);
  if (arguments.empty()) arguments = OtherArguments(entry);
  return absl::StrCat(OperationNameOf(entry), "(", absl::StrJoin(arguments, ", "), ")", ModifiersAsText(entry.modifiers()));
}

}  // namespace agentos
