// A function in a process of its own, a fork of this one: what it returns comes back as text.
//
// The process never outlives the benchmark: the destructor kills it, and the kernel does when the benchmark is killed.
//
// Thread rule: one thread, and no other in the process when the child is started.
//
//   ChildProcess child;
//   if (absl::Status status = child.Start([] { return std::string("done"); }); !status.ok()) return status;
//   absl::StatusOr<std::string> said = child.AwaitEnd();

#ifndef AGENTOS_BENCHMARKS_CHILD_PROCESS_H_
#define AGENTOS_BENCHMARKS_CHILD_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace agentos::bench {

class ChildProcess {
 public:
  // Says less than a pipe holds. Nothing of the program is destroyed after it.
  using Main = std::function<std::string()>;

  ChildProcess() = default;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  // Once.
  absl::Status Start(const Main& main);

  // Becomes readable when the process has ended.
  int end_fd() const { return end_fd_; }

  // Waits for the end, once: what the function returned. Unavailable says how the process died when it did not return.
  absl::StatusOr<std::string> AwaitEnd();

  // What all its threads together have used.
  std::chrono::nanoseconds ProcessorTime() const;

  pid_t pid() const { return pid_; }

 private:
  int end_fd_ = -1;
  pid_t pid_ = -1;
};

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_CHILD_PROCESS_H_
