#include "agentos/examples/agent_pool/agent_pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentos/handlers/when_all.h"
#include "agentos/ring/ring_options.h"

namespace agentos {

namespace {

constexpr Pid kNursery = 0;
// Of ten agents this one is heavy.
constexpr size_t kHeavyOf = 10;
constexpr size_t kHeavyWeight = 4;
constexpr size_t kHeavyAtATime = 16;
constexpr size_t kMessageBytes = 64;

}  // namespace

struct AgentPool::Agent {
  Pid pid;
  Pid neighbour;
  bool heavy;
  std::string path;
  AgentClassSum sum;
};

absl::StatusOr<std::unique_ptr<AgentPool>> AgentPool::Create(std::shared_ptr<IoUringManager> manager, AgentPoolOptions options) {
  if (options.agents == 0 || options.agents > 100'000) {
    return absl::InvalidArgumentError(absl::StrCat("agents is ", options.agents, ": it must be from 1 to 100000"));
  }
  std::unique_ptr<AgentPool> pool(new AgentPool(manager, std::move(options)));
  absl::StatusOr<std::unique_ptr<AsyncRing>> nursery = AsyncRing::Create(*manager, kNursery);
  if (!nursery.ok()) return nursery.status();
  pool->nursery_ = *std::move(nursery);
  for (const std::unique_ptr<Agent>& agent : pool->agents_) {
    RingOptions limits;
    limits.sq_size = 64;
    limits.cq_size = 64;
    limits.max_in_flight = 4;
    limits.max_bytes_in_flight = 256 << 10;
    limits.weight = agent->heavy ? kHeavyWeight : 1;
    if (absl::Status made = pool->handler_->AddProcess(agent->pid, limits); !made.ok()) return made;
  }
  for (const std::unique_ptr<Agent>& agent : pool->agents_) pool->nursery_->Spawn(pool->Work(*agent));
  return pool;
}

AgentPool::AgentPool(std::shared_ptr<IoUringManager> manager, AgentPoolOptions options)
    : manager_(manager), options_(std::move(options)), handler_(std::make_shared<IoUringAsyncHandler>(std::move(manager))) {
  registry_.Register(handler_);
  for (size_t i = 0; i < options_.agents; ++i) {
    auto agent = std::make_unique<Agent>();
    agent->pid = static_cast<Pid>(i + 1);
    agent->neighbour = static_cast<Pid>((i + 1) % options_.agents + 1);
    agent->heavy = i % kHeavyOf == 0;
    agent->path = absl::StrCat(options_.directory, "/agent-", agent->pid);
    agents_.push_back(std::move(agent));
  }
}

AgentPool::~AgentPool() = default;

Task<bool> AgentPool::Call(Agent& agent, Syscall syscall, uint64_t& count) {
  const SyscallAnswer answer = co_await registry_.Call(agent.pid, std::move(syscall));
  ++count;
  agent.sum.bytes += static_cast<uint64_t>(std::max<int64_t>(0, answer.value()));
  agent.sum.errors += answer.is_success() ? 0 : 1;
  co_return answer.is_success();
}

Task<void> AgentPool::Work(Agent& agent) {
  const std::string content(options_.file_bytes, static_cast<char>('a' + agent.pid % 26));
  const size_t reads = agent.heavy ? kHeavyAtATime : 1;
  while (!finishing_) {
    co_await Call(agent, Syscall::WriteFile(agent.path, content), agent.sum.writes);
    std::vector<Task<bool>> together;
    for (size_t i = 0; i < reads; ++i) together.push_back(Call(agent, Syscall::ReadFile(agent.path), agent.sum.reads));
    co_await WhenAll(std::move(together));
    // A message to the neighbour, and the one that the other neighbour sends: all of them send, so there is one to come.
    std::vector<Task<bool>> talk;
    talk.push_back(Call(agent, Syscall::IpcSend(agent.neighbour, std::string(kMessageBytes, 'm')), agent.sum.messages));
    talk.push_back(Call(agent, Syscall::IpcRecv(kMessageBytes), agent.sum.messages));
    co_await WhenAll(std::move(talk));
  }
  // So that whoever waits for this one's message ends, too.
  co_await Call(agent, Syscall::IpcSend(agent.neighbour, std::string(kMessageBytes, 'm')), agent.sum.messages);
}

void AgentPool::Run(absl::Duration duration) {
  const absl::Time end = absl::Now() + duration;
  while (absl::Now() < end) handler_->RunOnce(end - absl::Now());
}

absl::Status AgentPool::Finish(absl::Duration timeout) {
  finishing_ = true;
  const absl::Time end = absl::Now() + timeout;
  while (nursery_->spawned() > 0) {
    if (absl::Now() >= end) {
      return absl::DeadlineExceededError(
          absl::StrCat(nursery_->spawned(), " agents have not finished within ", absl::FormatDuration(timeout)));
    }
    handler_->RunOnce(absl::Milliseconds(10));
  }
  return absl::OkStatus();
}

std::array<AgentClassSum, 2> AgentPool::Sum() const {
  std::array<AgentClassSum, 2> sums = {AgentClassSum{.name = "light"}, AgentClassSum{.name = "heavy"}};
  for (const std::unique_ptr<Agent>& agent : agents_) {
    AgentClassSum& sum = sums[agent->heavy ? 1 : 0];
    ++sum.agents;
    sum.reads += agent->sum.reads;
    sum.writes += agent->sum.writes;
    sum.messages += agent->sum.messages;
    sum.bytes += agent->sum.bytes;
    sum.errors += agent->sum.errors;
  }
  return sums;
}

}  // namespace agentos
