// What the quickstart was asked to do: its command line, checked before anything else happens.
//
// Thread rule: plain values; ParseArguments reads the file system and nothing else.
// Errors: InvalidArgument whose message names the argument, what is wrong with it and what to do instead.
//
//   absl::StatusOr<Arguments> arguments = ParseArguments({"--batch=32", "/usr/include"}, SurroundingsFromEnvironment());
//   if (!arguments.ok()) return kExitBadArguments;

#ifndef AGENTOS_EXAMPLES_QUICKSTART_ARGUMENTS_H_
#define AGENTOS_EXAMPLES_QUICKSTART_ARGUMENTS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace agentos::quickstart {

// Where the program was started.
struct Surroundings {
  // What relative paths are relative to. `bazel run` starts a program elsewhere than where the user stands.
  std::string working_directory;
  // The repository's root when started by `bazel run`, else empty.
  std::string workspace_directory;
  std::string temporary_directory;
};

Surroundings SurroundingsFromEnvironment();

struct Arguments {
  bool help = false;
  std::string directory;
  // Whether `directory` was chosen by us: version control and build output are then nobody's business.
  bool directory_is_default = false;
  // Empty: a file in a new temporary directory.
  std::string output;
  size_t batch = 64;
  absl::Duration timeout = absl::Seconds(10);
  size_t max_file_bytes = size_t{256} << 20;
};

absl::StatusOr<Arguments> ParseArguments(const std::vector<std::string>& words, const Surroundings& surroundings);

std::string HelpText();

}  // namespace agentos::quickstart

#endif  // AGENTOS_EXAMPLES_QUICKSTART_ARGUMENTS_H_
