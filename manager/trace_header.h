// The first record of a trace file: which format, which machine, which clocks.
//
// Thread rule: free functions without state.

#ifndef AGENTOS_MANAGER_TRACE_HEADER_H_
#define AGENTOS_MANAGER_TRACE_HEADER_H_

#include <cstdint>
#include <string>

#include "agentos/executor/executor_info.h"
#include "agentos/manager/trace_options.h"

namespace agentos {

// The format that is written, and the newest that is understood: agentos/proto/trace.proto.
inline constexpr uint32_t kTraceFormatMajor = 1;
inline constexpr uint32_t kTraceFormatMinor = 0;

// The bytes of a proto::v1::TraceRecord that holds a header, made now.
std::string MakeTraceHeader(const TraceOptions& options, const ExecutorInfo& executor);

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TRACE_HEADER_H_
