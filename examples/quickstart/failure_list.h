// What went wrong, however often it did: every failure counted, the first few kept for people to read.
//
// Thread rule: a value; one thread at a time.

#ifndef AGENTOS_EXAMPLES_QUICKSTART_FAILURE_LIST_H_
#define AGENTOS_EXAMPLES_QUICKSTART_FAILURE_LIST_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace agentos::quickstart {

class FailureList {
 public:
  static constexpr size_t kKept = 100;

  // `message` may hold a file's name, and a file's name may hold anything: a terminal never sees its control characters.
  void Add(absl::string_view message) {
    ++count_;
    if (kept_.size() < kKept) kept_.push_back(absl::Utf8SafeCHexEscape(message));
  }

  void Append(FailureList&& other) {
    count_ += other.count_;
    for (std::string& message : other.kept_) {
      if (kept_.size() < kKept) kept_.push_back(std::move(message));
    }
  }

  uint64_t count() const { return count_; }
  const std::vector<std::string>& kept() const { return kept_; }

 private:
  uint64_t count_ = 0;
  std::vector<std::string> kept_;
};

}  // namespace agentos::quickstart

#endif  // AGENTOS_EXAMPLES_QUICKSTART_FAILURE_LIST_H_
