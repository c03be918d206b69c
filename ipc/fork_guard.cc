#include "agentos/ipc/fork_guard.h"

#include <pthread.h>

namespace agentos {

ForkGuard::ForkGuard()
    : forks_([] {
        static const bool registered =
            pthread_atfork(nullptr, nullptr, [] { Counter().fetch_add(1, std::memory_order_relaxed); }) == 0;
        return registered ? Counter().load(std::memory_order_relaxed) : 0;
      }()) {}

}  // namespace agentos
