#include "agentos/examples/quickstart/arguments.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "agentos/ring/types.h"

namespace agentos::quickstart {

namespace {

constexpr absl::string_view kSeeHelp = "; --help lists what there is";

// RingOptions and WaitCompletions take far larger values; these keep a typing error from becoming a program that never ends.
constexpr uint64_t kMaxTimeoutSeconds = 3600;
constexpr uint64_t kMaxFileMib = 4096;

std::string FromVariable(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

std::string Resolve(const std::string& path, const std::string& base) {
  const std::filesystem::path given(path);
  return (given.is_absolute() ? given : std::filesystem::path(base) / given).lexically_normal().string();
}

absl::StatusOr<uint64_t> ParseNumber(absl::string_view flag, const std::string& text, uint64_t max) {
  uint64_t number = 0;
  // SimpleAtoi accepts signs and spaces around the digits.
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || !absl::SimpleAtoi(text, &number) || number < 1 || number > max) {
    return absl::InvalidArgumentError(absl::StrCat(flag, "=", text, ": give a whole number from 1 to ", max));
  }
  return number;
}

absl::Status CheckDirectory(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", strerror(errno), "; give a directory that exists, or none to read this repository"));
  }
  if (!S_ISDIR(status.st_mode)) {
    const std::string parent = std::filesystem::path(path).parent_path().string();
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a directory; give the one that holds it: ", parent));
  }
  if (access(path.c_str(), R_OK | X_OK) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", strerror(errno),
                                                   "; give a directory that you may list, or run as a user who may (ls -ld ",
                                                   path, " says who)"));
  }
  return absl::OkStatus();
}

absl::Status CheckOutput(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) {
      return absl::InvalidArgumentError(absl::StrCat("--output=", path, " is a directory; give a file in it: --output=",
                                                     (std::filesystem::path(path) / "summary.txt").string()));
    }
    if (access(path.c_str(), W_OK) == 0) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("--output=", path, ": ", strerror(errno), "; give a file that you may write"));
  }
  const std::string parent = std::filesystem::path(path).parent_path().string();
  if (access(parent.c_str(), W_OK | X_OK) == 0 && !path.ends_with('/')) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--output=", path, ": ", strerror(errno),
                                                 "; give a file in a directory that exists and that you may write to"));
}

// The flags that take a value, as they were spelled.
struct Flags {
  std::optional<std::string> output, batch, timeout, max_file;
  std::optional<std::string> directory;
  bool help = false;

  std::optional<std::string>* ByName(absl::string_view name) {
    if (name == "--output") return &output;
    if (name == "--batch") return &batch;
    if (name == "--timeout") return &timeout;
    if (name == "--max-file") return &max_file;
    return nullptr;
  }
};

absl::StatusOr<Flags> SplitWords(const std::vector<std::string>& words) {
  Flags flags;
  bool only_paths = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!only_paths && word == "--") {
      only_paths = true;
    } else if (!only_paths && (word == "--help" || word == "-h")) {
      flags.help = true;
    } else if (!only_paths && word.size() > 1 && word[0] == '-') {
      const size_t equals = word.find('=');
      const std::string name = word.substr(0, equals);
      std::optional<std::string>* value = flags.ByName(name);
      if (value == nullptr) return absl::InvalidArgumentError(absl::StrCat("unknown flag ", name, kSeeHelp));
      if (value->has_value()) return absl::InvalidArgumentError(absl::StrCat(name, " is given twice; give it once"));
      if (equals != std::string::npos) {
        *value = word.substr(equals + 1);
      } else if (i + 1 < words.size()) {
        *value = words[++i];
      } else {
        return absl::InvalidArgumentError(absl::StrCat(name, " needs a value: ", name, "=VALUE", kSeeHelp));
      }
    } else if (flags.directory.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("two directories, ", *flags.directory, " and ", word,
                                                     ": give one (run again for the other, or name a directory above both)"));
    } else {
      flags.directory = word;
    }
  }
  return flags;
}

}  // namespace

Surroundings SurroundingsFromEnvironment() {
  Surroundings surroundings;
  surroundings.working_directory = FromVariable("BUILD_WORKING_DIRECTORY");
  surroundings.workspace_directory = FromVariable("BUILD_WORKSPACE_DIRECTORY");
  surroundings.temporary_directory = FromVariable("TMPDIR");
  std::error_code error;
  if (surroundings.working_directory.empty()) surroundings.working_directory = std::filesystem::current_path(error).string();
  if (surroundings.temporary_directory.empty()) surroundings.temporary_directory = "/tmp";
  return surroundings;
}

absl::StatusOr<Arguments> ParseArguments(const std::vector<std::string>& words, const Surroundings& surroundings) {
  absl::StatusOr<Flags> flags = SplitWords(words);
  if (!flags.ok()) return flags.status();

  Arguments arguments;
  arguments.help = flags->help;
  if (arguments.help) return arguments;

  if (flags->batch.has_value()) {
    absl::StatusOr<uint64_t> batch = ParseNumber("--batch", *flags->batch, kDefaultSubmissionQueueSize);
    if (!batch.ok()) return batch.status();
    arguments.batch = *batch;
  }
  if (flags->timeout.has_value()) {
    absl::StatusOr<uint64_t> seconds = ParseNumber("--timeout", *flags->timeout, kMaxTimeoutSeconds);
    if (!seconds.ok()) return seconds.status();
    arguments.timeout = absl::Seconds(*seconds);
  }
  if (flags->max_file.has_value()) {
    absl::StatusOr<uint64_t> mib = ParseNumber("--max-file", *flags->max_file, kMaxFileMib);
    if (!mib.ok()) return mib.status();
    arguments.max_file_bytes = size_t{*mib} << 20;
  }

  if (flags->directory.has_value()) {
    if (flags->directory->empty()) {
      return absl::InvalidArgumentError("the directory is an empty word; give its path, or none to read this repository");
    }
    arguments.directory = Resolve(*flags->directory, surroundings.working_directory);
  } else {
    arguments.directory_is_default = true;
    arguments.directory =
        surroundings.workspace_directory.empty() ? surroundings.working_directory : surroundings.workspace_directory;
  }
  absl::Status directory = CheckDirectory(arguments.directory);
  if (!directory.ok()) return directory;

  if (flags->output.has_value()) {
    if (flags->output->empty()) return absl::InvalidArgumentError("--output= is empty; give the path of a file");
    arguments.output = Resolve(*flags->output, surroundings.working_directory);
    absl::Status output = CheckOutput(arguments.output);
    if (!output.ok()) return output;
  }
  return arguments;
}

std::string HelpText() {
  const Arguments defaults;
  return absl::StrCat(
      R"(Usage: ./bazelw run //examples:quickstart [-- [FLAG...] [DIRECTORY]]

Makes two processes with a ring each, reads every regular file under DIRECTORY in batches through both rings, and shows what
else goes through a ring: writing a file, a TCP connection, a message from one process to the other, an error. Symbolic links are
not followed. DIRECTORY is this repository's sources by default (without .git and bazel-*).

  --output=FILE    where the result file goes          (default: summary.txt in a new temporary directory)
  --batch=N        entries submitted at a time, 1-)",
      kDefaultSubmissionQueueSize, "  (default: ", defaults.batch, R"()
  --timeout=S      seconds until a wait is given up    (default: )",
      absl::ToInt64Seconds(defaults.timeout), R"()
  --max-file=MIB   larger files are errors             (default: )",
      defaults.max_file_bytes >> 20, R"()
  --help           this text

Exit code: 0 when every step ran (files that could not be read are counted and listed), 1 when a step failed, 2 for bad arguments.
)");
}

}  // namespace agentos::quickstart
