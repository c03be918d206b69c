#include "agentos/ring/operation.h"

#include <array>
#include <type_traits>

namespace agentos {

namespace {

struct Traits {
  absl::string_view name;
  bool io_bound;
  bool batchable;
};

// In the order of Operation.
constexpr std::array<Traits, kOperationKinds> kTraits = {{
    {"None", false, false},   {"Nop", false, true},          {"ReadFile", true, true},  {"WriteFile", true, true},
    {"Open", true, true},     {"Close", false, true},        {"Read", true, true},      {"Write", true, true},
    {"Fsync", true, true},    {"Lseek", false, false},       {"Send", true, true},      {"Recv", true, true},
    {"Accept", true, true},   {"Connect", true, true},       {"SendTo", true, true},    {"RecvFrom", true, true},
    {"IpcSend", true, false}, {"IpcRecv", true, false},      {"Statx", true, true},     {"Rename", true, true},
    {"Unlink", true, true},   {"Mkdir", true, true},         {"Fallocate", true, true}, {"Ftruncate", true, true},
    {"Splice", true, true},   {"Socket", false, true},       {"Shutdown", false, true}, {"Poll", true, true},
    {"Sleep", false, true},   {"ReadInto", true, true},      {"RecvInto", true, true},  {"AcceptMany", true, true},
    {"RecvMany", true, true}, {"CopyFileRange", true, true},
}};

const Traits& TraitsOf(OperationKind kind) { return kTraits[static_cast<size_t>(kind)]; }

}  // namespace

absl::string_view OperationName(OperationKind kind) { return TraitsOf(kind).name; }
absl::string_view OperationName(const Operation& operation) { return OperationName(KindOf(operation)); }
bool IsIoBound(const Operation& operation) { return TraitsOf(KindOf(operation)).io_bound; }
bool IsBatchable(const Operation& operation) { return TraitsOf(KindOf(operation)).batchable; }

bool MakesFd(OperationKind kind) {
  constexpr OperationKinds kMakesFd = {OperationKind::kOpen, OperationKind::kAccept, OperationKind::kSocket,
                                       OperationKind::kAcceptMany};
  return kMakesFd.Has(kind);
}

int FdOf(const Operation& operation) {
  return std::visit(
      [](const auto& op) {
        if constexpr (requires { op.fd; }) {
          return op.fd;
        } else if constexpr (requires { op.from_fd; }) {
          return op.from_fd;
        } else {
          return -1;
        }
      },
      operation);
}

size_t BytesOf(const Operation& operation) {
  return std::visit(
      [](const auto& op) -> size_t {
        using Op = std::decay_t<decltype(op)>;
        if constexpr (std::is_same_v<Op, operation::ReadFile>) {
          return kReadFileBytes;
        } else if constexpr (std::is_same_v<Op, operation::IpcSend> || std::is_same_v<Op, operation::IpcRecv> ||
                             std::is_same_v<Op, operation::Fallocate> || std::is_same_v<Op, operation::Ftruncate>) {
          // Mailboxes have limits of their own; room on a disk is not moved.
          return 0;
        } else if constexpr (std::is_same_v<Op, operation::RecvMany>) {
          return operation::kRecvManyBytes;
        } else if constexpr (requires { op.data; }) {
          return op.data.size();
        } else if constexpr (requires { op.size; }) {
          return op.size;
        } else {
          return 0;
        }
      },
      operation);
}

bool WorksOn(const Operation& operation, int fd) {
  return std::visit(
      [fd](const auto& op) {
        if constexpr (requires { op.beneath_fd; }) {
          return op.beneath_fd == fd;
        } else if constexpr (requires { op.to_fd; }) {
          return op.from_fd == fd || op.to_fd == fd;
        } else if constexpr (requires { op.fd; }) {
          return op.fd == fd;
        } else {
          return false;
        }
      },
      operation);
}

}  // namespace agentos
