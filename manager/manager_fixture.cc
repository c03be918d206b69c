#include "agentos/manager/manager_fixture.h"

#include <signal.h>

#include <atomic>

namespace agentos {

namespace {

std::atomic<int> sigpipes{0};
struct sigaction sigpipe_before;

}  // namespace

SigpipeCounter::SigpipeCounter() {
  sigpipes = 0;
  struct sigaction action {};
  action.sa_handler = [](int) { sigpipes.fetch_add(1, std::memory_order_relaxed); };
  sigaction(SIGPIPE, &action, &sigpipe_before);
}
SigpipeCounter::~SigpipeCounter() { sigaction(SIGPIPE, &sigpipe_before, nullptr); }
int SigpipeCounter::count() const { return sigpipes.load(); }

void ManagerTest::SetUp() {
  fds_before_ = OpenFds();
  MakeManager(Options());
}

void ManagerTest::TearDown() {
  if (manager_ != nullptr) EndManager();
}

IoUringManagerOptions ManagerTest::Options() const {
  IoUringManagerOptions options;
  options.threading = GetParam();
  return options;
}

void ManagerTest::MakeManager(IoUringManagerOptions options) {
  manager_.reset();
  absl::StatusOr<std::unique_ptr<IoUringManager>> manager = IoUringManager::Create(options);
  ASSERT_TRUE(manager.ok()) << manager.status();
  manager_ = *std::move(manager);
}

void ManagerTest::EndManager() {
  manager_.reset();
  EXPECT_EQ(OpenFds(), fds_before_) << "descriptors leaked";
}

Seq ManagerTest::Submit(Entry entry, Pid pid) {
  const absl::StatusOr<Seq> seq = manager_->Submit(pid, std::move(entry));
  EXPECT_TRUE(seq.ok()) << seq.status();
  return seq.value_or(0);
}

Done ManagerTest::Wait(Seq seq, Pid pid) {
  absl::StatusOr<Done> done = manager_->WaitCompletion(pid, seq);
  EXPECT_TRUE(done.ok()) << done.status();
  return done.ok() ? *std::move(done) : Done();
}

std::vector<Done> ManagerTest::RunBatch(std::vector<Entry> entries, Pid pid) {
  const absl::StatusOr<std::vector<Seq>> seqs = manager_->SubmitBatch(pid, std::move(entries));
  EXPECT_TRUE(seqs.ok()) << seqs.status();
  std::vector<Done> all;
  if (!seqs.ok()) return all;
  for (Seq seq : *seqs) all.push_back(Wait(seq, pid));
  return all;
}

size_t ManagerTest::Reapable(Pid pid) {
  const absl::StatusOr<std::vector<Done>> done = manager_->ReapCompletions(pid);
  EXPECT_TRUE(done.ok()) << done.status();
  return done.ok() ? done->size() : 0;
}

std::string ThreadingName(const testing::TestParamInfo<Threading>& info) {
  return info.param == Threading::kOneThread ? "OneThread" : "AnyThread";
}

}  // namespace agentos
