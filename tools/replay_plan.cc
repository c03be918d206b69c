#include "agentos/tools/replay_plan.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace agentos {

namespace {

using proto::v1::Entry;

constexpr char kWrites[] = "it changes files; give a directory for that with --root";
constexpr char kSocket[] = "its peer is not in the trace: sockets are not replayed";

bool IsSuccess(const TracedOperation& operation) {
  return operation.ended && operation.error_number == 0 && !operation.cancelled;
}

// Descriptors that the operation works on.
std::vector<int> FdsOf(const Entry& entry) {
  switch (entry.operation_case()) {
    case Entry::kRead:
      return {entry.read().fd()};
    case Entry::kReadInto:
      return {entry.read_into().fd()};
    case Entry::kWrite:
      return {entry.write().fd()};
    case Entry::kClose:
      return {entry.close().fd()};
    case Entry::kFsync:
      return {entry.fsync().fd()};
    case Entry::kLseek:
      return {entry.lseek().fd()};
    case Entry::kFallocate:
      return {entry.fallocate().fd()};
    case Entry::kFtruncate:
      return {entry.ftruncate().fd()};
    case Entry::kSplice:
      return {entry.splice().from_fd(), entry.splice().to_fd()};
    case Entry::kCopyFileRange:
      return {entry.copy_file_range().from_fd(), entry.copy_file_range().to_fd()};
    default:
      return {};
  }
}

const proto::v1::Payload* PayloadOf(const Entry& entry) {
  if (entry.has_write()) return &entry.write().payload();
  if (entry.has_write_file()) return &entry.write_file().payload();
  if (entry.has_ipc_send()) return &entry.ipc_send().payload();
  return nullptr;
}

// What would be changed by it beyond the descriptors that Open allowed.
bool ChangesFiles(const Entry& entry) {
  switch (entry.operation_case()) {
    case Entry::kWriteFile:
    case Entry::kRename:
    case Entry::kUnlink:
    case Entry::kMkdir:
      return true;
    case Entry::kOpen:
      return (entry.open().flags() & O_ACCMODE) != O_RDONLY || (entry.open().flags() & (O_CREAT | O_TRUNC | O_TMPFILE)) != 0;
    default:
      return false;
  }
}

std::vector<std::string> PathsOf(const Entry& entry) {
  switch (entry.operation_case()) {
    case Entry::kReadFile:
      return {entry.read_file().path()};
    case Entry::kWriteFile:
      return {entry.write_file().path()};
    case Entry::kOpen:
      return {entry.open().path()};
    case Entry::kStatx:
      return {entry.statx().path()};
    case Entry::kUnlink:
      return {entry.unlink().path()};
    case Entry::kMkdir:
      return {entry.mkdir().path()};
    case Entry::kRename:
      return {entry.rename().from(), entry.rename().to()};
    default:
      return {};
  }
}

bool IsConfined(const Entry& entry) {
  return entry.read_file().has_beneath_fd() || entry.write_file().has_beneath_fd() || entry.open().has_beneath_fd();
}

// Goes through the operations in their order and knows which descriptors there are.
class Planner {
 public:
  Planner(const std::vector<TracedOperation>& operations, const ReplayRules& rules) : rules_(rules) {
    for (const TracedOperation& operation : operations) pids_.insert(operation.entry.pid());
  }

  // A message that is not sent again would be waited for in vain.
  void Expect(const std::vector<TracedOperation>& operations) {
    for (const TracedOperation& operation : operations) {
      if (!operation.entry.has_ipc_send() || !IsSuccess(operation) || ObstacleOf(operation).empty()) continue;
      without_mail_.insert(operation.entry.ipc_send().target_pid());
    }
  }

  std::string ObstacleOf(const TracedOperation& operation) const {
    const Entry& entry = operation.entry;
    if (!operation.ended) return "it never ended";
    if (operation.cancelled) return "it was cancelled, which is a matter of time";
    switch (entry.operation_case()) {
      case Entry::OPERATION_NOT_SET:
        return "its beginning is not in the trace";
      case Entry::kSend:
      case Entry::kSendTo:
      case Entry::kRecv:
      case Entry::kRecvFrom:
      case Entry::kRecvInto:
      case Entry::kRecvMany:
      case Entry::kAccept:
      case Entry::kAcceptMany:
      case Entry::kConnect:
      case Entry::kSocket:
      case Entry::kShutdown:
      case Entry::kPoll:
        return kSocket;
      default:
        break;
    }
    if (!rules_.has_root && ChangesFiles(entry)) return kWrites;
    if (IsConfined(entry)) return "the directory that it is confined to was opened elsewhere";
    if (rules_.has_root) {
      for (const std::string& path : PathsOf(entry)) {
        if (PathBeneath(path).empty()) return absl::StrCat("its path would leave the root");
      }
    }
    for (const int fd : FdsOf(entry)) {
      if (!open_.contains(fd)) return absl::StrCat("its descriptor ", fd, " was not opened in the trace");
    }
    if (entry.has_ipc_send() && !pids_.contains(entry.ipc_send().target_pid())) {
      return absl::StrCat("pid ", entry.ipc_send().target_pid(), " does nothing in the trace");
    }
    if (entry.has_ipc_recv() && without_mail_.contains(entry.pid())) return "a message that it received is not sent again";
    const proto::v1::Payload* payload = PayloadOf(entry);
    if (payload != nullptr && payload->data().size() < payload->size() && !rules_.zero_payloads) {
      return "what it wrote was not recorded; record with TraceOptions::payload_bytes, or give --zero-payloads";
    }
    return "";
  }

  void Note(const PlannedOperation& planned) {
    if (!planned.obstacle.empty() || !IsSuccess(planned.traced)) return;
    if (planned.traced.entry.has_open()) open_.insert(static_cast<int>(planned.traced.value));
    if (planned.traced.entry.has_close()) open_.erase(planned.traced.entry.close().fd());
  }

 private:
  const ReplayRules rules_;
  std::set<uint32_t> pids_;
  // Processes to which not every message is sent again.
  std::set<uint32_t> without_mail_;
  std::set<int> open_;
};

bool IsLinked(const TracedOperation& operation) { return operation.entry.modifiers().link() != proto::v1::Modifiers::LINK_NONE; }

}  // namespace

std::string PathBeneath(absl::string_view path) {
  std::vector<absl::string_view> parts;
  for (const absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (parts.empty()) {
      return "";
    } else {
      parts.pop_back();
    }
  }
  return absl::StrJoin(parts, "/");
}

std::vector<PlannedOperation> PlanReplay(std::vector<TracedOperation> operations, const ReplayRules& rules) {
  std::erase_if(operations, [](const TracedOperation& operation) { return operation.more; });
  std::sort(operations.begin(), operations.end(), [](const TracedOperation& a, const TracedOperation& b) {
    return std::tuple(a.queued_ns, a.entry.pid(), a.seq) < std::tuple(b.queued_ns, b.entry.pid(), b.seq);
  });
  Planner planner(operations, rules);
  planner.Expect(operations);
  std::vector<PlannedOperation> plan;
  for (size_t i = 0; i < operations.size();) {
    // A chain is replayed as a whole or not at all.
    size_t end = i + 1;
    while (end < operations.size() && IsLinked(operations[end - 1]) && operations[end].entry.pid() == operations[i].entry.pid() &&
           operations[end].seq == operations[end - 1].seq + 1) {
      ++end;
    }
    std::vector<PlannedOperation> chain;
    bool all = true;
    for (; i < end; ++i) {
      chain.push_back({std::move(operations[i]), ""});
      chain.back().obstacle = planner.ObstacleOf(chain.back().traced);
      all = all && chain.back().obstacle.empty();
    }
    for (PlannedOperation& planned : chain) {
      if (!all && planned.obstacle.empty()) planned.obstacle = "it is linked to one that cannot be replayed";
      planner.Note(planned);
      plan.push_back(std::move(planned));
    }
  }
  return plan;
}

}  // namespace agentos
