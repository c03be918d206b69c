#include "agentos/manager/manager_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agentos/ring/socket_address.h"

namespace agentos {

namespace {

std::atomic<int> sigpipes{0};
struct sigaction sigpipe_before;

}  // namespace

namespace {

std::function<void(IoUringManagerOptions&)>& Subject() {
  static std::function<void(IoUringManagerOptions&)> subject;
  return subject;
}

}  // namespace

void SetSubject(std::function<void(IoUringManagerOptions&)> adapt) { Subject() = std::move(adapt); }

IoUringManagerOptions OnSubject(IoUringManagerOptions options) {
  if (Subject() != nullptr) Subject()(options);
  return options;
}

std::vector<int> ExecutorFds() {
  std::vector<int> fds;
  for (int fd = 3; fd < 1000; ++fd) {
    char name[64];
    const ssize_t size = readlink(absl::StrCat("/proc/self/fd/", fd).c_str(), name, sizeof(name));
    const absl::string_view leads_to(name, static_cast<size_t>(std::max<ssize_t>(size, 0)));
    for (const char* kind : {"io_uring", "eventfd", "eventpoll", "timerfd"}) {
      if (absl::StrContains(leads_to, kind)) fds.push_back(fd);
    }
  }
  return fds;
}

SigpipeCounter::SigpipeCounter() {
  sigpipes = 0;
  struct sigaction action {};
  action.sa_handler = [](int) { sigpipes.fetch_add(1, std::memory_order_relaxed); };
  sigaction(SIGPIPE, &action, &sigpipe_before);
}
SigpipeCounter::~SigpipeCounter() { sigaction(SIGPIPE, &sigpipe_before, nullptr); }
int SigpipeCounter::count() const { return sigpipes.load(); }

PendingEntries::PendingEntries()
    : pipe_(MakePipe()),
      nonblocking_(MakePipe(O_NONBLOCK)),
      full_(MakeFullPipe()),
      sockets_(MakeSocketPair(SOCK_STREAM)),
      small_(MakeSocketPair(SOCK_STREAM)),
      listener_(Listen(AF_INET, 8, 0, address_)),
      mailbox_(NewSocket(AF_UNIX, SOCK_DGRAM)),
      sender_(NewSocket(AF_UNIX, SOCK_DGRAM)),
      names_({"Accept", "Recv", "Read", "Read behind another", "Read of a nonblocking pipe", "Write", "Send", "RecvFrom",
              "IpcRecv", "Open of a FIFO", "SendTo"}) {
  EXPECT_EQ(mkfifo(directory_.Path("fifo").c_str(), 0600), 0);
  // Bound to nothing but its family, a Unix socket gets a name that is free.
  sockaddr_storage full{};
  full.ss_family = AF_UNIX;
  auto* const generic = reinterpret_cast<sockaddr*>(&full);
  EXPECT_EQ(bind(mailbox_.get(), generic, sizeof(sa_family_t)), 0);
  socklen_t size = sizeof(full);
  EXPECT_EQ(getsockname(mailbox_.get(), generic, &size), 0);
  mailbox_address_ = FormatSocketAddress(generic, size);
  while (sendto(sender_.get(), "f", 1, MSG_DONTWAIT, generic, size) == 1) {
  }
  const std::string filler(4096, 'f');
  for (ssize_t put; (put = send(small_.second.get(), filler.data(), filler.size(), MSG_DONTWAIT)) > 0;) {
    filled_ += static_cast<size_t>(put);
  }
}

std::vector<Entry> PendingEntries::Make(Pid pid) const {
  std::vector<Entry> entries;
  entries.push_back(Entry::Accept(pid, listener_.get(), 0));
  entries.push_back(Entry::Recv(pid, sockets_.first.get(), 100, 0, 1));
  entries.push_back(Entry::Read(pid, pipe_.first.get(), 2, kCurrentPosition, 2));
  entries.push_back(Entry::Read(pid, pipe_.first.get(), 5000, kCurrentPosition, 3));
  entries.push_back(Entry::Read(pid, nonblocking_.first.get(), 5000, kCurrentPosition, 4));
  entries.push_back(Entry::Write(pid, full_.second.get(), Bytes("data"), kCurrentPosition, 5));
  entries.push_back(Entry::Send(pid, small_.second.get(), Bytes("data"), 0, 6));
  entries.push_back(Entry::RecvFrom(pid, sockets_.second.get(), 100, 0, 7));
  entries.push_back(Entry::IpcRecv(pid, 100, 8));
  entries.push_back(Entry::Open(pid, directory_.Path("fifo"), O_RDONLY, 0, 9));
  entries.push_back(Entry::SendTo(pid, sender_.get(), Bytes("data"), mailbox_address_, 0, 10));
  return entries;
}

void PendingEntries::Satisfy() const {
  for (int fd : {sockets_.first.get(), sockets_.second.get(), pipe_.second.get(), nonblocking_.second.get()}) {
    EXPECT_EQ(write(fd, "data", 4), 4);
  }
  EXPECT_EQ(ReadAll(full_.first.get(), 4096).size(), 4096u);
  EXPECT_EQ(ReadAll(small_.first.get(), filled_).size(), filled_);
  fifo_writer_ = Fd(open(directory_.Path("fifo").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  for (char data[8]; recv(mailbox_.get(), data, sizeof(data), MSG_DONTWAIT) == 1;) {
  }
}

testing::AssertionResult PendingEntries::IsResult(size_t index, const Done& done) const {
  if (MakesFd(index)) return Succeeded(done);
  if (index == 5 || index == 6 || index == 10) return Succeeded(done, 4);
  const absl::string_view expected = index == 2 ? "da" : index == 3 ? "ta" : "data";
  if (done.result.data() == expected) return Succeeded(done);
  return testing::AssertionFailure() << names_[index] << " gave \"" << done.result.data() << '"';
}

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
  // The kernel gives back the locked memory of closed rings when it finds time, which is after the tests before this one.
  const absl::Time patience = absl::Now() + absl::Seconds(20);
  absl::StatusOr<std::unique_ptr<IoUringManager>> manager = IoUringManager::Create(OnSubject(options));
  while (absl::IsResourceExhausted(manager.status()) && absl::Now() < patience) {
    std::this_thread::yield();
    manager = IoUringManager::Create(OnSubject(options));
  }
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
