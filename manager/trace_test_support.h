// Trace files as tests look at them.
//
// Thread rule: free functions.
//
//   const ReadTrace trace(path);
//   EXPECT_EQ(trace.submissions() + trace.lost().submissions, 100u);

#ifndef AGENTOS_MANAGER_TRACE_TEST_SUPPORT_H_
#define AGENTOS_MANAGER_TRACE_TEST_SUPPORT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "agentos/manager/trace_counts.h"
#include "agentos/proto/trace.pb.h"

namespace agentos {

// All that a trace file holds, if every block of it is good.
class ReadTrace {
 public:
  explicit ReadTrace(const std::string& path);

  const proto::v1::TraceHeader& header() const { return header_; }
  // Without the header; times count from 0.
  const std::vector<proto::v1::TraceRecord>& records() const { return records_; }
  std::vector<proto::v1::Operation> operations() const;
  size_t Count(proto::v1::TraceRecord::RecordCase kind) const;
  // Of how many operations the submission is there, and of how many the end.
  uint64_t submissions() const;
  uint64_t completions() const;
  // What the records say.
  TraceCounts lost() const;

 private:
  proto::v1::TraceHeader header_;
  std::vector<proto::v1::TraceRecord> records_;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TRACE_TEST_SUPPORT_H_
