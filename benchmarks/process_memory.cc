#include "agentos/benchmarks/process_memory.h"

#include <malloc.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>

#include "agentos/benchmarks/temp_dir.h"

namespace agentos::bench {

int64_t ResidentBytes() {
  malloc_trim(0);
  std::ifstream statm("/proc/self/statm");
  int64_t pages = 0;
  int64_t resident = 0;
  if (!(statm >> pages >> resident)) DieOfErrno("/proc/self/statm");
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace agentos::bench
