// Bytes that may be a trace file: every tool gets to its end, also through a pipe, and what can be saved of it is a sound trace.

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "agentos/tools/fuzz_support.h"
#include "agentos/tools/trace_check.h"
#include "glog/logging.h"

namespace {

constexpr size_t kPipeSize = 65536;

std::string RepairedPath() {
  const char* directory = std::getenv("TEST_TMPDIR");
  return absl::StrCat(directory == nullptr ? "/tmp" : directory, "/repaired.", getpid());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const agentos::MemoryFile file(bytes);
  const agentos::TraceSeen seen = agentos::ShowInEveryWay(file.path());
  if (size <= kPipeSize) {
    const agentos::TraceSeen through_pipe = agentos::ReadThroughPipe(bytes);
    CHECK(!seen.is_readable || (through_pipe.is_readable && through_pipe.items == seen.items));
  }

  const absl::StatusOr<agentos::TraceVerdict> verdict = agentos::VerifyTrace({file.path()});
  CHECK(verdict.ok() == seen.is_readable);
  if (!verdict.ok()) return 0;
  CHECK(verdict->operations == seen.operations);
  if (verdict->condition != agentos::TraceCondition::kCorrupt) return 0;
  static const std::string& repaired_path = *new std::string(RepairedPath());
  const absl::StatusOr<agentos::TraceVerdict> saved = agentos::RepairTrace(file.path(), repaired_path);
  if (saved.ok()) {
    const absl::StatusOr<agentos::TraceVerdict> again = agentos::VerifyTrace({repaired_path});
    CHECK(again.ok() && again->condition != agentos::TraceCondition::kCorrupt);
    CHECK(again->operations == verdict->operations);
  }
  unlink(repaired_path.c_str());
  return 0;
}
