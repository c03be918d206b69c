#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "agentos/benchmarks/bench_environment.h"
#include "agentos/benchmarks/echo_servers.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/bytes.h"
#include "agentos/ring/completion_entry.h"
#include "agentos/ring/ring_options.h"
#include "agentos/ring/submission_entry.h"

namespace agentos::bench {
namespace {

constexpr Pid kPid = 7;
constexpr size_t kQueue = 4096;
constexpr size_t kHarvest = 1024;

enum class Kind : uint8_t { kAccept, kReceive, kSend, kClose };

uint64_t Tag(Kind kind, int fd) { return static_cast<uint64_t>(kind) | static_cast<uint64_t>(fd) << 8; }

struct Connection {
  bool sending = false;
  bool ended = false;
  // What came in meanwhile.
  std::string next;
};

class OurServer {
 public:
  OurServer(int listener, ExecutorKind executor) : listener_(listener), executor_(executor), done_(kHarvest) {}

  std::string Run() {
    if (absl::Status status = Init(); !status.ok()) return status.ToString();
    entries_.push_back(SyscallSubmissionEntry::AcceptMany(kPid, listener_, Tag(Kind::kAccept, 0)));
    while (cause_.empty()) {
      const absl::StatusOr<size_t> count = manager_->SubmitAndWait(kPid, absl::MakeSpan(entries_), absl::Span<Seq>(), 1,
                                                                   absl::MakeSpan(done_), absl::InfiniteDuration());
      if (!count.ok()) return count.status().ToString();
      entries_.clear();
      for (SyscallCompletionEntry& each : absl::MakeSpan(done_).first(*count)) Handle(each);
    }
    return cause_;
  }

 private:
  absl::Status Init() {
    IoUringManagerOptions options;
    options.threading = Threading::kOneThread;
    options.executor = executor_;
    absl::StatusOr<std::unique_ptr<IoUringManager>> manager =
        RetryWhileOutOfMemory([&] { return IoUringManager::Create(options); },
                              [](const auto& made) { return absl::IsResourceExhausted(made.status()); });
    if (!manager.ok()) return manager.status();
    manager_ = *std::move(manager);
    RingOptions ring;
    ring.sq_size = ring.cq_size = kQueue;
    entries_.reserve(2 * kHarvest);
    return manager_->CreateRing(kPid, ring);
  }

  void Handle(SyscallCompletionEntry& done) {
    const int fd = static_cast<int>(done.user_data >> 8);
    switch (static_cast<Kind>(done.user_data & 0xff)) {
      case Kind::kReceive:
        return OnReceived(fd, done);
      case Kind::kSend:
        return OnSent(fd);
      case Kind::kAccept:
        return OnAccepted(done);
      case Kind::kClose:
        break;
    }
  }

  void Send(int fd, Bytes data) {
    connections_[static_cast<size_t>(fd)].sending = true;
    entries_.push_back(SyscallSubmissionEntry::Send(kPid, fd, std::move(data), /*flags=*/0, Tag(Kind::kSend, fd)));
  }

  void OnAccepted(const SyscallCompletionEntry& done) {
    if (!done.more) cause_ = done.status.ToStatus().ToString();
    if (!done.status.is_success()) return;
    const int fd = static_cast<int>(done.result.value());
    if (connections_.size() <= static_cast<size_t>(fd)) connections_.resize(static_cast<size_t>(fd) + 1);
    connections_[static_cast<size_t>(fd)] = {};
    entries_.push_back(SyscallSubmissionEntry::RecvMany(kPid, fd, /*flags=*/0, Tag(Kind::kReceive, fd)));
  }

  void OnReceived(int fd, SyscallCompletionEntry& done) {
    Connection& here = connections_[static_cast<size_t>(fd)];
    if (!done.more) {
      here.ended = true;
      if (!here.sending) Close(fd);
    } else if (here.sending) {
      here.next.append(done.result.data().data(), done.result.data().size());
    } else {
      Send(fd, done.result.TakeBytes());
    }
  }

  void OnSent(int fd) {
    Connection& here = connections_[static_cast<size_t>(fd)];
    here.sending = false;
    if (!here.next.empty()) {
      Send(fd, std::exchange(here.next, std::string()));
    } else if (here.ended) {
      Close(fd);
    }
  }

  void Close(int fd) { entries_.push_back(SyscallSubmissionEntry::Close(kPid, fd, Tag(Kind::kClose, fd))); }

  const int listener_;
  const ExecutorKind executor_;
  std::unique_ptr<IoUringManager> manager_;
  std::vector<SyscallSubmissionEntry> entries_;
  std::vector<SyscallCompletionEntry> done_;
  std::vector<Connection> connections_;
  std::string cause_;
};

}  // namespace

std::string EchoByManager(int listener, ExecutorKind executor) { return OurServer(listener, executor).Run(); }

}  // namespace agentos::bench
