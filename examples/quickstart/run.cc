#include "agentos/examples/quickstart/run.h"

#include <stdlib.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "agentos/examples/quickstart/directory_walker.h"
#include "agentos/examples/quickstart/format.h"
#include "agentos/examples/quickstart/process.h"
#include "agentos/examples/quickstart/progress_line.h"
#include "agentos/examples/quickstart/read_tree.h"
#include "agentos/examples/quickstart/report.h"
#include "agentos/examples/quickstart/steps.h"
#include "agentos/examples/quickstart/tcp_echo.h"
#include "agentos/manager/io_uring_manager.h"

namespace agentos::quickstart {

namespace {

constexpr Pid kFirst = 1;
constexpr Pid kSecond = 2;

absl::StatusOr<TreeSummary> Read(const Arguments& arguments, Process* first, Process* second, const Console& console) {
  using Skip = DirectoryWalker::Skip;
  DirectoryWalker walker(arguments.directory,
                         arguments.directory_is_default ? Skip::kVersionControlAndBuildOutput : Skip::kNothing);
  Progress progress;
  const ProgressLine line(console.err, console.err_is_terminal, &progress);
  return ReadTree(&walker, first, second, arguments.batch, &progress);
}

// A name that nobody else can have made a link of.
absl::StatusOr<std::string> NewResultPath(const std::string& temporary_directory) {
  std::string directory = absl::StrCat(temporary_directory, "/agentos_quickstart.XXXXXX");
  if (mkdtemp(directory.data()) == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("mkdtemp ", directory));
  return absl::StrCat(directory, "/summary.txt");
}

absl::StatusOr<std::string> Write(const Arguments& arguments, const Surroundings& surroundings, const TreeSummary& summary,
                                  Process* writer, Process* reader) {
  absl::StatusOr<std::string> path = arguments.output;
  if (path->empty()) path = NewResultPath(surroundings.temporary_directory);
  if (!path.ok()) return path.status();
  return WriteResult(writer, reader, *path, FormatSummary(arguments.directory, summary));
}

int RunSteps(const Arguments& arguments, const Surroundings& surroundings, const Console& console, IoUringManager* manager) {
  Process first(manager, kFirst, arguments.timeout);
  Process second(manager, kSecond, arguments.timeout);
  bool all_done = true;
  const auto show = [&](const std::string& title, const absl::StatusOr<std::string>& outcome) {
    *console.out << FormatStep(title, outcome) << std::flush;
    all_done = all_done && outcome.ok();
  };

  const ExecutorInfo executor = manager->Executor();
  show("Executor", absl::StrCat(executor.name, ": ", executor.reason));
  show("Directory", arguments.directory);
  const absl::StatusOr<TreeSummary> summary = Read(arguments, &first, &second, console);
  show("Read files", summary.ok() ? absl::StatusOr<std::string>(FormatRead(*summary)) : summary.status());
  if (summary.ok()) show("Write result", Write(arguments, surroundings, *summary, &first, &second));
  show("TCP echo", EchoOverTcp(&first, &second));
  show("IPC message", PassMessage(&first, &second));
  show("An error", ShowError(&second));

  const IoUringStats stats = manager->Stats();
  *console.out << "\n" << FormatTallies({&first, &second}) << "\n" << FormatStats(stats) << std::flush;
  const absl::Status books = CheckBooks({&first, &second}, stats);
  if (!books.ok()) show("\nBookkeeping", books);
  for (const Pid pid : {kFirst, kSecond}) {
    const absl::Status destroyed = manager->DestroyRing(pid);
    if (!destroyed.ok()) show("\nDestroyRing", destroyed);
  }
  return all_done ? kExitDone : kExitStepFailed;
}

}  // namespace

int Run(const std::vector<std::string>& words, const Surroundings& surroundings, const Console& console) {
  const absl::StatusOr<Arguments> arguments = ParseArguments(words, surroundings);
  if (!arguments.ok()) {
    *console.err << "quickstart: " << arguments.status().message() << std::endl;
    return kExitBadArguments;
  }
  if (arguments->help) {
    *console.out << HelpText() << std::flush;
    return kExitDone;
  }

  const absl::StatusOr<std::unique_ptr<IoUringManager>> manager = IoUringManager::Create();
  if (!manager.ok()) {
    *console.err << "quickstart: no executor: " << manager.status() << std::endl;
    return kExitStepFailed;
  }
  RingOptions options;
  options.max_file_size = arguments->max_file_bytes;
  for (const Pid pid : {kFirst, kSecond}) {
    const absl::Status created = (*manager)->CreateRing(pid, options);
    if (!created.ok()) {
      *console.err << "quickstart: no ring for process " << pid << ": " << created << std::endl;
      return kExitStepFailed;
    }
  }
  return RunSteps(*arguments, surroundings, console, manager->get());
}

}  // namespace agentos::quickstart
