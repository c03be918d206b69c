// A ring in which things go wrong, the same way each time: for tests of programs against what a kernel may do but seldom does.
//
// Entries are executed by plain system calls on the program's own real files, pipes and sockets, so that whatever else looks at
// those sees the truth; the faults lie around the calls. All chance comes from the seed: the same seed and the same calls give
// the same results, as long as one thread makes the calls and the world outside stands still, and no whole
// file takes the library's own threads (a WriteFile does, and a ReadFile whose first try in the ring fails).
//
// The fault model. Each fault strikes with its own probability, in thousandths, each time the question comes up:
//
//   fault              what happens                                                         the library's answer
//   -----------------  -------------------------------------------------------------------  ------------------------------------------
//   short_transfer     a read, write, send or receive moves a part of what it could         goes on, or reports it (P13)
//   interrupted        -EINTR, nothing was done (never of a close or a connect)             begins it again
//   again              -EAGAIN of a transfer, nothing was done                              waits for the fd, begins it again
//   taken_back         -ECANCELED that nobody asked for                                     begins it again
//   io_error           -EIO of a transfer or fsync, nothing was done                        the caller's error
//   no_space           -ENOSPC of a write, fallocate, mkdir or an open that creates         the caller's error
//   delay              the entry is executed later, by up to max_delay turns                order of completion is not that of starting
//   reorder            its result comes later, by up to max_delay turns                     as above
//   burst              results are held back for max_delay turns, then come all at once     none is lost, tiny queues overflow
//   cancel_late        a cancel finds its target running (-EALREADY): it wins               its real result
//   cancel_blind       a cancel does not find its target (-ENOENT)                          asks again
//   short_submit       fewer entries are taken than offered                                 offers the rest again
//   refuse_enter       -EAGAIN, -EBUSY or -ENOMEM; nothing was taken                        tries again after a pause
//   lost               a result never comes, and the next Enter that waits says -EBADR      all under way ends with EBADR
//   no_registration    memory cannot be registered (-ENOMEM)                                does without
//
// A turn is one call of Enter, or one look while it waits. An fsync, or a close that waits for a server, is executed by the
// calling thread, the open of a FIFO by a thread of its own. One difference from the kernel remains: an fd that is closed under
// an entry that waits for it ends that entry with EBADF.
//
// Thread rule, lifetime, errors: SubmissionRing's.
//
//   IoUringManagerOptions options;
//   options.submission_rings = SimulatedRings({.seed = 42, .faults = Faults::Survivable()});
//   auto manager = IoUringManager::Create(options);

#ifndef AGENTOS_TESTING_SIMULATED_RING_H_
#define AGENTOS_TESTING_SIMULATED_RING_H_

#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "agentos/executor/submission_ring.h"

namespace agentos {

struct Faults {
  uint32_t short_transfer = 0;
  uint32_t interrupted = 0;
  uint32_t again = 0;
  uint32_t taken_back = 0;
  uint32_t io_error = 0;
  uint32_t no_space = 0;
  uint32_t delay = 0;
  uint32_t reorder = 0;
  uint32_t burst = 0;
  uint32_t cancel_late = 0;
  uint32_t cancel_blind = 0;
  uint32_t short_submit = 0;
  uint32_t refuse_enter = 0;
  uint32_t lost = 0;
  uint32_t no_registration = 0;
  uint32_t max_delay = 8;

  // Those that a caller never hears of, one in ten each.
  static Faults Survivable();
  // All but `lost`, after which a manager keeps memory for good.
  static Faults All();
};

struct SimulatedRingOptions {
  uint64_t seed = 1;
  Faults faults;
  unsigned entries = 256;
  // Tiny ones overflow.
  unsigned completion_entries = 4096;
  // Places for direct descriptors; without any ReadFile is executed by the library's own threads, where no faults are.
  unsigned direct_files = 64;
};

using SubmissionRingMaker = std::function<absl::StatusOr<std::unique_ptr<SubmissionRing>>()>;

// Each ring that is made has a seed of its own, which follows from the options'.
SubmissionRingMaker SimulatedRings(const SimulatedRingOptions& options);

}  // namespace agentos

#endif  // AGENTOS_TESTING_SIMULATED_RING_H_
