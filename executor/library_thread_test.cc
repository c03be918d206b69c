#include "agentos/executor/library_thread.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <initializer_list>
#include <string>

#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr std::initializer_list<int> kFaults = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

void* Call(void* body) {
  (*static_cast<std::function<void()>*>(body))();
  return nullptr;
}

// Runs `body` in a library thread, to its end.
void InLibraryThread(std::function<void()> body) {
  pthread_t thread;
  ASSERT_TRUE(StartLibraryThread(&thread, &Call, &body));
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
}

sigset_t Blocked() {
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  return blocked;
}

std::atomic<pid_t> handled_by{0};

// Notes which thread handles a signal.
class Handler {
 public:
  explicit Handler(int signal) : signal_(signal) {
    handled_by = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { handled_by = static_cast<pid_t>(syscall(SYS_gettid)); };
    sigaction(signal_, &action, &before_);
  }
  ~Handler() { sigaction(signal_, &before_, nullptr); }

 private:
  const int signal_;
  struct sigaction before_;
};

TEST(LibraryThreadTest, BlocksAllSignalsButFaultsOfItsOwn) {
  sigset_t inside;
  InLibraryThread([&] { inside = Blocked(); });
  for (const int signal :
       {SIGHUP,  SIGINT, SIGQUIT, SIGUSR1, SIGUSR2,   SIGPIPE, SIGALRM,  SIGTERM, SIGCHLD, SIGCONT,  SIGTSTP, SIGTTIN,
        SIGTTOU, SIGURG, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, SIGIO,   SIGPWR,  SIGRTMIN, SIGRTMAX}) {
    EXPECT_EQ(sigismember(&inside, signal), 1) << strsignal(signal);
  }
  for (const int signal : kFaults) EXPECT_EQ(sigismember(&inside, signal), 0) << strsignal(signal);
}

TEST(LibraryThreadTest, LeavesTheCallersSignalsAsTheyWere) {
  sigset_t some;
  sigemptyset(&some);
  sigaddset(&some, SIGUSR2);
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &some, &before);
  InLibraryThread([] {});
  const sigset_t after = Blocked();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    EXPECT_EQ(sigismember(&after, signal), signal == SIGUSR2 ? 1 : sigismember(&before, signal)) << strsignal(signal);
  }
}

TEST(LibraryThreadTest, SignalsOfTheProcessReachTheProgramsThreads) {
  const Handler handler(SIGUSR1);
  // From inside, so that the library's thread is the one that runs.
  InLibraryThread([] { kill(getpid(), SIGUSR1); });
  EXPECT_EQ(handled_by, ThisThread());
}

TEST(LibraryThreadTest, AFaultReachesItsHandlerInTheThreadItself) {
  const Handler handler(SIGSYS);
  pid_t thread = 0;
  pid_t handled = 0;
  InLibraryThread([&] {
    thread = ThisThread();
    pthread_kill(pthread_self(), SIGSYS);
    handled = handled_by;
  });
  EXPECT_NE(thread, 0);
  EXPECT_EQ(handled, thread);
}

TEST(LibraryThreadTest, HasANameCutToWhatTheKernelKeepsEvenWithoutFds) {
  for (const std::string name : {"agentos-poll", "agentos-fifteen", "agentos-longer-than-that"}) {
    char found[16] = {};
    InLibraryThread([&] {
      rlimit before;
      getrlimit(RLIMIT_NOFILE, &before);
      rlimit none = before;
      none.rlim_cur = 0;
      setrlimit(RLIMIT_NOFILE, &none);
      NameLibraryThread(name.c_str());
      setrlimit(RLIMIT_NOFILE, &before);
      prctl(PR_GET_NAME, found);
    });
    EXPECT_EQ(std::string(found), name.substr(0, 15));
  }
}

TEST(LibraryThreadTest, SaysSoWhenTheSystemHasNoMoreThreads) {
  if (kSanitized) GTEST_SKIP() << "sanitizers end the process when there is no thread to be had";
  const std::string said = RunInChild([]() -> std::string {
    for (const unsigned call : {SYS_clone3, SYS_clone}) {
      if (std::string failed = Forbid(call, EAGAIN); !failed.empty()) return failed;
    }
    const sigset_t before = Blocked();
    pthread_t thread;
    std::function<void()> body = [] {};
    if (StartLibraryThread(&thread, &Call, &body)) return "a thread was started";
    const sigset_t after = Blocked();
    return sigismember(&before, SIGTERM) == sigismember(&after, SIGTERM) ? "refused" : "the caller's signals stay blocked";
  });
  EXPECT_EQ(said, "refused");
}

}  // namespace
}  // namespace agentos
