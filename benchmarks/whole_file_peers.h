// Whole small files by plain system calls: what the peers do with one file.
//
// Thread rule: any thread.

#ifndef AGENTOS_BENCHMARKS_WHOLE_FILE_PEERS_H_
#define AGENTOS_BENCHMARKS_WHOLE_FILE_PEERS_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace agentos::bench {

// open, read, close into a buffer that is known to be large enough; -1 on an error.
int64_t ReadByThreeCalls(const std::string& path);
// open, fstat, read exactly that much, close; -1 on an error.
int64_t ReadByFourCalls(const std::string& path);
// open, write, close; -1 on an error.
int64_t CreateByThreeCalls(const std::string& path, const char* data, size_t size);

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_WHOLE_FILE_PEERS_H_
