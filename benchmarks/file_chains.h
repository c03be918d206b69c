// Whole small files through liburing by hand: the ways an expert would try, in one place for reading and for creating.
//
// Every file is three operations on a direct descriptor: open -> (read or write) -> close. The middle and the close are joined by
// a hard link, because a read that ends at the end of the file counts as short and would break a soft one.
//
// Thread rule: one thread.

#ifndef AGENTOS_BENCHMARKS_FILE_CHAINS_H_
#define AGENTOS_BENCHMARKS_FILE_CHAINS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "agentos/benchmarks/block_buffers.h"
#include "agentos/benchmarks/floor_ring.h"

namespace agentos::bench {

// How the files' operations share the submissions. `depth` files are under way at most.
enum class Shape {
  // Submits `depth` linked chains, waits for all of them.
  kChains,
  // Linked chains; a quarter of the depth is renewed as soon as that many have ended.
  kPipelined,
  // No links: the opens of one half with the closes of the other, then the reads or writes of that half.
  kWaves,
};
inline constexpr Shape kAllShapes[] = {Shape::kChains, Shape::kPipelined, Shape::kWaves};

std::string ShapeName(Shape shape);

// What is done with the files.
struct FileWork {
  const std::vector<std::string>* paths = nullptr;
  // Of each file when they are created; null when they are read.
  const std::vector<size_t>* sizes = nullptr;
};

class FileChains {
 public:
  // The ring's file table gets `depth` slots. Precondition: the ring has at least 3 * depth entries.
  FileChains(FloorRing& ring, size_t depth);

  // 0 or -errno of the registration.
  int status() const { return status_; }

  // The bytes read or written by all operations; -1 when one of them failed.
  int64_t Run(Shape shape, const FileWork& work);

 private:
  void PrepareOpen(const FileWork& work, size_t file, size_t slot, unsigned flags);
  void PrepareTransfer(const FileWork& work, size_t file, size_t slot, unsigned flags);
  void PrepareClose(size_t slot);
  void PrepareChain(const FileWork& work, size_t file, size_t slot);
  // Submits, and consumes at least `count` completions. Slots whose close has ended become free.
  size_t Exchange(size_t count);

  void RunChains(const FileWork& work);
  void RunPipelined(const FileWork& work);
  void RunWaves(const FileWork& work);

  FloorRing& ring_;
  const size_t depth_;
  BlockBuffers buffers_;
  std::vector<uint32_t> free_slots_;
  int64_t bytes_ = 0;
  bool failed_ = false;
  int status_;
};

}  // namespace agentos::bench

#endif  // AGENTOS_BENCHMARKS_FILE_CHAINS_H_
