// Where the records of a trace go: a file, or memory that is written out later.
//
// Thread rule: one thread at a time.

#ifndef AGENTOS_MANAGER_TRACE_SINK_H_
#define AGENTOS_MANAGER_TRACE_SINK_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "agentos/manager/trace_counts.h"

namespace agentos {

class TraceSink {
 public:
  virtual ~TraceSink() = default;

  // `encode` writes the record, with times that count from `base_ns`, into an empty string; it is called again when its block was
  // full. `counts` is what the record tells of. After an error the record is lost, and counted, but the next call works.
  using Encode = absl::FunctionRef<void(uint64_t base_ns, std::string& record)>;
  virtual absl::Status Append(Encode encode, const TraceCounts& counts, uint64_t now_ns) = 0;

  // So much is missing before what comes next.
  virtual absl::Status AppendLoss(const TraceCounts& lost, uint64_t now_ns) = 0;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TRACE_SINK_H_
