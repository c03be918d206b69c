// Whole small files by libuv: chains of open, read and close, 32 of them under way.
//
// Thread rule: one thread, and no other in the process (time_in_child.h).

#ifndef AGENTOS_BENCHMARKS_WHOLE_FILE_LIBUV_H_
#define AGENTOS_BENCHMARKS_WHOLE_FILE_LIBUV_H_

#include "agentos/benchmarks/small_files.h"
#include "benchmark/benchmark.h"

namespace agentos::bench {

void ReadFilesByLibuv(benchmark::State& state, const SmallFiles& files);

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_WHOLE_FILE_LIBUV_H_
