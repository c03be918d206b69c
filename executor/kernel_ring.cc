#include "agentos/executor/kernel_ring.h"

#include <fcntl.h>
#include <liburing.h>
#include <linux/time_types.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "agentos/executor/nosignal_writes.h"

namespace agentos {

namespace {

// The kernel's own worker threads are bounded only by RLIMIT_NPROC unless told otherwise. Bounded ones serve files, unbounded
// ones whatever may block for ever.
constexpr unsigned kUnboundedKernelWorkers = 64;

std::string Explain(int error_number) {
  switch (error_number) {
    case EPERM:
      return "EPERM: seccomp or kernel.io_uring_disabled forbids it; allow "
             "io_uring_setup, io_uring_enter and io_uring_register";
    case ENOSYS:
      return "ENOSYS: this kernel has no io_uring, or a seccomp profile hides it";
    case ENOMEM:
      return "ENOMEM: not enough memory, or RLIMIT_MEMLOCK is used up; raise it "
             "or use fewer kernel rings";
    case EMFILE:
      return "EMFILE: RLIMIT_NOFILE is used up; raise it or close files";
    default:
      return strerrorname_np(error_number) == nullptr ? absl::StrCat("errno ", error_number) : strerrorname_np(error_number);
  }
}

struct NamedFlag {
  unsigned bit;
  const char* name;
};

}  // namespace

struct KernelRing::Uring {
  io_uring ring{};
  bool ready = false;
  // Where the kernel finds the buffers of the group, until the ring is gone. Not as an io_uring_buf_ring, whose array is in the
  // wrong place in C++: an empty struct takes a byte there.
  io_uring_buf* group = nullptr;
  unsigned group_entries = 0;
  uint16_t group_tail = 0;

  ~Uring() {
    if (ready) io_uring_queue_exit(&ring);
    if (group != nullptr) munmap(group, group_entries * sizeof(io_uring_buf));
  }
};

absl::StatusOr<std::unique_ptr<KernelRing>> KernelRing::Create(const Options& options) {
  // From best to plainest: an older kernel answers EINVAL to a flag it does not know.
  std::vector<unsigned> attempts;
  if (options.single_issuer) {
    attempts.push_back(IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                       IORING_SETUP_TASKRUN_FLAG);
  }
  attempts.push_back(IORING_SETUP_SUBMIT_ALL);
  attempts.push_back(0);

  auto uring = std::make_unique<Uring>();
  int error = 0;
  unsigned used = 0;
  // Locked memory is counted per user, and the kernel gives that of closed rings back late, after 8 to 18 ms here
  // (RLIMIT_MEMLOCK): wait a moment, then take a smaller ring rather than none. More results than it holds are kept by the
  // kernel.
  constexpr unsigned kFewestEntries = 32;
  constexpr auto kPause = std::chrono::milliseconds(5);
  int pauses = 20;
  unsigned entries = options.entries;
  unsigned completion_entries = std::max(options.completion_entries, options.entries);
  for (size_t attempt = 0; attempt < attempts.size();) {
    io_uring_params params{};
    params.flags = attempts[attempt] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.cq_entries = completion_entries;
    error = -io_uring_queue_init_params(entries, &uring->ring, &params);
    used = attempts[attempt];
    if (error == EINVAL) {
      ++attempt;
    } else if (error == ENOMEM && pauses > 0) {
      --pauses;
      std::this_thread::sleep_for(kPause);
    } else if (error == ENOMEM && completion_entries > 2 * entries) {
      completion_entries /= 2;
    } else if (error == ENOMEM && entries > kFewestEntries) {
      entries /= 2;
      completion_entries = 2 * entries;
    } else {
      break;
    }
  }
  if (error != 0) {
    return absl::Status(absl::ErrnoToStatusCode(error), absl::StrCat("io_uring_setup: ", Explain(error)));
  }
  uring->ready = true;
  io_uring* ring = &uring->ring;
  if ((ring->features & IORING_FEAT_NODROP) == 0 || (ring->features & IORING_FEAT_EXT_ARG) == 0) {
    return absl::UnimplementedError(
        "io_uring_setup: the kernel lacks IORING_FEAT_NODROP or "
        "IORING_FEAT_EXT_ARG (Linux 5.11)");
  }
  io_uring_ring_dontfork(ring);

  auto kernel_ring = std::unique_ptr<KernelRing>(new KernelRing(std::move(uring), (used & IORING_SETUP_SINGLE_ISSUER) != 0));

  // Entries are used in the order of their places, so the index array is written once and for all.
  for (unsigned i = 0; i < ring->sq.ring_entries; ++i) ring->sq.array[i] = i;

  // A seccomp profile may allow to set a ring up and forbid to use it.
  if (const int entered = kernel_ring->ExecuteNop(); entered < 0) {
    return absl::Status(absl::ErrnoToStatusCode(-entered), absl::StrCat("io_uring_enter: ", Explain(-entered)));
  }

  io_uring_probe* probe = io_uring_get_probe_ring(ring);
  if (probe != nullptr) {
    kernel_ring->supported_.resize(probe->last_op + 1u);
    for (unsigned op = 0; op <= probe->last_op; ++op) {
      kernel_ring->supported_[op] = io_uring_opcode_supported(probe, static_cast<int>(op)) != 0;
    }
    io_uring_free_probe(probe);
  }

  unsigned workers[2] = {std::max(4u, 4 * std::thread::hardware_concurrency()), kUnboundedKernelWorkers};
  io_uring_register_iowq_max_workers(ring, workers);

  // Receiving so came with the same kernel, 6.0, as zero-copy sends; accepting so one before.
  kernel_ring->set_multishot(kernel_ring->Supports(IORING_OP_SEND_ZC));
  kernel_ring->set_nosignal_writes(HasNosignalWrites());

  // The table counts against RLIMIT_NOFILE: take what is to be had, none is fine too.
  for (unsigned places = options.direct_files; places > 0; places /= 2) {
    if (io_uring_register_files_sparse(ring, 2 * places) == 0) {
      kernel_ring->SetDirectFiles(places, places);
      break;
    }
  }
  kernel_ring->fixed_buffers_ = io_uring_register_buffers_sparse(ring, kFixedBuffers) == 0;
  // The registration belongs to the thread that makes it, so it serves rings of one thread only.
  if (kernel_ring->single_issuer_) kernel_ring->registered_fd_ = io_uring_register_ring_fd(ring) == 1;

  for (const NamedFlag& flag :
       {NamedFlag{IORING_SETUP_SUBMIT_ALL, "SUBMIT_ALL"}, NamedFlag{IORING_SETUP_SINGLE_ISSUER, "SINGLE_ISSUER"},
        NamedFlag{IORING_SETUP_DEFER_TASKRUN, "DEFER_TASKRUN"}}) {
    if ((used & flag.bit) == 0) continue;
    absl::StrAppend(&kernel_ring->flags_, kernel_ring->flags_.empty() ? "" : ", ", flag.name);
  }
  return kernel_ring;
}

KernelRing::KernelRing(std::unique_ptr<Uring> uring, bool single_issuer)
    : uring_(std::move(uring)), single_issuer_(single_issuer) {
  const io_uring& ring = uring_->ring;
  queues_.sqes = ring.sq.sqes;
  queues_.sq_mask = ring.sq.ring_mask;
  queues_.sq_entries = ring.sq.ring_entries;
  queues_.sq_head = ring.sq.khead;
  queues_.sq_tail = ring.sq.ktail;
  queues_.sq_flags = ring.sq.kflags;
  queues_.cqes = ring.cq.cqes;
  queues_.cq_mask = ring.cq.ring_mask;
  queues_.cq_head = ring.cq.khead;
  queues_.cq_tail = ring.cq.ktail;
}

KernelRing::~KernelRing() = default;

int KernelRing::ExecuteNop() {
  NextSqe()->opcode = IORING_OP_NOP;
  Publish();
  for (;;) {
    const int entered = Enter({.submit = Unsubmitted(), .min_complete = 1});
    if (entered < 0 && entered != -EINTR) return entered;
    Result result;
    if (CopyCqes(absl::MakeSpan(&result, 1)) == 1) return result.value;
  }
}

std::vector<int> KernelRing::OwnFds() const { return {uring_->ring.ring_fd}; }

bool KernelRing::Announce(int event_fd) { return io_uring_register_eventfd(&uring_->ring, event_fd) == 0; }

int KernelRing::Enter(const EnterArguments& arguments) {
  const io_uring& ring = uring_->ring;
  unsigned flags = registered_fd_ ? IORING_ENTER_REGISTERED_RING : 0;
  if (arguments.get_events || arguments.min_complete > 0) flags |= IORING_ENTER_GETEVENTS;
  if (arguments.min_complete == 0 || arguments.timeout_ns < 0) {
    return io_uring_enter(static_cast<unsigned>(ring.enter_ring_fd), arguments.submit, arguments.min_complete, flags, nullptr);
  }
  __kernel_timespec timeout{.tv_sec = arguments.timeout_ns / 1'000'000'000, .tv_nsec = arguments.timeout_ns % 1'000'000'000};
  io_uring_getevents_arg extended{};
  extended.ts = reinterpret_cast<uintptr_t>(&timeout);
  return io_uring_enter2(static_cast<unsigned>(ring.enter_ring_fd), arguments.submit, arguments.min_complete,
                         flags | IORING_ENTER_EXT_ARG, reinterpret_cast<sigset_t*>(&extended), sizeof(extended));
}

int KernelRing::RegisterBuffer(unsigned index, absl::Span<char> memory) {
  if (!fixed_buffers_) return -EOPNOTSUPP;
  const iovec vector = {memory.data(), memory.size()};
  const int result = io_uring_register_buffers_update_tag(&uring_->ring, index, &vector, nullptr, 1);
  return result == 1 ? 0 : std::min(result, -1);
}

int KernelRing::RegisterFile(unsigned place, int fd) {
  const int result = io_uring_register_files_update(&uring_->ring, place, &fd, 1);
  return result == 1 ? 0 : std::min(result, -1);
}

bool KernelRing::MakeBufferGroup(unsigned most) {
  if (!has_multishot() || uring_->group != nullptr) return uring_->group != nullptr;
  const size_t bytes = most * sizeof(io_uring_buf);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uintptr_t>(memory);
  registration.ring_entries = most;
  registration.bgid = kBufferGroup;
  if (io_uring_register_buf_ring(&uring_->ring, &registration, 0) != 0) {
    munmap(memory, bytes);
    return false;
  }
  // A child would share the pages, and the kernel go on reading one side's copy.
  madvise(memory, bytes, MADV_DONTFORK);
  uring_->group = static_cast<io_uring_buf*>(memory);
  uring_->group_entries = most;
  return true;
}

void KernelRing::ProvideBuffer(uint16_t id, absl::Span<char> memory) {
  io_uring_buf& place = uring_->group[uring_->group_tail & (uring_->group_entries - 1)];
  // Not the whole struct: the first one's last field is the tail.
  place.addr = reinterpret_cast<uintptr_t>(memory.data());
  place.len = static_cast<uint32_t>(memory.size());
  place.bid = id;
  __atomic_store_n(&uring_->group[0].resv, ++uring_->group_tail, __ATOMIC_RELEASE);
}

}  // namespace agentos
