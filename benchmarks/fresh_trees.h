// Directory trees to create small files in: a fresh one for every pass of one contender, all removed at the end.
//
// Thread rule: one thread.

#ifndef AGENTOS_BENCHMARKS_FRESH_TREES_H_
#define AGENTOS_BENCHMARKS_FRESH_TREES_H_

#include <cstddef>
#include <string>
#include <vector>

#include "agentos/benchmarks/bench_environment.h"
#include "agentos/benchmarks/temp_dir.h"

namespace agentos::bench {

class FreshTrees {
 public:
  // Each tree is for `count` files.
  FreshTrees(Place place, size_t count);

  // Makes the next tree, and leaves nothing of the earlier ones to be written back while it is being filled.
  void Next();

  // Of the files to be created in the newest tree.
  const std::vector<std::string>& paths() const { return paths_; }
  const std::vector<size_t>& sizes() const { return sizes_; }
  // What the files contain: this, cut to their sizes.
  const char* content() const { return content_.data(); }

  // Whether every file of the newest tree is there and has its size.
  bool Whole() const;

 private:
  TempDir dir_;
  const std::vector<size_t> sizes_;
  const std::string content_;
  std::vector<std::string> paths_;
  size_t made_ = 0;
};

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_FRESH_TREES_H_
