#include "agentos/manager/ring_directory.h"

#include <bit>

namespace agentos {

namespace {

constexpr size_t kFirstSize = 64;

}  // namespace

RingDirectory::RingDirectory() {
  tables_.push_back(std::make_unique<Table>(kFirstSize));
  table_.store(tables_.back().get(), std::memory_order_release);
}

void RingDirectory::Put(Table& table, Pid pid, BoundRing* ring) {
  for (size_t i = Hash(pid);; ++i) {
    Cell& cell = table.cells[i & table.mask];
    if ((cell.key.load(std::memory_order_relaxed) & kPresent) != 0) continue;
    cell.ring.store(ring, std::memory_order_release);
    cell.key.store(KeyOf(pid), std::memory_order_release);
    return;
  }
}

void RingDirectory::Insert(Pid pid, BoundRing* ring) {
  // At half, removed cells would in time take the place of every empty one, and a look-up in vain would pass over all of them.
  if (3 * (size() + 1) > tables_.back()->cells.size()) Rebuild();
  Put(*tables_.back(), pid, ring);
  size_.fetch_add(1, std::memory_order_relaxed);
}

void RingDirectory::Remove(Pid pid) {
  Table& table = *tables_.back();
  for (size_t i = Hash(pid);; ++i) {
    Cell& cell = table.cells[i & table.mask];
    if (cell.key.load(std::memory_order_relaxed) != KeyOf(pid)) continue;
    cell.key.store(kRemoved, std::memory_order_release);
    size_.fetch_sub(1, std::memory_order_relaxed);
    // Removed cells keep look-ups going that pass over them. At the end of a run nobody has to.
    if (table.cells[(i + 1) & table.mask].key.load(std::memory_order_relaxed) != kEmpty) return;
    for (; table.cells[i & table.mask].key.load(std::memory_order_relaxed) == kRemoved; --i) {
      table.cells[i & table.mask].key.store(kEmpty, std::memory_order_release);
    }
    return;
  }
}

void RingDirectory::Rebuild() {
  const Table& old = *tables_.back();
  auto fresh = std::make_unique<Table>(std::bit_ceil(4 * (size() + kFirstSize / 4)));
  for (const Cell& cell : old.cells) {
    const uint64_t key = cell.key.load(std::memory_order_relaxed);
    if ((key & kPresent) != 0) Put(*fresh, static_cast<Pid>(key), cell.ring.load(std::memory_order_relaxed));
  }
  table_.store(fresh.get(), std::memory_order_release);
  tables_.push_back(std::move(fresh));
}

std::vector<Pid> RingDirectory::Pids() const {
  std::vector<Pid> pids;
  for (const Cell& cell : table_.load(std::memory_order_acquire)->cells) {
    const uint64_t key = cell.key.load(std::memory_order_acquire);
    if ((key & kPresent) != 0) pids.push_back(static_cast<Pid>(key));
  }
  return pids;
}

}  // namespace agentos
