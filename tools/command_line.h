// The command line of a tool: what it takes, its help, and errors that say what to do.
//
// Flags are --name=value or --name value; a bool is --name or --no-name. "--" ends them. Everything else is positional; "-" is.
// --help (-h) and --version are every tool's.
//
// Thread rule: a value, one thread at a time.
// Lifetime: the variables that flags are bound to outlive Parse.
// Errors: Parse answers what to print and how to exit: 2 for what is wrong with the command line.
//
//   CommandLine line("trace_dump", "Shows what a program asked of its rings.", "[FLAG]... FILE...");
//   line.Add("limit", "N", &limit, "show no more than N operations");
//   const CommandLine::Outcome outcome = line.Parse(argc, argv);
//   if (outcome.exit_code.has_value()) return outcome.Print();

#ifndef AGENTOS_TOOLS_COMMAND_LINE_H_
#define AGENTOS_TOOLS_COMMAND_LINE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace agentos {

class CommandLine {
 public:
  struct Outcome {
    // Set: print and exit with it. Otherwise the tool runs.
    std::optional<int> exit_code;
    std::string out;
    std::string error;

    // Prints both; answers the exit code.
    int Print() const;
  };

  static constexpr int kUsageError = 2;

  // `what`: a sentence or two. `usage`: what stands behind the tool's name.
  CommandLine(std::string tool, std::string what, std::string usage);

  // What follows stands below this title in the help.
  void Group(std::string title);
  void Add(const std::string& name, bool* value, std::string help);
  void Add(const std::string& name, const std::string& value_name, std::string* value, std::string help);
  // Given several times, or with commas, or both.
  void Add(const std::string& name, const std::string& value_name, std::vector<std::string>* values, std::string help);
  void Add(const std::string& name, const std::string& value_name, std::optional<uint64_t>* value, std::string help,
           uint64_t least = 0);
  // "1ms", "2.5s", "1h30m".
  void Add(const std::string& name, const std::string& value_name, std::optional<absl::Duration>* value, std::string help);
  // One of `choices`, which the help lists. `value` holds what it is without the flag.
  void AddChoice(const std::string& name, std::vector<std::string> choices, std::string* value, std::string help);
  // Where what is no flag goes; without it, that is an error.
  void AddPositional(std::vector<std::string>* values);
  // For the help's end.
  void Example(std::string command, std::string what);
  void ExitCode(int code, std::string what);

  Outcome Parse(int argc, const char* const* argv);
  std::string Help() const;

 private:
  struct Flag {
    std::string name;
    // Empty for a bool.
    std::string value_name;
    std::string help;
    // InvalidArgument says what is wrong with the value, and what is right.
    std::function<absl::Status(absl::string_view value)> set;
  };

  void AddFlag(std::string name, std::string value_name, std::string help,
               std::function<absl::Status(absl::string_view value)> set);
  absl::Status SetFlag(absl::string_view argument, const char* const* argv, int argc, int& at);
  std::string Suggestion(absl::string_view name) const;

  const std::string tool_;
  const std::string what_;
  const std::string usage_;
  std::map<std::string, Flag> flags_;
  // The help's lines: titles, and names of flags.
  std::vector<std::pair<std::string, bool>> order_;
  std::vector<std::pair<std::string, std::string>> examples_;
  std::vector<std::pair<int, std::string>> exit_codes_;
  std::vector<std::string>* positional_ = nullptr;
};

}  // namespace agentos

#endif  // AGENTOS_TOOLS_COMMAND_LINE_H_
