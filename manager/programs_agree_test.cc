// P15: programs of several entries give the same sequence of results on both executors, and the one that the promises say. What
// executors_agree_test.cc does for single entries this does for chains, drains, priorities, cancels, timeouts and limits.

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/manager/manager_fixture.h"
#include "agentos/manager/program_stage.h"
#include "agentos/manager/test_manager.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr absl::Duration kShort = absl::Milliseconds(5);

using Stage = ProgramStage;

struct Program {
  const char* name;
  // What it says, in one line.
  const char* expected;
  void (*run)(Stage&);
};

std::vector<Program> Chains() {
  return {
      {"links run in order", "1: 6; 2: 6 'worlds'; 3: 0; 4: 3; 5: 3 'lds'; 6: 0",
       [](Stage& s) {
         s.Run(Entry::Write(kPid, s.file.get(), "worlds", 0, 0).WithLink(), ReadAt(s.file, 0).WithLink(),
               Entry::Fsync(kPid, s.file.get(), 0).WithLink(), Entry::Lseek(kPid, s.file.get(), 3, SEEK_SET, 0).WithLink(),
               ReadAt(s.file, kCurrentPosition).WithLink(), ReadAt(s.file, kCurrentPosition));
       }},
      {"a link fails in the middle", "1: 0; 2: EBADF; 3: cancelled; 4: cancelled",
       [](Stage& s) { s.Run(Nop().WithLink(), Fails().WithLink(), Nop().WithLink(), Nop()); }},
      {"a hard link fails in the middle", "1: 0; 2: EBADF; 3: 0; 4: EBADF; 5: cancelled",
       [](Stage& s) { s.Run(Nop().WithLink(), Fails().WithHardLink(), Nop().WithLink(), Fails().WithLink(), Nop()); }},
      {"short reads at the end of a file are successes", "1: 5 'hello'; 2: 2 'lo'; 3: 0; 4: 0",
       [](Stage& s) { s.Run(ReadAt(s.file, 0).WithLink(), ReadAt(s.file, 3).WithLink(), ReadAt(s.file, 9).WithLink(), Nop()); }},
      {"whole files inside a chain", "1: 3; 2: 3 'new'; 3: 0; 4: ENOENT; 5: cancelled",
       [](Stage& s) {
         s.Run(Entry::WriteFile(kPid, s.Path("new"), "new", 0).WithLink(), Entry::ReadFile(kPid, s.Path("new"), 0).WithLink(),
               Entry::Unlink(kPid, s.Path("new"), 0, 0).WithLink(), Entry::ReadFile(kPid, s.Path("new"), 0).WithLink(), Nop());
       }},
      {"a whole file that fails before a hard link", "1: EISDIR; 2: 5 'hello'; 3: 0",
       [](Stage& s) {
         s.Run(Entry::ReadFile(kPid, s.Path("."), 0).WithHardLink(), Entry::ReadFile(kPid, s.Path("file"), 0).WithLink(), Nop());
       }},
      {"a chain whose first waits", "nothing yet; 1: 2 'go'; 2: 0; 3: EBADF",
       [](Stage& s) {
         s.Submit(ReadOf(s.pipe).WithLink(), Nop().WithLink(), Fails());
         s.Now();
         s.Feed(s.pipe, "go");
         s.Take(3);
       }},
      {"two chains that wait for one another", "2: 1; 3: 1 'x'; 1: 1 'x'; 4: 1",
       [](Stage& s) {
         s.Submit(ReadOf(s.pipe, 1).WithLink(), Entry::Write(kPid, s.other.second.get(), "x", kCurrentPosition, 0),
                  ReadOf(s.other).WithLink(), Entry::Write(kPid, s.sockets.first.get(), "x", kCurrentPosition, 0));
         s.Feed(s.pipe, "x");
         s.Wait(2, 3, 1, 4);
       }},
      {"a chain that starts one at a time", "1: 0; 2: EBADF; 3: 0; 4: EBADF; 5: cancelled; 6: 0",
       [](Stage& s) {
         s.manager.MakeRing(kPid, {.max_in_flight = 1});
         s.Run(Nop().WithLink(), Fails().WithHardLink(), Nop().WithLink(), Fails().WithLink(), Nop(), Nop());
       }},
      {"a message from one to the next", "1: 5; 2: 5 'hello'; 3: ESRCH; 4: cancelled",
       [](Stage& s) {
         s.manager.MakeRing(kPid, {});
         s.Run(Entry::IpcSend(kPid, kPid, "hello", 0).WithLink(), Entry::IpcRecv(kPid, 10, 0).WithLink(),
               Entry::IpcSend(kPid, 99, "hello", 0).WithLink(), Nop());
       }},
      {"a chain that is none", "refused: INVALID_ARGUMENT; refused: INVALID_ARGUMENT; 1: 0",
       [](Stage& s) {
         s.Submit(Nop().WithLink(), Nop().WithLink());
         s.Submit(Nop().WithLink(), Nop().WithDrain());
         s.Run(Nop());
       }},
  };
}

std::vector<Program> DrainsAndPriorities() {
  return {
      {"a drain between what waits", "nothing yet; nothing yet; 1: 1 'a'; 2: 1 'b'; 3: 0; 4: 0; 5: 0",
       [](Stage& s) {
         s.Submit(ReadOf(s.pipe), ReadOf(s.other).WithDrain(), Nop(), Nop().WithDrain(), Nop());
         s.Now();
         s.Feed(s.other, "b");
         s.Now();
         s.Feed(s.pipe, "a");
         s.Take(5);
       }},
      {"a drain that is cancelled", "2: cancelled; 3: 0; 1: 2 'go'",
       [](Stage& s) {
         s.Submit(ReadOf(s.pipe), Nop().WithDrain(), Nop());
         s.Cancel(2);
         s.Take(2);
         s.Feed(s.pipe, "go");
         s.Take(1);
       }},
      {"a drain that times out", "2: ETIMEDOUT; 3: 0; 1: 2 'go'",
       [](Stage& s) {
         s.Submit(ReadOf(s.pipe), Nop().WithTimeout(kShort).WithDrain(), Nop());
         s.Take(2);
         s.Feed(s.pipe, "go");
         s.Take(1);
       }},
      {"a chain that drains", "nothing yet; 1: 2 'go'; 2: 0; 3: EBADF; 4: cancelled; 5: 0",
       [](Stage& s) {
         s.Submit(ReadOf(s.pipe), Nop().WithDrain().WithLink(), Fails().WithLink(), Nop(), Nop().WithDrain());
         s.Now();
         s.Feed(s.pipe, "go");
         s.Take(5);
       }},
      {"priorities", "1: 2 'go'; 4: 0; 7: EBADF; 3: 0; 6: 0; 2: 0; 5: 0",
       [](Stage& s) {
         s.manager.MakeRing(kPid, {.max_in_flight = 1});
         s.Submit(ReadOf(s.pipe), Nop().WithPriority(Priority::kBackground), Nop(), Nop().WithPriority(Priority::kUrgent),
                  Nop().WithPriority(Priority::kBackground), Nop(), Fails().WithPriority(Priority::kUrgent));
         s.Feed(s.pipe, "go");
         s.Take(7);
       }},
      {"the background has its turn", "1: 2 'go'; 2 after 16 others",
       [](Stage& s) {
         s.manager.MakeRing(kPid, {.max_in_flight = 1});
         s.Submit(ReadOf(s.pipe), Nop().WithPriority(Priority::kBackground));
         for (int i = 0; i < 40; ++i) s.Submit(Nop().WithPriority(Priority::kUrgent));
         s.Feed(s.pipe, "go");
         s.Take(1);
         const absl::StatusOr<std::vector<Done>> all = s.manager->WaitCompletions(kPid, 41, 41, kDefaultWaitTimeout);
         ASSERT_TRUE(all.ok()) << all.status();
         for (size_t i = 0; i < all->size(); ++i) {
           if ((*all)[i].seq == 2) s.Say("2 after ", i, " others");
         }
       }},
      {"more urgent ones before a drain, not across it", "1: 2 'go'; 3: 0; 2: 0; 4: 0; 5: 0",
       [](Stage& s) {
         s.manager.MakeRing(kPid, {.max_in_flight = 1});
         s.Submit(ReadOf(s.pipe), Nop(), Nop().WithPriority(Priority::kUrgent), Nop().WithDrain(),
                  Nop().WithPriority(Priority::kUrgent));
         s.Feed(s.pipe, "go");
         s.Take(5);
       }},
  };
}

std::vector<Program> CancelsAndTimeouts() {
  return {
      {"cancelling what waits", "1: cancelled; cancel 1: NOT_FOUND; cancel 9: NOT_FOUND; 2: 2 'go'",
       [](Stage& s) {
         s.Submit(RecvOf(s.sockets), RecvOf(s.sockets));
         s.Cancel(1);
         s.Wait(1);
         s.Cancel(1);
         s.Cancel(9);
         s.Feed(s.sockets, "go");
         s.Take(1);
       }},
      {"cancelling what has not started", "2: cancelled; nothing yet; 1: 2 'go'; 3: 0",
       [](Stage& s) {
         s.manager.MakeRing(kPid, {.max_in_flight = 1});
         s.Submit(ReadOf(s.pipe), Nop(), Nop());
         s.Cancel(2);
         s.Take(1);
         s.Now();
         s.Feed(s.pipe, "go");
         s.Take(2);
       }},
      {"cancelling in the middle of a chain", "3: cancelled; 4: cancelled; 1: 2 'go'; 2: 0",
       [](Stage& s) {
         s.Submit(ReadOf(s.pipe).WithLink(), Nop().WithHardLink(), Nop().WithHardLink(), Nop());
         s.Cancel(3);
         s.Take(2);
         s.Feed(s.pipe, "go");
         s.Take(2);
       }},
      {"cancelling the first, before a link and a hard one", "1: cancelled; 2: cancelled; 3: cancelled; 4: 0; 5: 0",
       [](Stage& s) {
         s.Submit(ReadOf(s.pipe).WithLink(), Nop());
         s.Submit(ReadOf(s.pipe).WithHardLink(), Nop().WithLink(), Nop());
         s.Cancel(1);
         s.Cancel(3);
         s.Wait(1, 2, 3, 4, 5);
       }},
      {"cancelling all", "asked 5; 1: cancelled; 2: cancelled; 3: cancelled; 4: cancelled; 5: cancelled; asked 0; 6: 0",
       [](Stage& s) {
         s.Submit(ReadOf(s.pipe), RecvOf(s.sockets), Entry::IpcRecv(kPid, 10, 0), ReadOf(s.other).WithLink(), Nop());
         s.Say("asked ", s.manager->CancelAll(kPid).value_or(99));
         s.Wait(1, 2, 3, 4, 5);
         s.Say("asked ", s.manager->CancelAll(kPid).value_or(99));
         s.Run(Nop());
       }},
      {"cancelling what is done with one fd", "asked 3; 1: cancelled; 3: cancelled; 4: cancelled; 2: 2 'go'",
       [](Stage& s) {
         s.Submit(ReadOf(s.pipe), ReadOf(s.other), Entry::Poll(kPid, s.pipe.first.get(), POLLIN, 0), ReadOf(s.pipe));
         s.Say("asked ", s.manager->CancelFd(kPid, s.pipe.first.get()).value_or(99));
         s.Wait(1, 3, 4);
         s.Feed(s.other, "go");
         s.Take(1);
       }},
      {"timeouts of what waits", "1: ETIMEDOUT; 2: ETIMEDOUT; 3: ETIMEDOUT; 4: ETIMEDOUT; 5: ETIMEDOUT; 6: 2 'go'",
       [](Stage& s) {
         s.Submit(ReadOf(s.pipe).WithTimeout(kShort), RecvOf(s.sockets).WithTimeout(kShort),
                  Entry::Poll(kPid, s.other.first.get(), POLLIN, 0).WithTimeout(kShort),
                  Entry::IpcRecv(kPid, 10, 0).WithTimeout(kShort), Entry::Sleep(kPid, absl::Hours(1), 0).WithTimeout(kShort),
                  ReadOf(s.pipe).WithTimeout(absl::Hours(1)));
         s.Wait(1, 2, 3, 4, 5);
         s.Feed(s.pipe, "go");
         s.Take(1);
       }},
      {"the timeout of what has not started", "2: ETIMEDOUT; 1: 2 'go'; 3: 0",
       [](Stage& s) {
         s.manager.MakeRing(kPid, {.max_in_flight = 1});
         s.Submit(ReadOf(s.pipe), Nop().WithTimeout(kShort), Nop());
         s.Take(1);
         s.Feed(s.pipe, "go");
         s.Take(2);
       }},
      {"timeouts inside chains", "1: ETIMEDOUT; 2: cancelled; 3: ETIMEDOUT; 4: 0",
       [](Stage& s) {
         s.Submit(ReadOf(s.pipe).WithTimeout(kShort).WithLink(), Nop());
         s.Wait(1, 2);
         s.Run(ReadOf(s.pipe).WithTimeout(kShort).WithHardLink(), Nop());
       }},
      {"the timeout of a member that has not started", "2: ETIMEDOUT; 3: cancelled; 1: 2 'go'",
       [](Stage& s) {
         s.Submit(ReadOf(s.pipe).WithLink(), Nop().WithTimeout(kShort).WithHardLink(), Nop());
         s.Wait(2, 3);
         s.Feed(s.pipe, "go");
         s.Take(1);
       }},
  };
}

std::vector<Program> Limits() {
  return {
      {"a full queue drops its oldest", "1: DATA_LOSS; 2: DATA_LOSS; 3: DATA_LOSS; 4: EBADF; 5: 0; 5: NOT_FOUND",
       [](Stage& s) {
         s.manager.MakeRing(kPid, {.cq_size = 2, .max_in_flight = 1});
         s.Submit(ReadOf(s.pipe), Nop(), Nop(), Fails(), Nop());
         s.Feed(s.pipe, "go");
         s.manager.AwaitPlaced(kPid, 5);
         s.Wait(1, 2, 3);
         s.Take(2);
         s.Wait(5);
       }},
      {"a dropped file is closed", "1: DATA_LOSS; 1 open; 2: 0",
       [](Stage& s) {
         s.manager.MakeRing(kPid, {.cq_size = 1});
         s.Submit(Entry::Open(kPid, s.Path("file"), O_RDONLY, 0, 0).WithLink(), Nop());
         s.manager.AwaitPlaced(kPid, 2);
         s.Wait(1);
         s.Say(FdsTo(s.Path("file")), " open");
         s.Take(1);
       }},
      {"backpressure", "refused: RESOURCE_EXHAUSTED; 1: 2 'go'; refused: RESOURCE_EXHAUSTED; 2: 0; 3: 0",
       [](Stage& s) {
         s.manager.MakeRing(kPid, {.cq_size = 2, .overflow = OverflowPolicy::kBackpressure});
         s.Submit(ReadOf(s.pipe), Nop());
         s.Submit(Nop());
         s.Feed(s.pipe, "go");
         s.Wait(1);
         s.Submit(Nop(), Nop());
         s.Submit(Nop());
         s.Wait(2, 3);
       }},
      {"a full submission queue", "refused: INVALID_ARGUMENT; refused: RESOURCE_EXHAUSTED; 1: 2 'go'; 2: 0; 3: 0; 4: 0",
       [](Stage& s) {
         s.manager.MakeRing(kPid, {.sq_size = 2, .max_in_flight = 1});
         s.Submit(Nop(), Nop(), Nop());
         s.Submit(ReadOf(s.pipe));
         s.Submit(Nop(), Nop());
         s.Submit(Nop());
         s.Feed(s.pipe, "go");
         s.Take(3);
         s.Run(Nop());
       }},
      {"bytes under way", "nothing yet; 1: 1 'a'; 2: 1 'b'; nothing yet; 4: 0",
       [](Stage& s) {
         s.manager.MakeRing(kPid, {.max_bytes_in_flight = 15});
         s.Submit(ReadOf(s.pipe), ReadOf(s.other), RecvOf(s.sockets));
         s.Feed(s.other, "b");
         s.Now();
         s.Feed(s.pipe, "a");
         s.Take(2);
         s.Now();
         s.Run(Nop());
       }},
      {"more bytes than the limit", "nothing yet; 1: 1 'a'; 2: 1 'b'; 3: 0",
       [](Stage& s) {
         s.manager.MakeRing(kPid, {.max_bytes_in_flight = 15});
         s.Submit(ReadOf(s.pipe, 1), ReadOf(s.other, 100), Nop());
         s.Feed(s.other, "b");
         s.Now();
         s.Feed(s.pipe, "a");
         s.Take(3);
       }},
      {"a full mailbox", "1: 3; 2: EMSGSIZE; nothing yet; 4: 3 'one'; 3: 3; 5: EMSGSIZE; 6: 3 'two'",
       [](Stage& s) {
         s.manager.MakeRing(kPid, {.mailbox_messages = 1, .mailbox_bytes = 5});
         s.Run(Entry::IpcSend(kPid, kPid, "one", 0));
         s.Submit(Entry::IpcSend(kPid, kPid, "too long", 0), Entry::IpcSend(kPid, kPid, "two", 0));
         s.Wait(2);
         s.Now();
         s.Submit(Entry::IpcRecv(kPid, 10, 0));
         s.Wait(4, 3);
         s.Submit(Entry::IpcRecv(kPid, 2, 0));
         s.Wait(5);
         s.Submit(Entry::IpcRecv(kPid, 3, 0));
         s.Wait(6);
       }},
      {"one that completes many times", "1: 1 'a' and more; 1: 1 'b' and more; 1: 0; 2: 2 'go'",
       [](Stage& s) {
         s.Submit(Entry::RecvMany(kPid, s.sockets.first.get(), 0, 0));
         for (const char* data : {"a", "b"}) {
           s.Feed(s.sockets, data);
           s.Take(1);
         }
         shutdown(s.sockets.second.get(), SHUT_WR);
         s.Take(1);
         s.Submit(ReadOf(s.pipe));
         s.Feed(s.pipe, "go");
         s.Take(1);
       }},
      {"a ring that is destroyed and made anew", "3 cancelled; 1: NOT_FOUND; 1: 0",
       [](Stage& s) {
         s.Submit(ReadOf(s.pipe), ReadOf(s.other).WithHardLink(), Nop());
         EXPECT_TRUE(s.manager->DestroyRing(kPid).ok());
         s.Say(s.manager->Stats().cancelled, " cancelled");
         s.Wait(1);
         s.Run(Nop());
       }},
      {"submitting and waiting at once", "1: 2 'go'; 2: EBADF; 3: cancelled",
       [](Stage& s) {
         Entry entries[] = {ReadOf(s.pipe).WithLink(), Fails().WithLink(), Nop()};
         Done done[3];
         s.Feed(s.pipe, "go");
         EXPECT_TRUE(
             s.manager->SubmitAndWait(kPid, absl::MakeSpan(entries), {}, 3, absl::MakeSpan(done), kDefaultWaitTimeout).ok());
         for (const Done& one : done) s.Say(one);
       }},
  };
}

class ProgramsAgreeTest : public ThreadingTest {
 protected:
  void SetUp() override {
    const auto with = IoUringManager::Create({.executor = ExecutorKind::kIoUring});
    if (!with.ok()) GTEST_SKIP() << with.status();
    if (getenv("AGENTOS_URING_EXECUTOR") != nullptr) GTEST_SKIP() << "AGENTOS_URING_EXECUTOR decides for one of them";
  }

  void Compare(const std::vector<Program>& programs) {
    for (const Program& program : programs) {
      SCOPED_TRACE(program.name);
      const size_t fds = OpenFds();
      const std::vector<std::string> kernel = Run(program, ExecutorKind::kIoUring);
      EXPECT_EQ(kernel, Run(program, ExecutorKind::kThreadPool)) << "io_uring, then threads";
      EXPECT_EQ(absl::StrJoin(kernel, "; "), program.expected);
      EXPECT_EQ(OpenFds(), fds);
    }
    std::cout << programs.size() << " programs\n";
  }

 private:
  static std::vector<std::string> Run(const Program& program, ExecutorKind executor) {
    Stage stage(executor, GetParam());
    program.run(stage);
    return stage.lines();
  }
};

TEST_P(ProgramsAgreeTest, P15OnChains) { Compare(Chains()); }
TEST_P(ProgramsAgreeTest, P15OnDrainsAndPriorities) { Compare(DrainsAndPriorities()); }
TEST_P(ProgramsAgreeTest, P15OnCancelsAndTimeouts) { Compare(CancelsAndTimeouts()); }
TEST_P(ProgramsAgreeTest, P15OnWhatRingsMayHold) { Compare(Limits()); }

INSTANTIATE_TEST_SUITE_P(Threading, ProgramsAgreeTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
