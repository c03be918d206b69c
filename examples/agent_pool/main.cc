// agent_pool: a thousand agents with rings and limits of their own, on one thread. ./bazelw run //examples:agent_pool

#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agentos/examples/agent_pool/agent_pool.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/tools/command_line.h"

namespace {

constexpr absl::Duration kBetweenTables = absl::Milliseconds(500);
constexpr absl::Duration kPatience = absl::Seconds(30);

volatile std::sig_atomic_t interrupted = 0;

std::string Table(const std::array<agentos::AgentClassSum, 2>& sums, const agentos::IoUringStats& stats, absl::Duration time) {
  const double seconds = absl::ToDoubleSeconds(time);
  std::string table = absl::StrFormat("%-7s %7s %10s %10s %10s %9s %7s %12s\n", "agents", "number", "reads", "writes", "messages",
                                      "MiB", "errors", "ops/s each");
  for (const agentos::AgentClassSum& sum : sums) {
    table +=
        absl::StrFormat("%-7s %7d %10d %10d %10d %9.1f %7d %12.1f\n", sum.name, sum.agents, sum.reads, sum.writes, sum.messages,
                        static_cast<double>(sum.bytes) / (1 << 20), sum.errors,
                        sum.agents == 0 ? 0 : static_cast<double>(sum.operations()) / seconds / static_cast<double>(sum.agents));
  }
  table += absl::StrFormat("%.1f s, %.0f operations/s, %d under way, latency p50 %s, p99 %s\n", seconds,
                           static_cast<double>(sums[0].operations() + sums[1].operations()) / seconds, stats.pending,
                           absl::FormatDuration(absl::Trunc(stats.latency_p50, absl::Microseconds(1))),
                           absl::FormatDuration(absl::Trunc(stats.latency_p99, absl::Microseconds(1))));
  return table;
}

int Run(agentos::AgentPoolOptions options, absl::Duration duration) {
  absl::StatusOr<std::unique_ptr<agentos::IoUringManager>> made = agentos::IoUringManager::Create({.kernel_rings = 1});
  if (!made.ok()) {
    std::cerr << "agent_pool: " << made.status().message() << "\n";
    return 1;
  }
  const std::shared_ptr<agentos::IoUringManager> manager = *std::move(made);
  const absl::StatusOr<std::unique_ptr<agentos::AgentPool>> pool = agentos::AgentPool::Create(manager, std::move(options));
  if (!pool.ok()) {
    std::cerr << "agent_pool: " << pool.status().message() << "\n";
    return 1;
  }
  const bool on_terminal = isatty(STDOUT_FILENO) != 0;
  const absl::Time begin = absl::Now();
  std::string table;
  while (interrupted == 0 && absl::Now() - begin < duration) {
    (*pool)->Run(std::min(kBetweenTables, duration - (absl::Now() - begin)));
    table = Table((*pool)->Sum(), manager->Stats(), absl::Now() - begin);
    // Over the last one.
    if (on_terminal) std::cout << table << "\x1b[4A" << std::flush;
  }
  const absl::Status finished = (*pool)->Finish(kPatience);
  std::cout << table;
  if (!finished.ok()) std::cerr << "agent_pool: " << finished.message() << "\n";
  const std::array<agentos::AgentClassSum, 2> sums = (*pool)->Sum();
  return finished.ok() && sums[0].errors + sums[1].errors == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  agentos::CommandLine line("agent_pool", "Lets many agents do mixed I/O through rings and limits of their own, on one thread.",
                            "[FLAG]...");
  std::optional<uint64_t> agents;
  std::optional<absl::Duration> duration;
  std::string directory;
  line.Add("agents", "N", &agents, "how many agents (1000)", 1);
  line.Add("duration", "TIME", &duration, "for how long (5s)");
  line.Add("directory", "DIRECTORY", &directory, "where their files are (a new temporary directory)");
  line.Example("agent_pool --agents=100 --duration=2s", "a small pool");
  line.ExitCode(0, "every operation succeeded");
  line.ExitCode(1, "some did not, or agents could not finish");
  const agentos::CommandLine::Outcome outcome = line.Parse(argc, argv);
  if (outcome.exit_code.has_value()) return outcome.Print();
  std::signal(SIGINT, [](int number) {
    std::signal(number, SIG_DFL);
    interrupted = 1;
  });
  agentos::AgentPoolOptions options;
  options.agents = agents.value_or(options.agents);
  options.directory = directory;
  std::string made;
  if (directory.empty()) {
    made = (std::filesystem::temp_directory_path() / "agent_pool.XXXXXX").string();
    if (mkdtemp(made.data()) == nullptr) {
      std::cerr << "agent_pool: no temporary directory; name one by --directory\n";
      return 1;
    }
    options.directory = made;
  }
  const int exit_code = Run(std::move(options), duration.value_or(absl::Seconds(5)));
  if (!made.empty()) std::filesystem::remove_all(made);
  return exit_code;
}
