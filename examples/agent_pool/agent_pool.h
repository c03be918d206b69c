// A pool of agents: many process ids with rings and limits of their own, served by one thread.
//
// Each agent is a coroutine that writes files, reads them back, and sends messages to its neighbour, through the asynchronous
// handler registry, as code of an agent runtime does. Every tenth is heavy: it has four times the weight, and asks for more at a
// time than it may have in flight.
//
// Thread rule: one thread.
// Errors: Create says what kept the pool from being made; errors of operations are counted.
//
//   absl::StatusOr<std::unique_ptr<AgentPool>> pool = AgentPool::Create(manager, {.agents = 1000, .directory = "/tmp/agents"});
//   while (absl::Now() < end) (*pool)->Run(absl::Milliseconds(100));
//   Show((*pool)->Sum());

#ifndef AGENTOS_EXAMPLES_AGENT_POOL_AGENT_POOL_H_
#define AGENTOS_EXAMPLES_AGENT_POOL_AGENT_POOL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/async_syscall_handler.h"
#include "agentos/handlers/io_uring_async_handler.h"
#include "agentos/handlers/task.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/types.h"

namespace agentos {

struct AgentPoolOptions {
  size_t agents = 1000;
  // Where each agent has a file of its own. It must be there.
  std::string directory;
  size_t file_bytes = 4096;
};

// What a class of agents did.
struct AgentClassSum {
  const char* name;
  size_t agents = 0;
  uint64_t reads = 0;
  uint64_t writes = 0;
  uint64_t messages = 0;
  uint64_t bytes = 0;
  uint64_t errors = 0;

  uint64_t operations() const { return reads + writes + messages; }
};

class AgentPool {
 public:
  static absl::StatusOr<std::unique_ptr<AgentPool>> Create(std::shared_ptr<IoUringManager> manager, AgentPoolOptions options);
  ~AgentPool();

  // Lets the agents work for so long.
  void Run(absl::Duration duration);
  // Lets them finish what they do.
  absl::Status Finish(absl::Duration timeout);

  // Light agents, then heavy ones.
  std::array<AgentClassSum, 2> Sum() const;

 private:
  struct Agent;

  AgentPool(std::shared_ptr<IoUringManager> manager, AgentPoolOptions options);

  Task<void> Work(Agent& agent);
  // One operation, counted.
  Task<bool> Call(Agent& agent, Syscall syscall, uint64_t& count);

  const std::shared_ptr<IoUringManager> manager_;
  const AgentPoolOptions options_;
  const std::shared_ptr<IoUringAsyncHandler> handler_;
  AsyncSyscallHandlerRegistry registry_;
  bool finishing_ = false;
  std::vector<std::unique_ptr<Agent>> agents_;
  // Holds the agents' coroutines, which wait for rings of their own.
  std::unique_ptr<AsyncRing> nursery_;
};

}  // namespace agentos

#endif  // AGENTOS_EXAMPLES_AGENT_POOL_AGENT_POOL_H_
