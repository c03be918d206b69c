// The kernel behind a SubmissionRing: one io_uring, and the only place that links liburing.
//
// Thread rule: as SubmissionRing; a ring that is single_issuer belongs to the thread that made it.
// Errors: Create answers a Status naming call, errno and remedy.
// Source: io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
//
//   absl::StatusOr<std::unique_ptr<KernelRing>> ring = KernelRing::Create({.entries = 64});

#ifndef AGENTOS_EXECUTOR_KERNEL_RING_H_
#define AGENTOS_EXECUTOR_KERNEL_RING_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "agentos/executor/submission_ring.h"

namespace agentos {

class KernelRing : public SubmissionRing {
 public:
  struct Options {
    unsigned entries = 256;
    unsigned completion_entries = 4096;
    // One thread makes the ring and makes every call; buys IORING_SETUP_DEFER_TASKRUN and a registered ring fd.
    bool single_issuer = false;
    // Places in the table of direct descriptors; 0 when they are not wanted. There are as many more for registered files.
    unsigned direct_files = 256;
  };

  static absl::StatusOr<std::unique_ptr<KernelRing>> Create(const Options& options);
  ~KernelRing() override;

  int Enter(const EnterArguments& arguments) override;
  bool Supports(unsigned opcode) const override { return opcode < supported_.size() && supported_[opcode]; }
  // -ENOMEM when the kernel does not want to pin the memory (RLIMIT_MEMLOCK).
  int RegisterBuffer(unsigned index, absl::Span<char> memory) override;
  int RegisterFile(unsigned place, int fd) override;
  bool MakeBufferGroup(unsigned most) override;
  void ProvideBuffer(uint16_t id, absl::Span<char> memory) override;
  bool Announce(int event_fd) override;
  std::vector<int> OwnFds() const override;
  std::string Features() const override { return flags_; }

 private:
  struct Uring;
  KernelRing(std::unique_ptr<Uring> uring, bool single_issuer);
  // The first use of the ring: 0, or -errno of whoever forbids it.
  int ExecuteNop();

  std::unique_ptr<Uring> uring_;
  const bool single_issuer_;
  bool registered_fd_ = false;
  bool fixed_buffers_ = false;
  std::vector<bool> supported_;
  std::string flags_;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_KERNEL_RING_H_
