// Counts a signal, as long as it lives: how an operator asks a running program for something.
//
// Thread rule: any thread. Several may count the same signal.
// Errors: InvalidArgument for a number that is no signal or cannot be handled, FailedPrecondition when the program handles it itself.
// Source: sigaction(2), signal-safety(7).
//
//   auto signal = DumpSignal::Install(SIGUSR2);
//   ...
//   if (signal->TakeArrived()) Dump();

#ifndef AGENTOS_MANAGER_DUMP_SIGNAL_H_
#define AGENTOS_MANAGER_DUMP_SIGNAL_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace agentos {

class DumpSignal {
 public:
  static absl::StatusOr<DumpSignal> Install(int signal);
  DumpSignal(DumpSignal&& other) noexcept;
  DumpSignal& operator=(DumpSignal&&) = delete;
  // The last one gives the signal back.
  ~DumpSignal();

  // Whether it has come since the last call.
  bool TakeArrived();

 private:
  DumpSignal(int signal, uint32_t seen) : signal_(signal), seen_(seen) {}

  int signal_;
  uint32_t seen_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_DUMP_SIGNAL_H_
