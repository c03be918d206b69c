// Which processors a client and a server use that are measured together.
//
// Left to itself the scheduler puts both on one processor or on two, as it happens, and that decides more about the time of a
// message than the server does: waking somebody on another processor costs more than an echo. So both ways are measured, each by
// itself. On a machine with a single processor they are the same.
//
// Thread rule: each method is about the calling thread, and the threads and processes that it makes afterwards.
//
//   CorePlacement cores(Placement::kApart);  // before the fork
//   cores.BecomeServer();                    // in the server's process
//   cores.BecomeClient();                    // in the client's; undone by the destructor

#ifndef AGENTOS_BENCHMARKS_CORE_PLACEMENT_H_
#define AGENTOS_BENCHMARKS_CORE_PLACEMENT_H_

#include <sched.h>

namespace agentos::bench {

enum class Placement {
  // The client has a processor to itself, the server all others.
  kApart,
  // Both on one: the time of a message is what both spend on it together.
  kTogether,
};

class CorePlacement {
 public:
  explicit CorePlacement(Placement placement);
  CorePlacement(const CorePlacement&) = delete;
  CorePlacement& operator=(const CorePlacement&) = delete;
  ~CorePlacement();

  void BecomeClient();
  void BecomeServer();

 private:
  cpu_set_t all_;
  cpu_set_t client_;
  cpu_set_t server_;
};

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_CORE_PLACEMENT_H_
