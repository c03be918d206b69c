#include "agentos/tools/trace_filter.h"

#include <fnmatch.h>
#include <string.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agentos/tools/operation_details.h"
#include "google/protobuf/descriptor.h"

namespace agentos {

namespace {

constexpr int kMostErrno = 4095;

// All numbers of the operation's fields that name a descriptor.
std::vector<int> FdsOf(const proto::v1::Entry& entry) {
  const auto* oneof = proto::v1::Entry::descriptor()->FindOneofByName("operation");
  const auto* field = entry.GetReflection()->GetOneofFieldDescriptor(entry, oneof);
  std::vector<int> fds;
  if (field == nullptr) return fds;
  const auto& operation = entry.GetReflection()->GetMessage(entry, field);
  for (const char* name : {"fd", "from_fd", "to_fd", "beneath_fd"}) {
    const auto* fd = field->message_type()->FindFieldByName(name);
    if (fd == nullptr || (fd->has_presence() && !operation.GetReflection()->HasField(operation, fd))) continue;
    fds.push_back(operation.GetReflection()->GetInt32(operation, fd));
  }
  return fds;
}

// Of the operation's fields that are a path or an address, whether one holds the text or matches it as a pattern.
bool IsAbout(const proto::v1::Entry& entry, const std::string& pattern) {
  const auto* oneof = proto::v1::Entry::descriptor()->FindOneofByName("operation");
  const auto* field = entry.GetReflection()->GetOneofFieldDescriptor(entry, oneof);
  if (field == nullptr) return false;
  const auto& operation = entry.GetReflection()->GetMessage(entry, field);
  for (const char* name : {"path", "address", "from", "to"}) {
    const auto* text = field->message_type()->FindFieldByName(name);
    if (text == nullptr) continue;
    const std::string value = operation.GetReflection()->GetString(operation, text);
    if (value.find(pattern) != std::string::npos || fnmatch(pattern.c_str(), value.c_str(), 0) == 0) return true;
  }
  return false;
}

std::set<std::string> OperationNames() {
  std::set<std::string> names = {"unknown"};
  const auto* oneof = proto::v1::Entry::descriptor()->FindOneofByName("operation");
  for (int i = 0; i < oneof->field_count(); ++i) names.insert(absl::AsciiStrToLower(oneof->field(i)->message_type()->name()));
  return names;
}

}  // namespace

void TraceFilter::AddFlags(CommandLine& line) {
  line.Add("pid", "PID", &pid_texts_, "these processes only (those of the agent operating system)");
  line.Add("op", "NAME", &op_texts_, "these operations only: Read, WriteFile and so on, in any case");
  line.Add("fd", "FD", &fd_texts_, "what works on these descriptors only");
  line.Add("path", "TEXT", &paths_, "what has this in a path or address, or matches it (*.log)");
  line.Add("errno", "NAME", &errno_texts_, "what failed with these errors only: ENOENT, or 2");
  line.Add("failed", &failed_, "what failed only");
  line.Add("in-flight", &in_flight_, "what never ended only");
  line.Add("slower-than", "TIME", &slower_than_, "what took longer only, its wait included: 10ms");
  line.Add("since", "WHEN", &since_text_, "from then on: 1.5s after the trace's beginning, or 2026-11-23T22:00:00Z");
  line.Add("until", "WHEN", &until_text_, "until then");
  line.Add("seq", "N", &seq_texts_, "these sequence numbers only");
  line.Add("user-data", "N", &user_data_texts_, "what has this user_data only: 17 or 0x11");
  line.Add("limit", "N", &limit_, "the first N that pass", 1);
}

absl::Status TraceFilter::ParseNumbers(const char* flag, const std::vector<std::string>& texts, std::set<uint64_t>& numbers) {
  for (const std::string& text : texts) {
    uint64_t number = 0;
    // SimpleHexAtoi alone would take "abc" for a number.
    const bool is_hex = absl::StartsWithIgnoreCase(text, "0x");
    if (is_hex ? !absl::SimpleHexAtoi(text, &number) : !absl::SimpleAtoi(text, &number)) {
      return absl::InvalidArgumentError(absl::StrCat("--", flag, " is \"", text, "\": it must be a whole number"));
    }
    numbers.insert(number);
  }
  return absl::OkStatus();
}

absl::Status TraceFilter::ParseMoment(const char* flag, const std::string& text, Moment& moment) {
  if (text.empty()) return absl::OkStatus();
  absl::Duration duration;
  absl::Time date;
  std::string problem;
  if (absl::ParseDuration(text, &duration)) {
    moment.since_begin = duration;
  } else if (absl::ParseTime(absl::RFC3339_full, text, &date, &problem) ||
             absl::ParseTime("%Y-%m-%d%ET%H:%M:%E*S", text, absl::LocalTimeZone(), &date, &problem) ||
             absl::ParseTime("%Y-%m-%d %H:%M:%E*S", text, absl::LocalTimeZone(), &date, &problem)) {
    moment.date = date;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("--", flag, " is \"", text,
                                                   "\": it must be a time after the trace's beginning, such as 1.5s, or a date, "
                                                   "such as 2026-11-23T22:00:00Z"));
  }
  return absl::OkStatus();
}

absl::Status TraceFilter::ParseErrnos() {
  for (const std::string& text : errno_texts_) {
    int number = 0;
    const std::string name = absl::AsciiStrToUpper(text);
    if (!absl::SimpleAtoi(text, &number)) {
      for (number = kMostErrno; number > 0; --number) {
        const char* known = strerrorname_np(number);
        if (known != nullptr && name == known) break;
      }
    }
    if (number < 1 || number > kMostErrno) {
      return absl::InvalidArgumentError(
          absl::StrCat("--errno is \"", text, "\": it must be the name of an error, such as ENOENT, or its number"));
    }
    errnos_.insert(number);
  }
  return absl::OkStatus();
}

absl::Status TraceFilter::Check() {
  if (absl::Status status = ParseNumbers("pid", pid_texts_, pids_); !status.ok()) return status;
  if (absl::Status status = ParseNumbers("fd", fd_texts_, fds_); !status.ok()) return status;
  if (absl::Status status = ParseNumbers("seq", seq_texts_, seqs_); !status.ok()) return status;
  if (absl::Status status = ParseNumbers("user-data", user_data_texts_, user_data_); !status.ok()) return status;
  if (absl::Status status = ParseErrnos(); !status.ok()) return status;
  if (absl::Status status = ParseMoment("since", since_text_, since_); !status.ok()) return status;
  if (absl::Status status = ParseMoment("until", until_text_, until_); !status.ok()) return status;
  const std::set<std::string> known = OperationNames();
  for (const std::string& text : op_texts_) {
    const std::string name = absl::AsciiStrToLower(text);
    if (!known.contains(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--op is \"", text, "\": there is no such operation; they are named as in agentos/ring/operation.h"));
    }
    operations_.insert(name);
  }
  return absl::OkStatus();
}

int64_t TraceFilter::NanosOf(const Moment& moment) const {
  if (moment.since_begin.has_value()) {
    return absl::ToInt64Nanoseconds(absl::Nanoseconds(begin_ns_) + *moment.since_begin);
  }
  return absl::ToInt64Nanoseconds(*moment.date - absl::UnixEpoch() - absl::Nanoseconds(realtime_offset_ns_));
}

bool TraceFilter::PassesTime(int64_t time_ns) const {
  if ((since_.since_begin.has_value() || since_.date.has_value()) && time_ns < NanosOf(since_)) return false;
  if ((until_.since_begin.has_value() || until_.date.has_value()) && time_ns > NanosOf(until_)) return false;
  return true;
}

bool TraceFilter::IsAboutOperations() const {
  return failed_ || in_flight_ || slower_than_.has_value() || !operations_.empty() || !fds_.empty() || !paths_.empty() ||
         !errnos_.empty() || !seqs_.empty() || !user_data_.empty();
}

bool TraceFilter::PassesOperation(const TracedOperation& operation) const {
  const proto::v1::Entry& entry = operation.entry;
  if (failed_ && operation.error_number == 0) return false;
  if (in_flight_ && operation.ended) return false;
  if (!errnos_.empty() && !errnos_.contains(operation.error_number)) return false;
  if (!pids_.empty() && !pids_.contains(entry.pid())) return false;
  if (!seqs_.empty() && !seqs_.contains(operation.seq)) return false;
  if (!user_data_.empty() && !user_data_.contains(entry.user_data())) return false;
  if (slower_than_.has_value()) {
    if (!operation.took_ns.has_value()) return false;
    if (Since(operation.queued_ns, EndOf(operation)) <= absl::ToInt64Nanoseconds(*slower_than_)) return false;
  }
  if (!operations_.empty() && !operations_.contains(absl::AsciiStrToLower(OperationNameOf(entry)))) return false;
  if (!fds_.empty()) {
    const std::vector<int> fds = FdsOf(entry);
    if (std::none_of(fds.begin(), fds.end(), [&](int fd) { return fd >= 0 && fds_.contains(static_cast<uint64_t>(fd)); }))
      return false;
  }
  if (!paths_.empty() &&
      std::none_of(paths_.begin(), paths_.end(), [&](const std::string& path) { return IsAbout(entry, path); })) {
    return false;
  }
  return PassesTime(operation.queued_ns);
}

bool TraceFilter::Passes(const TraceItem& item) {
  struct Visitor {
    TraceFilter& filter;

    bool Other(uint32_t pid, int64_t time_ns) const {
      return !filter.IsAboutOperations() && (filter.pids_.empty() || filter.pids_.contains(pid)) && filter.PassesTime(time_ns);
    }
    bool operator()(const proto::v1::TraceHeader& header) const {
      filter.realtime_offset_ns_ = static_cast<int64_t>(header.realtime_ns() - header.monotonic_ns());
      if (!std::exchange(filter.has_begun_, true)) filter.begin_ns_ = static_cast<int64_t>(header.monotonic_ns());
      return true;
    }
    bool operator()(const TracedOperation& operation) const {
      if (filter.is_satisfied() || !filter.PassesOperation(operation)) return false;
      ++filter.passed_;
      return true;
    }
    bool operator()(const TraceRingEvent& event) const { return Other(event.pid, event.time_ns); }
    bool operator()(const TraceDrop& drop) const { return Other(drop.pid, drop.time_ns); }
    bool operator()(const TraceRefusal& refusal) const { return Other(refusal.pid, refusal.time_ns); }
    // What is missing concerns everybody.
    bool operator()(const TraceLoss&) const { return true; }
    bool operator()(const TraceDamage&) const { return true; }
    bool operator()(const TraceUnknown&) const { return !filter.IsAboutOperations(); }
  };
  return std::visit(Visitor{*this}, item);
}

}  // namespace agentos
