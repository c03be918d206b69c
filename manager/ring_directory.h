// Which process has which ring: a hash table that is read without a lock.
//
// Every call of the manager begins with a look-up, from any thread, so it costs a few loads. That is possible because rings are
// never freed while the manager lives, only reused: a look-up may answer a ring that has just changed hands, and whoever locks
// the ring finds out that it is not the process's any more.
//
// Thread rule: Find and size from any thread; Insert and Remove externally synchronised.
// Lifetime: tables that were outgrown are kept for readers that are still in them; together they are no larger than the present
// one, whose size goes with the most rings there ever were at a time.
//
//   directory.Insert(pid, ring);
//   BoundRing* ring = directory.Find(pid);   // null when the process has none

#ifndef AGENTOS_MANAGER_RING_DIRECTORY_H_
#define AGENTOS_MANAGER_RING_DIRECTORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "agentos/executor/waiter.h"
#include "agentos/ring/types.h"

namespace agentos {

class RingDirectory {
 public:
  RingDirectory();
  RingDirectory(const RingDirectory&) = delete;
  RingDirectory& operator=(const RingDirectory&) = delete;

  BoundRing* Find(Pid pid) const {
    const Table& table = *table_.load(std::memory_order_acquire);
    size_t i = Hash(pid);
    // Removed cells may have left no empty one.
    for (size_t left = table.cells.size(); left > 0; --left, ++i) {
      const Cell& cell = table.cells[i & table.mask];
      const uint64_t key = cell.key.load(std::memory_order_acquire);
      if (key == kEmpty) return nullptr;
      if (key != KeyOf(pid)) continue;
      BoundRing* ring = cell.ring.load(std::memory_order_acquire);
      // The cell may have become another's between the two loads; then its key is not the same any more.
      return cell.key.load(std::memory_order_relaxed) == key ? ring : Find(pid);
    }
    return nullptr;
  }

  // Precondition: `pid` is not in it.
  void Insert(Pid pid, BoundRing* ring);
  // Precondition: `pid` is in it.
  void Remove(Pid pid);

  size_t size() const { return size_.load(std::memory_order_relaxed); }
  std::vector<Pid> Pids() const;

 private:
  static constexpr uint64_t kEmpty = 0;
  static constexpr uint64_t kRemoved = uint64_t{1} << 32;
  static constexpr uint64_t kPresent = uint64_t{1} << 33;

  struct Cell {
    std::atomic<uint64_t> key{kEmpty};
    std::atomic<BoundRing*> ring{nullptr};
  };
  struct Table {
    explicit Table(size_t size) : mask(size - 1), cells(size) {}
    const size_t mask;
    std::vector<Cell> cells;
  };

  static uint64_t KeyOf(Pid pid) { return kPresent | pid; }
  // Fibonacci hashing spreads neighbouring ids over the table.
  static size_t Hash(Pid pid) { return static_cast<size_t>((uint64_t{pid} * 0x9e3779b97f4a7c15ull) >> 32); }
  static void Put(Table& table, Pid pid, BoundRing* ring);
  void Rebuild();

  std::atomic<Table*> table_{nullptr};
  std::vector<std::unique_ptr<Table>> tables_;
  std::atomic<size_t> size_{0};
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_RING_DIRECTORY_H_
