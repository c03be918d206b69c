#include "agentos/benchmarks/core_placement.h"

#include <sched.h>

namespace agentos::bench {

CorePlacement::CorePlacement(Placement placement) {
  CPU_ZERO(&all_);
  CPU_ZERO(&client_);
  sched_getaffinity(0, sizeof(all_), &all_);
  // Not the first, which is where most of the system's own work is done.
  int last = CPU_SETSIZE - 1;
  while (last > 0 && !CPU_ISSET(last, &all_)) --last;
  CPU_SET(last, &client_);
  server_ = client_;
  if (placement == Placement::kApart && CPU_COUNT(&all_) > 1) CPU_XOR(&server_, &all_, &client_);
}

CorePlacement::~CorePlacement() { sched_setaffinity(0, sizeof(all_), &all_); }

void CorePlacement::BecomeClient() { sched_setaffinity(0, sizeof(client_), &client_); }

void CorePlacement::BecomeServer() { sched_setaffinity(0, sizeof(server_), &server_); }

}  // namespace agentos::bench
