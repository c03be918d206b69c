// Ends a system call that a thread of the library waits in, by a signal to that thread alone.
//
// The signal is a real-time signal whose action is the default one when it is first needed; its handler does nothing, so that the
// call answers EINTR. It is blocked in every thread but during an InterruptibleCall. A signal that comes just before the call
// begins is lost: whoever interrupts does it again until the call has ended.
//
// Thread rule: Interrupt from any thread, while the target is sure to exist.
// Source: signal(7), "Interruption of system calls and library functions by signal handlers".
//
//   { InterruptibleCall scope; n = read(fd, ...); }   // thread A
//   Interrupt(thread_a);                              // thread B, again and again

#ifndef AGENTOS_EXECUTOR_THREAD_INTERRUPT_H_
#define AGENTOS_EXECUTOR_THREAD_INTERRUPT_H_

#include <pthread.h>
#include <signal.h>

namespace agentos {

// Between its making and its end the calling thread can be interrupted.
class InterruptibleCall {
 public:
  InterruptibleCall();
  ~InterruptibleCall();
  InterruptibleCall(const InterruptibleCall&) = delete;
  InterruptibleCall& operator=(const InterruptibleCall&) = delete;

 private:
  sigset_t before_;
};

// Nothing happens where the program has taken every real-time signal for itself.
void Interrupt(pthread_t thread);

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_THREAD_INTERRUPT_H_
