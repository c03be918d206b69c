#include "agentos/executor/thread_interrupt.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <thread>

#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

// Makes the call in a thread, waits until it sleeps, and interrupts it until it is back: its errno.
int Interrupted(const std::function<long()>& call) {
  std::atomic<pid_t> id{0};
  std::atomic<int> result{-1};
  std::thread thread([&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    id = ThisThread();
    const InterruptibleCall scope;
    result = call() < 0 ? errno : 0;
  });
  while (id == 0) std::this_thread::yield();
  AwaitAsleep(id);
  while (result == -1) {
    Interrupt(thread.native_handle());
    std::this_thread::yield();
  }
  thread.join();
  return result;
}

TEST(ThreadInterruptTest, EndsCallsThatWaitThoughEverySignalIsBlocked) {
  const Pair pipe = MakePipe();
  const TempDir dir;
  ASSERT_EQ(mkfifo(dir.Path("fifo").c_str(), 0600), 0);
  char byte;
  EXPECT_EQ(Interrupted([&] { return read(pipe.first.get(), &byte, 1); }), EINTR);
  EXPECT_EQ(Interrupted([&] { return open(dir.Path("fifo").c_str(), O_RDONLY | O_CLOEXEC); }), EINTR);
}

TEST(ThreadInterruptTest, LeavesTheMaskAndTheSignalsOfTheProgramAlone) {
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  { const InterruptibleCall scope; }
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int signal = 1; signal < SIGRTMAX; ++signal)
    EXPECT_EQ(sigismember(&before, signal), sigismember(&after, signal)) << signal;
  // One real-time signal has a handler now, the last that was free; every other is as it was.
  int taken = 0;
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) {
    struct sigaction action = {};
    ASSERT_EQ(sigaction(signal, nullptr, &action), 0);
    taken += action.sa_handler != SIG_DFL ? 1 : 0;
  }
  EXPECT_EQ(taken, 1);
}

}  // namespace
}  // namespace agentos
