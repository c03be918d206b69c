// What the manager's tests share beside test_support.h: a manager per threading mode, whose death must leave no descriptor
// behind.
//
// Thread rule: as the manager it holds.
//
//   class ReadTest : public ManagerTest {};
//   TEST_P(ReadTest, P13ReturnsWhatIsThere) { EXPECT_TRUE(FailedWith(Run(Entry::Close(kPid, 12345, 0)), EBADF)); }
//   INSTANTIATE_TEST_SUITE_P(Threading, ReadTest, BothThreadings(), ThreadingName);

#ifndef AGENTOS_MANAGER_MANAGER_FIXTURE_H_
#define AGENTOS_MANAGER_MANAGER_FIXTURE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {

using Entry = SyscallSubmissionEntry;
using Done = SyscallCompletionEntry;

inline constexpr Pid kPid = 7;

// What every manager of these tests is made with, whatever else a test wants: set once, by the main function of a program that
// runs them on rings of its own kind.
void SetSubject(std::function<void(IoUringManagerOptions&)> adapt);
IoUringManagerOptions OnSubject(IoUringManagerOptions options);

// The descriptors below 1,000 of the kinds that only executors make: those of the library, where a test makes none.
std::vector<int> ExecutorFds();

// Counts the SIGPIPEs that reach the process while it lives, none of which then kills it.
class SigpipeCounter {
 public:
  SigpipeCounter();
  ~SigpipeCounter();
  SigpipeCounter(const SigpipeCounter&) = delete;
  SigpipeCounter& operator=(const SigpipeCounter&) = delete;
  int count() const;
};

// Entries of every kind that stays under way by itself, and what they wait for.
class PendingEntries {
 public:
  PendingEntries();

  // In the order of Names.
  std::vector<Entry> Make(Pid pid) const;
  const std::vector<std::string>& names() const { return names_; }
  // Gives each entry what it waits for.
  void Satisfy() const;
  // Whether `done` is what the entry at `index` gives when it has got what it waits for.
  testing::AssertionResult IsResult(size_t index, const Done& done) const;

  // Whether the entry at `index` gives a descriptor when it succeeds.
  bool MakesFd(size_t index) const { return index == kAccept || index == kOpen; }

  const std::string& address() const { return address_; }

 private:
  static constexpr size_t kAccept = 0;
  static constexpr size_t kOpen = 9;

  Pair pipe_;
  Pair nonblocking_;
  Pair full_;
  Pair sockets_;
  Pair small_;
  std::string address_;
  Fd listener_;
  Fd mailbox_;
  Fd sender_;
  std::string mailbox_address_;
  TempDir directory_;
  // Stays open: the kernel's thread may come to its open later than this.
  mutable Fd fifo_writer_;
  std::vector<std::string> names_;
  size_t filled_ = 0;
};

class ManagerTest : public testing::TestWithParam<Threading> {
 protected:
  void SetUp() override;
  void TearDown() override;

  IoUringManagerOptions Options() const;
  void MakeManager(IoUringManagerOptions options);
  // Ends the manager and checks that it has left no descriptor of its own or of its entries.
  void EndManager();

  IoUringManager& manager() { return *manager_; }

  Seq Submit(Entry entry, Pid pid = kPid);
  Done Wait(Seq seq, Pid pid = kPid);
  Done Run(Entry entry, Pid pid = kPid) { return Wait(Submit(std::move(entry), pid), pid); }
  std::vector<Done> RunBatch(std::vector<Entry> entries, Pid pid = kPid);
  // What a reaper finds now.
  size_t Reapable(Pid pid = kPid);

  std::string Path(absl::string_view name) const { return directory_.Path(name); }

  std::unique_ptr<IoUringManager> manager_;
  TempDir directory_;
  size_t fds_before_ = 0;
};

inline auto BothThreadings() { return testing::Values(Threading::kAnyThread, Threading::kOneThread); }
std::string ThreadingName(const testing::TestParamInfo<Threading>& info);

}  // namespace agentos

#endif  // AGENTOS_MANAGER_MANAGER_FIXTURE_H_
