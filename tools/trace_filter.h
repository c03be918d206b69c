// Which operations of a trace are looked at: by process, operation, descriptor, path, outcome, time and number.
//
// What is no operation (rings, losses, damage) passes as long as no condition is given that it could not meet.
//
// Thread rule: one thread at a time.
// Errors: Check says which flag is wrong.
//
//   TraceFilter filter;
//   filter.AddFlags(line);
//   ... line.Parse(argc, argv) ...
//   if (absl::Status status = filter.Check(); !status.ok()) ...
//   if (filter.Passes(item)) ...

#ifndef AGENTOS_TOOLS_TRACE_FILTER_H_
#define AGENTOS_TOOLS_TRACE_FILTER_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agentos/tools/command_line.h"
#include "agentos/tools/trace_item.h"

namespace agentos {

class TraceFilter {
 public:
  void AddFlags(CommandLine& line);
  absl::Status Check();

  // Items come in the order of the trace: the header says what times count from.
  bool Passes(const TraceItem& item);
  // Whether enough has passed, so that nothing further will.
  bool is_satisfied() const { return limit_.has_value() && passed_ >= *limit_; }

 private:
  // A moment: since the trace began, or a date.
  struct Moment {
    std::optional<absl::Duration> since_begin;
    std::optional<absl::Time> date;
  };

  static absl::Status ParseNumbers(const char* flag, const std::vector<std::string>& texts, std::set<uint64_t>& numbers);
  static absl::Status ParseMoment(const char* flag, const std::string& text, Moment& moment);
  absl::Status ParseErrnos();
  bool PassesOperation(const TracedOperation& operation) const;
  bool PassesTime(int64_t time_ns) const;
  int64_t NanosOf(const Moment& moment) const;
  bool IsAboutOperations() const;

  std::vector<std::string> pid_texts_;
  std::vector<std::string> op_texts_;
  std::vector<std::string> fd_texts_;
  std::vector<std::string> paths_;
  std::vector<std::string> errno_texts_;
  std::vector<std::string> seq_texts_;
  std::vector<std::string> user_data_texts_;
  std::string since_text_;
  std::string until_text_;
  bool failed_ = false;
  bool in_flight_ = false;
  std::optional<absl::Duration> slower_than_;
  std::optional<uint64_t> limit_;

  std::set<uint64_t> pids_;
  // In small letters.
  std::set<std::string> operations_;
  std::set<uint64_t> fds_;
  std::set<int> errnos_;
  std::set<uint64_t> seqs_;
  std::set<uint64_t> user_data_;
  Moment since_;
  Moment until_;

  int64_t begin_ns_ = 0;
  bool has_begun_ = false;
  int64_t realtime_offset_ns_ = 0;
  uint64_t passed_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_FILTER_H_
