#include "agentos/handlers/dispatcher.h"

#include <algorithm>
#include <variant>

#include "agentos/ring/operation.h"

namespace agentos {

namespace {

// What the request itself says of the bytes that will move.
uint64_t SizeOf(const Operation& operation) {
  return std::visit(
      [](const auto& op) -> uint64_t {
        if constexpr (requires { op.data.size(); }) {
          return op.data.size();
        } else if constexpr (requires { op.fd, op.size; }) {
          return static_cast<uint64_t>(std::max<int64_t>(0, static_cast<int64_t>(op.size)));
        } else {
          return 0;
        }
      },
      operation);
}

// Transfers that can be taken in parts without a difference to anybody.
bool IsDivisible(OperationKind kind) {
  constexpr OperationKinds kDivisible = {OperationKind::kReadFile,     OperationKind::kWriteFile, OperationKind::kRead,
                                         OperationKind::kWrite,        OperationKind::kSend,      OperationKind::kSplice,
                                         OperationKind::kCopyFileRange};
  return kDivisible.Has(kind);
}

}  // namespace

absl::string_view WayName(Way way) {
  switch (way) {
    case Way::kRing:
      return "ring";
    case Way::kStream:
      return "stream";
    case Way::kTask:
      return "task";
  }
  return "unknown";
}

Choice Choose(const Syscall& syscall, std::optional<uint64_t> size) {
  const Operation* operation = syscall.operation();
  if (operation == nullptr) return {Way::kTask, "no ring executes it"};
  if (KindOf(*operation) == OperationKind::kNone) return {Way::kTask, "it asks for nothing that a ring could execute"};
  if (IsDivisible(KindOf(*operation)) && size.value_or(SizeOf(*operation)) >= kStreamFrom) {
    return {Way::kStream, "it is large: in chunks its memory is bounded and its progress can be seen"};
  }
  if (syscall.is_io_bound()) return {Way::kRing, "the kernel executes it, and nobody has to wait for it alone"};
  return {Way::kRing, "it is short: it goes along with the next batch"};
}

}  // namespace agentos
