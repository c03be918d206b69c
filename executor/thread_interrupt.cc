#include "agentos/executor/thread_interrupt.h"

namespace agentos {

namespace {

// 0 when there is none to be had. From the far end: programs that use such signals begin with the first.
int ChooseSignal() {
  for (int signal = SIGRTMAX; signal >= SIGRTMIN; --signal) {
    struct sigaction action = {};
    if (sigaction(signal, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) continue;
    action = {};
    action.sa_handler = [](int) {};
    if (sigaction(signal, &action, nullptr) == 0) return signal;
  }
  return 0;
}

int Signal() {
  static const int signal = ChooseSignal();
  return signal;
}

}  // namespace

InterruptibleCall::InterruptibleCall() {
  sigset_t set;
  sigemptyset(&set);
  if (const int signal = Signal(); signal != 0) sigaddset(&set, signal);
  pthread_sigmask(SIG_UNBLOCK, &set, &before_);
}

InterruptibleCall::~InterruptibleCall() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

void Interrupt(pthread_t thread) {
  if (const int signal = Signal(); signal != 0) pthread_kill(thread, signal);
}

}  // namespace agentos
