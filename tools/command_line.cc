#include "agentos/tools/command_line.h"

#include <algorithm>
#include <iostream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agentos/manager/trace_header.h"

namespace agentos {

namespace {

constexpr char kVersion[] = "0.4.0";
constexpr size_t kWidth = 100;
constexpr size_t kHelpColumn = 30;

// How many letters one word is from another.
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row.back();
}

// Words in lines that begin at `column`, the first of which begins where `text` ends.
void AppendWrapped(absl::string_view words, size_t column, std::string& text) {
  size_t at = column;
  for (const absl::string_view word : absl::StrSplit(words, ' ', absl::SkipEmpty())) {
    if (at > column && at + 1 + word.size() > kWidth) {
      absl::StrAppend(&text, "\n", std::string(column, ' '));
      at = column;
    }
    if (at > column) {
      text += ' ';
      ++at;
    }
    absl::StrAppend(&text, word);
    at += word.size();
  }
  text += '\n';
}

// A name, and what it is.
void AppendEntry(const std::string& name, absl::string_view help, std::string& text) {
  absl::StrAppend(&text, "  ", name);
  if (name.size() + 4 > kHelpColumn) {
    absl::StrAppend(&text, "\n", std::string(kHelpColumn, ' '));
  } else {
    text.append(kHelpColumn - 2 - name.size(), ' ');
  }
  AppendWrapped(help, kHelpColumn, text);
}

}  // namespace

int CommandLine::Outcome::Print() const {
  std::cout << out << std::flush;
  std::cerr << error << std::flush;
  return exit_code.value_or(0);
}

CommandLine::CommandLine(std::string tool, std::string what, std::string usage)
    : tool_(std::move(tool)), what_(std::move(what)), usage_(std::move(usage)) {}

void CommandLine::Group(std::string title) { order_.emplace_back(std::move(title), true); }

void CommandLine::AddFlag(std::string name, std::string value_name, std::string help,
                          std::function<absl::Status(absl::string_view value)> set) {
  order_.emplace_back(name, false);
  flags_[name] = {name, std::move(value_name), std::move(help), std::move(set)};
}

void CommandLine::Add(const std::string& name, bool* value, std::string help) {
  AddFlag(name, "", std::move(help), [value](absl::string_view given) {
    *value = given != "no";
    return absl::OkStatus();
  });
}

void CommandLine::Add(const std::string& name, const std::string& value_name, std::string* value, std::string help) {
  AddFlag(name, value_name, std::move(help), [value](absl::string_view given) {
    if (given.empty()) return absl::InvalidArgumentError("it must not be empty");
    *value = std::string(given);
    return absl::OkStatus();
  });
}

void CommandLine::Add(const std::string& name, const std::string& value_name, std::vector<std::string>* values,
                      std::string help) {
  AddFlag(name, value_name, std::move(help), [values](absl::string_view given) {
    for (const absl::string_view one : absl::StrSplit(given, ',')) {
      if (one.empty()) return absl::InvalidArgumentError("it must be one value, or several with commas between them");
      values->emplace_back(one);
    }
    return absl::OkStatus();
  });
}

void CommandLine::Add(const std::string& name, const std::string& value_name, std::optional<uint64_t>* value, std::string help,
                      uint64_t least) {
  AddFlag(name, value_name, std::move(help), [value, least](absl::string_view given) {
    uint64_t number = 0;
    if (!absl::SimpleAtoi(given, &number) || number < least) {
      return absl::InvalidArgumentError(absl::StrCat("it must be a whole number from ", least, " upward"));
    }
    *value = number;
    return absl::OkStatus();
  });
}

void CommandLine::Add(const std::string& name, const std::string& value_name, std::optional<absl::Duration>* value,
                      std::string help) {
  AddFlag(name, value_name, std::move(help), [value](absl::string_view given) {
    absl::Duration duration;
    if (!absl::ParseDuration(given, &duration) || duration < absl::ZeroDuration()) {
      return absl::InvalidArgumentError("it must be a time with its unit, such as 250us, 10ms, 1.5s or 2m");
    }
    *value = duration;
    return absl::OkStatus();
  });
}

void CommandLine::AddChoice(const std::string& name, std::vector<std::string> choices, std::string* value, std::string help) {
  absl::StrAppend(&help, ": ", absl::StrJoin(choices, ", "), " (", *value, " without the flag)");
  std::string value_name = absl::StrJoin(choices, "|");
  if (name.size() + value_name.size() + 7 > kHelpColumn) value_name = "WHICH";
  AddFlag(name, std::move(value_name), std::move(help), [choices = std::move(choices), value](absl::string_view given) {
    if (std::find(choices.begin(), choices.end(), given) == choices.end()) {
      return absl::InvalidArgumentError(absl::StrCat("it must be one of ", absl::StrJoin(choices, ", ")));
    }
    *value = std::string(given);
    return absl::OkStatus();
  });
}

void CommandLine::AddPositional(std::vector<std::string>* values) { positional_ = values; }

void CommandLine::Example(std::string command, std::string what) { examples_.emplace_back(std::move(command), std::move(what)); }

void CommandLine::ExitCode(int code, std::string what) { exit_codes_.emplace_back(code, std::move(what)); }

std::string CommandLine::Help() const {
  std::string text = absl::StrCat("usage: ", tool_, " ", usage_, "\n\n");
  AppendWrapped(what_, 0, text);
  for (const auto& [line, is_title] : order_) {
    if (is_title) {
      absl::StrAppend(&text, "\n", line, ":\n");
      continue;
    }
    const Flag& flag = flags_.at(line);
    AppendEntry(absl::StrCat("--", flag.name, flag.value_name.empty() ? "" : "=", flag.value_name), flag.help, text);
  }
  text += "\nother:\n";
  AppendEntry("--help, -h", "print this and exit", text);
  AppendEntry("--version", "print the version and exit", text);
  if (!examples_.empty()) text += "\nexamples:\n";
  for (const auto& [command, what] : examples_) absl::StrAppend(&text, "  ", command, "\n      ", what, "\n");
  if (!exit_codes_.empty()) text += "\nexit codes:\n";
  for (const auto& [code, what] : exit_codes_) AppendEntry(absl::StrCat(code), what, text);
  return text;
}

std::string CommandLine::Suggestion(absl::string_view name) const {
  std::string best;
  size_t distance = std::max<size_t>(2, name.size() / 3) + 1;
  std::vector<std::string> names = {"help", "version"};
  for (const auto& [other, flag] : flags_) names.push_back(other);
  for (const std::string& other : names) {
    const size_t far = absl::StartsWith(other, name) ? 1 : Distance(name, other);
    if (far < distance && !name.empty()) {
      distance = far;
      best = other;
    }
  }
  return best.empty() ? absl::StrCat("; ", tool_, " --help lists them") : absl::StrCat(", did you mean --", best, "?");
}

absl::Status CommandLine::SetFlag(absl::string_view argument, const char* const* argv, int argc, int& at) {
  const size_t equals = argument.find('=');
  const std::string name(argument.substr(0, equals));
  auto found = flags_.find(name);
  const bool negated = found == flags_.end() && absl::StartsWith(name, "no-");
  if (negated) found = flags_.find(name.substr(3));
  if (found == flags_.end() || (negated && !found->second.value_name.empty())) {
    return absl::InvalidArgumentError(absl::StrCat("unknown flag --", name, Suggestion(negated ? name.substr(3) : name)));
  }
  const Flag& flag = found->second;
  const bool has_value = equals != absl::string_view::npos;
  if (flag.value_name.empty()) {
    if (has_value) return absl::InvalidArgumentError(absl::StrCat("--", name, " takes no value; leave out what is behind the ="));
    return flag.set(negated ? "no" : "");
  }
  if (!has_value && ++at >= argc) {
    return absl::InvalidArgumentError(absl::StrCat("--", name, " needs a value: --", name, "=", flag.value_name));
  }
  const absl::string_view value = has_value ? argument.substr(equals + 1) : absl::string_view(argv[at]);
  const absl::Status set = flag.set(value);
  if (set.ok()) return set;
  return absl::InvalidArgumentError(absl::StrCat("--", name, " is \"", value, "\": ", set.message()));
}

CommandLine::Outcome CommandLine::Parse(int argc, const char* const* argv) {
  const auto wrong = [this](absl::string_view why) { return Outcome{kUsageError, "", absl::StrCat(tool_, ": ", why, "\n")}; };
  bool only_positional = false;
  for (int at = 1; at < argc; ++at) {
    const absl::string_view argument = argv[at];
    if (only_positional || argument.size() < 2 || argument[0] != '-') {
      if (positional_ == nullptr) return wrong(absl::StrCat("what is \"", argument, "\"? It takes flags only"));
      positional_->emplace_back(argument);
    } else if (argument == "--") {
      only_positional = true;
    } else if (argument == "--help" || argument == "-h") {
      return {0, Help(), ""};
    } else if (argument == "--version") {
      return {
          0,
          absl::StrCat(tool_, " (agentos_uring) ", kVersion, ", trace format ", kTraceFormatMajor, ".", kTraceFormatMinor, "\n"),
          ""};
    } else if (!absl::StartsWith(argument, "--")) {
      return wrong(absl::StrCat("unknown flag ", argument, "; flags have two dashes, ", tool_, " --help lists them"));
    } else if (absl::Status set = SetFlag(argument.substr(2), argv, argc, at); !set.ok()) {
      return wrong(set.message());
    }
  }
  return {};
}

}  // namespace agentos
