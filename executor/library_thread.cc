#include "agentos/executor/library_thread.h"

#include <signal.h>

#include <cstdio>
#include <initializer_list>

namespace agentos {

bool StartLibraryThread(pthread_t* thread, void* (*run)(void*), void* argument) {
  sigset_t blocked;
  sigfillset(&blocked);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) sigdelset(&blocked, fault);
  // The thread inherits the mask, so that there is no moment at which a signal could come to it.
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  const int error = pthread_create(thread, nullptr, run, argument);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error == 0;
}

void NameLibraryThread(const char* name) {
  char cut[16];
  std::snprintf(cut, sizeof(cut), "%s", name);
  pthread_setname_np(pthread_self(), cut);
}

}  // namespace agentos
