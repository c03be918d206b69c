// The stage on which programs of several entries are run to compare executors: a ring's manager, a few files, and a record of what
// happens there in words.
//
// Thread rule: one thread.
//
//   ProgramStage stage(ExecutorKind::kThreadPool, Threading::kOneThread);
//   stage.Submit(ReadOf(stage.pipe).WithLink(), Nop());
//   stage.Feed(stage.pipe, "go");
//   stage.Take(2);
//   EXPECT_EQ(absl::StrJoin(stage.lines(), "; "), "1: 2 'go'; 2: 0");

#ifndef AGENTOS_MANAGER_PROGRAM_STAGE_H_
#define AGENTOS_MANAGER_PROGRAM_STAGE_H_

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/manager/test_manager.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {

// Entries are called by their sequence numbers, which begin at 1.
class ProgramStage {
 public:
  ProgramStage(ExecutorKind executor, Threading threading)
      : manager({.executor = executor, .threading = threading, .kernel_rings = 1}) {
    Spill(Path("file"), "hello");
    file = Fd(open(Path("file").c_str(), O_RDWR | O_CLOEXEC));
  }

  std::string Path(const char* name) const { return dir_.Path(name); }

  template <typename... Entries>
  void Submit(Entries... entries) {
    std::vector<Entry> batch;
    (batch.push_back(std::move(entries)), ...);
    Submit(std::move(batch));
  }
  void Submit(std::vector<Entry> batch) {
    const absl::StatusOr<std::vector<Seq>> seqs = manager->SubmitBatch(kPid, std::move(batch));
    if (!seqs.ok()) Say("refused", seqs.status());
  }
  // In order of completion.
  template <typename... Entries>
  void Run(Entries... entries) {
    Submit(std::move(entries)...);
    Take(sizeof...(entries));
  }
  void Feed(const Pair& to, const char* data) {
    EXPECT_EQ(write(to.second.get(), data, strlen(data)), static_cast<ssize_t>(strlen(data)));
  }
  // In the order given.
  template <typename... Seqs>
  void Wait(Seqs... seqs) {
    const auto wait = [this](Seq seq) {
      const absl::StatusOr<Done> done = manager->WaitCompletion(kPid, seq);
      done.ok() ? Say(*done) : Say(seq, done.status());
    };
    (wait(static_cast<Seq>(seqs)), ...);
  }
  // In order of completion.
  void Take(size_t count) {
    const absl::StatusOr<std::vector<Done>> all = manager->WaitCompletions(kPid, count, count, kDefaultWaitTimeout);
    if (!all.ok()) return Say("taking", all.status());
    for (const Done& done : *all) Say(done);
  }
  // What is there without waiting, where that is certain.
  void Now() {
    const std::vector<Done> all = manager.Reap(kPid);
    if (all.empty()) Say("nothing yet");
    for (const Done& done : all) Say(done);
  }
  void Cancel(Seq seq) {
    const absl::Status asked = manager->Cancel(kPid, seq);
    if (!asked.ok()) Say(absl::StrCat("cancel ", seq), asked);
  }

  template <typename... Parts>
  void Say(const Parts&... parts) {
    lines_.push_back(absl::StrCat(parts...));
  }
  template <typename What>
  void Say(const What& what, const absl::Status& status) {
    Say(what, ": ", absl::StatusCodeToString(status.code()));
  }
  void Say(const Done& done) {
    const auto& [status, result] = std::tie(done.status, done.result);
    const std::string data = result.data().empty() ? "" : absl::StrCat(" '", result.data(), "'");
    const char* failure = status.is_cancelled() ? "cancelled" : strerrorname_np(status.error_number());
    Say(done.seq, ": ", status.is_success() ? absl::StrCat(result.value(), data) : failure, done.more ? " and more" : "");
  }
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  TempDir dir_;
  std::vector<std::string> lines_;

 public:
  Pair pipe = MakePipe();
  Pair other = MakePipe();
  Pair sockets = MakeSocketPair(SOCK_STREAM);
  Fd file;
  // Ends first.
  TestManager manager;
};

inline Entry Nop() { return Entry::Nop(kPid, 0); }
inline Entry Fails() { return Entry::Close(kPid, ClosedFd(), 0); }
inline Entry ReadOf(const Pair& pipe, size_t size = 10) { return Entry::Read(kPid, pipe.first.get(), size, kCurrentPosition, 0); }
inline Entry RecvOf(const Pair& sockets) { return Entry::Recv(kPid, sockets.first.get(), 10, 0, 0); }
inline Entry ReadAt(const Fd& file, int64_t offset) { return Entry::Read(kPid, file.get(), 10, offset, 0); }

}  // namespace agentos

#endif  // AGENTOS_MANAGER_PROGRAM_STAGE_H_
