// Keeps operations at a file's own position (kCurrentPosition, Lseek) from overtaking each other.
//
// Two reads at the current position that are under way together would read the same bytes, or skip some: the position moves only
// when a read ends. So of one file at most one such operation is under way, the others are parked in order. A stream has no
// position: there a read and a write may be under way together, or else a request could never be written while an answer is
// awaited. What is parked there holds up only its own kind.
//
// A file is known by its fd and by what that fd refers to: the number of a file that was closed under a pending read is soon
// another file's. Two fds that share one position (dup(2)) count as two files.
//
// Thread rule: externally synchronised. One per ring.
//
//   if (!order.Acquire(slot)) return;  // parked; Release will hand it out
//   ...
//   order.Release(slot, ready);
//   for (Slot* next : ready) ...

#ifndef AGENTOS_EXECUTOR_POSITION_ORDER_H_
#define AGENTOS_EXECUTOR_POSITION_ORDER_H_

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "agentos/ring/slot.h"

namespace agentos {

class PositionOrder {
 public:
  // Whether the operation depends on the file's own position.
  static bool Concerns(const Operation& operation);

  // True: it may go, and holds the position until Release. False: it is parked (SlotPlace::kParked).
  bool Acquire(Slot& slot);

  // Gives up what `slot` holds. Appends the parked entries that may go now, each holding the position, to `ready`.
  void Release(Slot& slot, std::vector<Slot*>& ready);

  // Takes a parked entry out: it is cancelled. Those behind it may become free to go.
  void Withdraw(Slot& slot, std::vector<Slot*>& ready);

 private:
  struct File {
    int fd;
    dev_t device;
    ino_t inode;
    uint32_t number;
    bool reading = false;
    bool writing = false;
    std::vector<Slot*> parked = {};
  };

  File* FindOrMake(int fd);
  File* Find(const Slot& slot);
  static bool MayGo(const File& file, const Slot& slot);
  static bool IsBehindParked(const File& file, const Slot& slot);
  static void Hold(File& file, Slot& slot);
  void Advance(File* file, std::vector<Slot*>& ready);

  std::vector<File> files_;
  uint32_t last_number_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_POSITION_ORDER_H_
