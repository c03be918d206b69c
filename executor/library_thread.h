// Threads of the library's own.
//
// They block all signals, so that those reach the program's threads, but not the signals that tell of a fault of the thread
// itself: a fault must reach its handler (a crash reporter, a seccomp trap), and blocked it would kill the process.
//
// Thread rule: any thread.
//
//   pthread_t thread;
//   if (!StartLibraryThread(&thread, &Run, argument)) ...;  // the system has no more threads
//   // first thing in Run: NameLibraryThread("agentos-poll");

#ifndef AGENTOS_EXECUTOR_LIBRARY_THREAD_H_
#define AGENTOS_EXECUTOR_LIBRARY_THREAD_H_

#include <pthread.h>

namespace agentos {

[[nodiscard]] bool StartLibraryThread(pthread_t* thread, void* (*run)(void*), void* argument);

// Of the calling thread; cut to 15 characters. By the thread itself: for another one glibc opens a file in /proc, which fails
// when the fds have run out.
void NameLibraryThread(const char* name);

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_LIBRARY_THREAD_H_
