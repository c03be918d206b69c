// A directory that is removed, with everything in it, when its owner goes.
//
// ext4 does not reuse an inode for minutes after its deletion, and to create a file among thousands of those was measured to
// take ten times as long. So each directory lies in a block group of its own, picked at random; and when AGENTOS_BENCH_KEEP is
// set those on disk stay: compare.py sets it and removes everything at the end.
//
// Thread rule: a value of one thread.

#ifndef AGENTOS_BENCHMARKS_TEMP_DIR_H_
#define AGENTOS_BENCHMARKS_TEMP_DIR_H_

#include <string>

#include "agentos/benchmarks/bench_environment.h"

namespace agentos::bench {

class TempDir {
 public:
  // Exits the program with a message when the directory cannot be made: no benchmark makes sense then.
  explicit TempDir(Place place);
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  const std::string& path() const { return path_; }

 private:
  const bool keep_;
  std::string outer_;
  std::string path_;
};

// Exits the program with a message and errno's text.
[[noreturn]] void DieOfErrno(const std::string& what);

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_TEMP_DIR_H_
