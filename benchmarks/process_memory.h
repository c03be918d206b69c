// How much memory this process has in use.
//
// Thread rule: any thread.

#ifndef AGENTOS_BENCHMARKS_PROCESS_MEMORY_H_
#define AGENTOS_BENCHMARKS_PROCESS_MEMORY_H_

#include <cstdint>

namespace agentos::bench {

// Bytes in physical memory, after free memory was given back to the system where that is possible. What the kernel keeps on the
// process's behalf (the rings themselves) is not in it, unless it is mapped and counted.
int64_t ResidentBytes();

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_PROCESS_MEMORY_H_
