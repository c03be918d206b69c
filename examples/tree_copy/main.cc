// tree_copy: `cp -r` through a ring. ./bazelw run //examples:tree_copy -- FROM TO

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agentos/examples/tree_copy/tree_copy.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/tools/command_line.h"

namespace {

constexpr agentos::Pid kCopier = 1;
constexpr absl::Duration kBetweenLines = absl::Milliseconds(100);
constexpr size_t kProblemsShown = 20;

std::stop_source interrupted;

std::string Sum(const agentos::TreeCopyResult& copied, absl::Duration time) {
  const double seconds = absl::ToDoubleSeconds(time);
  return absl::StrFormat("%d files, %d directories, %d links, %.1f MiB in %.2f s (%.0f files/s, %.0f MiB/s)", copied.files,
                         copied.directories, copied.links, static_cast<double>(copied.bytes) / (1 << 20), seconds,
                         static_cast<double>(copied.files) / seconds, static_cast<double>(copied.bytes) / (1 << 20) / seconds);
}

int Run(const std::string& from, const std::string& to, std::optional<uint64_t> parallel, bool quiet) {
  absl::StatusOr<std::unique_ptr<agentos::IoUringManager>> manager =
      agentos::IoUringManager::Create({.threading = agentos::Threading::kOneThread});
  if (!manager.ok()) {
    std::cerr << "tree_copy: " << manager.status().message() << "\n";
    return 1;
  }
  absl::StatusOr<std::unique_ptr<agentos::AsyncRing>> ring = agentos::AsyncRing::Create(**manager, kCopier);
  if (!ring.ok()) {
    std::cerr << "tree_copy: " << ring.status().message() << "\n";
    return 1;
  }
  const absl::Time begin = absl::Now();
  absl::Time last_line = begin;
  const bool on_terminal = isatty(STDERR_FILENO) != 0;
  agentos::TreeCopyOptions options;
  if (parallel.has_value()) options.parallel = *parallel;
  options.stop = interrupted.get_token();
  options.progress = [&](const agentos::TreeCopyResult& so_far) {
    const absl::Time now = absl::Now();
    if (quiet || !on_terminal || now - last_line < kBetweenLines) return;
    last_line = now;
    std::cerr << "\r\x1b[K" << Sum(so_far, now - begin) << std::flush;
  };
  const agentos::TreeCopyResult copied = (*ring)->RunUntilComplete(agentos::CopyTree(**ring, from, to, std::move(options)));
  if (!quiet && on_terminal) std::cerr << "\r\x1b[K";
  for (size_t i = 0; i < std::min(copied.problems.size(), kProblemsShown); ++i)
    std::cerr << "tree_copy: " << copied.problems[i] << "\n";
  if (copied.problems.size() > kProblemsShown) {
    std::cerr << "tree_copy: ... and " << copied.problems.size() - kProblemsShown << " more\n";
  }
  if (!copied.status.ok()) std::cerr << "tree_copy: " << copied.status.message() << "\n";
  if (!quiet) std::cout << Sum(copied, absl::Now() - begin) << "\n";
  return copied.status.ok() && copied.problems.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  agentos::CommandLine line("tree_copy", "Copies a directory tree through a ring: many files at a time.", "[FLAG]... FROM TO");
  std::optional<uint64_t> parallel;
  bool quiet = false;
  std::vector<std::string> paths;
  line.Add("parallel", "N", &parallel, "have N files under way at a time (256)", 1);
  line.Add("quiet", &quiet, "show errors only");
  line.AddPositional(&paths);
  line.Example("tree_copy /usr/include /tmp/include", "copies /usr/include's content to /tmp/include");
  line.ExitCode(0, "everything was copied");
  line.ExitCode(1, "something was not; it is named");
  const agentos::CommandLine::Outcome outcome = line.Parse(argc, argv);
  if (outcome.exit_code.has_value()) return outcome.Print();
  if (paths.size() != 2) {
    std::cerr << "tree_copy: it takes two directories, FROM and TO; see --help\n";
    return agentos::CommandLine::kUsageError;
  }
  // The second Ctrl-C ends it at once.
  std::signal(SIGINT, [](int number) {
    std::signal(number, SIG_DFL);
    interrupted.request_stop();
  });
  return Run(paths[0], paths[1], parallel, quiet);
}
