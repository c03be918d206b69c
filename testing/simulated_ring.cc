#include "agentos/testing/simulated_ring.h"

#include <fcntl.h>
#include <linux/time_types.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <list>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agentos/executor/direct_calls.h"
#include "agentos/executor/ring_memory.h"
#include "agentos/executor/thread_interrupt.h"

namespace agentos {

namespace {

constexpr uint8_t kLinks = IOSQE_IO_LINK | IOSQE_IO_HARDLINK;
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kSignalPauseNs = 1'000'000;

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * kSecond + now.tv_nsec;
}

bool IsTransfer(unsigned opcode) {
  return opcode == IORING_OP_READ || opcode == IORING_OP_WRITE || opcode == IORING_OP_SEND || opcode == IORING_OP_RECV;
}

bool IsRead(unsigned opcode) { return opcode == IORING_OP_READ || opcode == IORING_OP_RECV; }

// One that took no notice of an error would do its work twice, or on somebody else's fd.
bool MayFail(unsigned opcode) {
  return opcode != IORING_OP_CLOSE && opcode != IORING_OP_CONNECT && opcode != IORING_OP_TIMEOUT &&
         opcode != IORING_OP_POLL_ADD && opcode != IORING_OP_ASYNC_CANCEL && opcode != IORING_OP_NOP;
}

bool TakesSpace(const io_uring_sqe& sqe) {
  return sqe.opcode == IORING_OP_WRITE || sqe.opcode == IORING_OP_FALLOCATE || sqe.opcode == IORING_OP_MKDIRAT ||
         (sqe.opcode == IORING_OP_OPENAT && (sqe.open_flags & O_CREAT) != 0);
}

class SimulatedRing : public SubmissionRing {
 public:
  explicit SimulatedRing(const SimulatedRingOptions& options)
      : options_(options),
        random_(options.seed),
        memory_(options.entries, options.completion_entries),
        wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        direct_(options.direct_files, -1) {
    memory_.Bind(queues_);
    SetDirectFiles(options.direct_files, 0);
    set_nosignal_writes(true);
  }
  ~SimulatedRing() override {
    for (Operation& operation : operations_) {
      operation.asked_to_stop = true;
      while (operation.slow_open != nullptr && !OpenInThread(operation).has_value()) std::this_thread::yield();
    }
    for (const int fd : direct_) {
      if (fd >= 0) close(fd);
    }
    close(wake_);
  }

  bool ok() const { return wake_ >= 0; }

  int Enter(const EnterArguments& arguments) override {
    std::unique_lock<std::mutex> lock(mutex_);
    int taken = 0;
    if (arguments.submit > 0) {
      if (Strikes(options_.faults.refuse_enter)) return Pick({-EAGAIN, -EBUSY, -ENOMEM});
      taken = Take(arguments.submit);
    }
    Turn();
    memory_.Flush();
    if (arguments.min_complete == 0 && !arguments.get_events) return taken;
    if (lost_ && taken == 0) return TellLoss();
    if (arguments.min_complete == 0) return taken;
    const unsigned target = memory_.Target(arguments.min_complete);
    const int64_t until = arguments.timeout_ns < 0 ? INT64_MAX : Now() + std::min(arguments.timeout_ns, INT64_MAX / 4);
    while (!memory_.HasReached(target)) {
      if (Now() >= until) return taken > 0 ? taken : -ETIME;
      WaitOutside(lock, until);
      Turn();
      if (lost_) return taken > 0 ? taken : TellLoss();
    }
    return taken;
  }

  bool Supports(unsigned opcode) const override {
    return HasDirectCall(opcode) || opcode == IORING_OP_POLL_ADD || opcode == IORING_OP_TIMEOUT ||
           opcode == IORING_OP_ASYNC_CANCEL;
  }
  int RegisterBuffer(unsigned /*index*/, absl::Span<char> memory) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return !memory.empty() && Strikes(options_.faults.no_registration) ? -ENOMEM : 0;
  }
  std::vector<int> OwnFds() const override {
    std::vector<int> fds = {wake_};
    return fds;
  }
  std::string Features() const override { return absl::StrCat("simulated, seed ", options_.seed); }
  bool CanWake() const override { return true; }
  void Wake(uint64_t user_data) override {
    // Whoever waits may hold no lock, but sleeps in a poll: the result is posted at its next turn.
    const std::lock_guard<std::mutex> lock(mutex_);
    memory_.Post(user_data, 0);
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(wake_, &one, sizeof(one));
  }

 private:
  // The open of a FIFO: nothing but the call itself can find out whether there is another end.
  struct SlowOpen {
    std::atomic<bool> cancelled{false};
    std::atomic<bool> ended{false};
    int32_t value = 0;
    std::thread thread;
  };
  struct Operation {
    std::vector<io_uring_sqe> chain;
    size_t at = 0;
    int32_t done = 0;
    uint64_t due = 0;
    // What epoll would wait for; 0 when it may be tried at any turn.
    short events = 0;
    std::optional<int64_t> deadline_ns;
    bool cancelled = false;
    // The cancel that found it running: it is not to wait.
    bool asked_to_stop = false;
    std::shared_ptr<SlowOpen> slow_open = nullptr;

    const io_uring_sqe& sqe() const { return chain[at]; }
  };
  struct LateResult {
    uint64_t user_data;
    int32_t value;
    uint64_t due;
  };

  bool Strikes(uint32_t thousandths) { return thousandths > 0 && random_() % 1000 < thousandths; }
  uint64_t Some() { return 1 + random_() % std::max(options_.faults.max_delay, 1u); }
  int Pick(std::initializer_list<int> errors) { return *(errors.begin() + random_() % errors.size()); }

  int Take(unsigned most) {
    unsigned count = std::min(most, memory_.Published());
    if (count > 1 && Strikes(options_.faults.short_submit)) count = 1 + static_cast<unsigned>(random_() % (count - 1));
    unsigned taken = 0;
    while (taken < count) {
      Operation operation;
      do {
        operation.chain.push_back(memory_.At(taken++));
        // A chain is taken whole.
      } while ((operation.chain.back().flags & kLinks) != 0 && taken < memory_.Published());
      operation.due = turn_ + (Strikes(options_.faults.delay) ? Some() : 0);
      operations_.push_back(std::move(operation));
    }
    memory_.Advance(taken);
    return static_cast<int>(taken);
  }

  // Everything that can be done now.
  void Turn() {
    ++turn_;
    for (auto it = operations_.begin(); it != operations_.end();) {
      const auto next = std::next(it);
      if (it->due <= turn_ && Execute(*it)) operations_.erase(it);
      it = next;
      // A cancel may have ended the one that would be next.
      if (gone_) it = operations_.begin();
      gone_ = false;
    }
    if (late_.empty() || turn_ < held_until_) return;
    std::erase_if(late_, [&](const LateResult& result) {
      if (result.due > turn_) return false;
      memory_.Post(result.user_data, result.value);
      return true;
    });
  }

  // Whether it has come to its end.
  bool Execute(Operation& operation) {
    for (;;) {
      const io_uring_sqe sqe = operation.sqe();
      std::optional<int32_t> value;
      if (!operation.cancelled) value = ExecuteMember(operation, sqe);
      // A thread that opens has to come back first.
      const bool stops = (operation.cancelled || operation.asked_to_stop) && operation.slow_open == nullptr;
      if (!value.has_value() && stops) value = Cancelled(operation);
      if (!value.has_value()) return false;
      if (!EndMember(operation, sqe, *value)) return true;
    }
  }

  static int32_t Cancelled(const Operation& operation) { return operation.done > 0 ? operation.done : -ECANCELED; }

  // Whether the chain goes on.
  bool EndMember(Operation& operation, const io_uring_sqe& sqe, int32_t value) {
    Result(sqe.user_data, value);
    const bool is_short = IsTransfer(sqe.opcode) && value < static_cast<int32_t>(sqe.len);
    const bool goes_on = (sqe.flags & IOSQE_IO_HARDLINK) != 0 || (value >= 0 && !is_short);
    while (++operation.at < operation.chain.size()) {
      operation.done = 0;
      operation.events = 0;
      operation.deadline_ns.reset();
      operation.cancelled = false;
      operation.asked_to_stop = false;
      if (goes_on) return true;
      Result(operation.sqe().user_data, -ECANCELED);
    }
    return false;
  }

  int TellLoss() {
    lost_ = false;
    return -EBADR;
  }

  void Result(uint64_t user_data, int32_t value) {
    if (Strikes(options_.faults.lost)) {
      lost_ = true;
      return;
    }
    if (held_until_ <= turn_ && Strikes(options_.faults.burst)) held_until_ = turn_ + Some();
    const uint64_t due = turn_ + (Strikes(options_.faults.reorder) ? Some() : 0);
    if (due <= turn_ && held_until_ <= turn_) {
      memory_.Post(user_data, value);
    } else {
      late_.push_back({user_data, value, due});
    }
  }

  std::optional<int32_t> ExecuteMember(Operation& operation, io_uring_sqe sqe) {
    if (!Supports(sqe.opcode)) return -EINVAL;
    if (sqe.opcode == IORING_OP_TIMEOUT) return ExecuteTimeout(operation, sqe);
    if (sqe.opcode == IORING_OP_ASYNC_CANCEL) return Cancel(operation, sqe.addr);
    const bool direct = (sqe.flags & IOSQE_FIXED_FILE) != 0;
    if (direct) sqe.fd = static_cast<size_t>(sqe.fd) < direct_.size() ? direct_[static_cast<size_t>(sqe.fd)] : -1;
    if (direct && sqe.fd < 0) return -EBADF;
    if (sqe.opcode == IORING_OP_POLL_ADD) return ExecutePoll(operation, sqe);
    if (operation.slow_open != nullptr) return OpenInThread(operation);
    if (const std::optional<int32_t> fault = Fault(operation, sqe)) return fault;
    if (sqe.opcode == IORING_OP_CLOSE && sqe.file_index > 0) return CloseDirect(sqe.file_index - 1);
    const bool shortened = operation.done == 0 && Shorten(sqe);
    return Call(operation, sqe, shortened);
  }

  std::optional<int32_t> Fault(const Operation& operation, const io_uring_sqe& sqe) {
    const Faults& faults = options_.faults;
    // What waits for its fd is beyond that, and so is what has begun.
    if (operation.events != 0 || operation.done > 0 || !MayFail(sqe.opcode)) return std::nullopt;
    const bool names_an_fd = sqe.fd >= 0 && IsTransfer(sqe.opcode);
    if (Strikes(faults.interrupted)) return -EINTR;
    if (Strikes(faults.taken_back)) return -ECANCELED;
    if (names_an_fd && Strikes(faults.again)) return -EAGAIN;
    if ((names_an_fd || sqe.opcode == IORING_OP_FSYNC) && Strikes(faults.io_error)) return -EIO;
    if (TakesSpace(sqe) && Strikes(faults.no_space)) return -ENOSPC;
    return std::nullopt;
  }

  // Of a stream, and of what is written to a file: content that is there is never read short, which would say that the file ends,
  // and what is cut off of a message would be lost.
  bool Shorten(io_uring_sqe& sqe) {
    if (!IsTransfer(sqe.opcode) || sqe.len < 2 || !MayBeShort(sqe) || !Strikes(options_.faults.short_transfer)) return false;
    sqe.len = 1 + static_cast<uint32_t>(random_() % (sqe.len - 1));
    return true;
  }
  static bool MayBeShort(const io_uring_sqe& sqe) {
    const bool by_flags = sqe.opcode == IORING_OP_SEND || sqe.opcode == IORING_OP_RECV;
    if (by_flags && (sqe.msg_flags & MSG_WAITALL) != 0) return false;
    struct stat status;
    if (fstat(sqe.fd, &status) != 0) return false;
    if (S_ISREG(status.st_mode)) return !IsRead(sqe.opcode);
    int type = 0;
    socklen_t size = sizeof(type);
    return S_ISFIFO(status.st_mode) || (getsockopt(sqe.fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM);
  }

  std::optional<int32_t> Call(Operation& operation, const io_uring_sqe& sqe, bool shortened) {
    if (sqe.opcode == IORING_OP_OPENAT && IsOfFifo(sqe)) return OpenInThread(operation);
    const Attempt attempt = Try(sqe, operation.done);
    std::optional<int32_t> value;
    switch (attempt.next) {
      case Attempt::Next::kDone:
        value = attempt.value;
        break;
      case Attempt::Next::kFileThread:
      case Attempt::Next::kSlowThread:
        value = CallAndNotWait(sqe, attempt.value);
        break;
      case Attempt::Next::kWhenReadableWait:
      case Attempt::Next::kWhenWritableWait:
        value = CallAndNotWait(sqe, attempt.value);
        if (value == -EAGAIN) value.reset();
        break;
      default:
        break;
    }
    if (value.has_value()) {
      const bool into_table = sqe.opcode == IORING_OP_OPENAT && sqe.file_index > 0;
      return into_table && *value >= 0 ? Install(sqe.file_index - 1, *value) : *value;
    }
    const bool reads = attempt.next == Attempt::Next::kWhenReadable || attempt.next == Attempt::Next::kWhenReadableWait;
    operation.events = reads ? POLLIN : POLLOUT;
    // A part of a transfer that was cut short is its result.
    if (shortened && attempt.value > 0) return attempt.value;
    operation.done = attempt.value;
    return std::nullopt;
  }

  // For files that know no other way: a pipe, once it was spliced, has no RWF_NOWAIT any more.
  static int32_t CallAndNotWait(const io_uring_sqe& sqe, int32_t done) {
    // Another ring may do the same to the same file meanwhile.
    static std::mutex flags_mutex;
    const std::lock_guard<std::mutex> lock(flags_mutex);
    const int flags = sqe.fd >= 0 && sqe.opcode != IORING_OP_CLOSE ? fcntl(sqe.fd, F_GETFL) : -1;
    if (flags >= 0) fcntl(sqe.fd, F_SETFL, flags | O_NONBLOCK);
    const int32_t value = CallAndWait(sqe, done);
    if (flags >= 0) fcntl(sqe.fd, F_SETFL, flags);
    return value;
  }

  std::optional<int32_t> OpenInThread(Operation& operation) {
    if (operation.slow_open == nullptr) {
      operation.slow_open = std::make_shared<SlowOpen>();
      SlowOpen& open = *operation.slow_open;
      const io_uring_sqe* entry = &operation.sqe();
      open.thread = std::thread([this, &open, entry] {
        do {
          const InterruptibleCall interruptible;
          open.value = CallAndWait(*entry, 0);
        } while (open.value == -EINTR && !open.cancelled.load());
        open.ended.store(true);
        const uint64_t one = 1;
        [[maybe_unused]] const ssize_t n = write(wake_, &one, sizeof(one));
      });
    }
    SlowOpen& open = *operation.slow_open;
    if (operation.asked_to_stop) {
      open.cancelled.store(true);
      Interrupt(open.thread.native_handle());
    }
    if (!open.ended.load()) return std::nullopt;
    open.thread.join();
    const int32_t value = open.value == -EINTR ? -ECANCELED : open.value;
    operation.slow_open.reset();
    return value;
  }

  static bool IsOfFifo(const io_uring_sqe& sqe) {
    struct stat status;
    const char* path = reinterpret_cast<const char*>(static_cast<uintptr_t>(sqe.addr));
    return (sqe.open_flags & O_NONBLOCK) == 0 && fstatat(sqe.fd, path, &status, 0) == 0 && S_ISFIFO(status.st_mode);
  }

  int32_t Install(unsigned place, int fd) {
    if (place >= direct_.size()) {
      close(fd);
      return -EINVAL;
    }
    if (const int before = std::exchange(direct_[place], fd); before >= 0) close(before);
    return 0;
  }
  int32_t CloseDirect(unsigned place) {
    if (place >= direct_.size() || direct_[place] < 0) return -EBADF;
    close(std::exchange(direct_[place], -1));
    return 0;
  }

  static std::optional<int32_t> ExecutePoll(Operation& operation, const io_uring_sqe& sqe) {
    operation.events = static_cast<short>(sqe.poll32_events | POLLRDHUP);
    pollfd now = {.fd = sqe.fd, .events = operation.events, .revents = 0};
    if (sqe.fd < 0) return -EBADF;
    if (poll(&now, 1, 0) == 0) return std::nullopt;
    return (now.revents & POLLNVAL) != 0 ? -EBADF : now.revents;
  }

  static std::optional<int32_t> ExecuteTimeout(Operation& operation, const io_uring_sqe& sqe) {
    if (!operation.deadline_ns.has_value()) {
      const auto* length = reinterpret_cast<const __kernel_timespec*>(static_cast<uintptr_t>(sqe.addr));
      if (length->tv_sec < 0 || length->tv_nsec < 0 || length->tv_nsec >= kSecond) return -EINVAL;
      const int64_t ns = std::min<int64_t>(length->tv_sec, INT64_MAX / kSecond / 2) * kSecond + length->tv_nsec;
      operation.deadline_ns = (sqe.timeout_flags & IORING_TIMEOUT_ABS) != 0 ? ns : Now() + ns;
    }
    if (Now() < *operation.deadline_ns) return std::nullopt;
    return -ETIME;
  }

  std::optional<int32_t> Cancel(const Operation& self, uint64_t user_data) {
    const auto is_target = [&](const Operation& operation) {
      return &operation != &self && operation.sqe().user_data == user_data && operation.sqe().opcode != IORING_OP_ASYNC_CANCEL;
    };
    const auto target = std::find_if(operations_.begin(), operations_.end(), is_target);
    if (target == operations_.end() || target->cancelled || Strikes(options_.faults.cancel_blind)) return -ENOENT;
    // What has to wait for somebody must be ended, or it would never be.
    if (target->slow_open != nullptr) {
      target->asked_to_stop = true;
      return -EALREADY;
    }
    const bool waits = target->events != 0 || target->deadline_ns.has_value() || target->sqe().opcode == IORING_OP_OPENAT;
    if (!waits && Strikes(options_.faults.cancel_late)) {
      target->asked_to_stop = true;
      return -EALREADY;
    }
    target->cancelled = true;
    target->due = 0;
    if (Execute(*target)) {
      operations_.erase(target);
      gone_ = true;
    }
    return 0;
  }

  // Until something may have changed: an fd that somebody waits for, a timer, the next turn that somebody is due at, a wake-up.
  void WaitOutside(std::unique_lock<std::mutex>& lock, int64_t until) {
    std::vector<pollfd> fds = {{.fd = wake_, .events = POLLIN, .revents = 0}};
    bool turns_matter = !late_.empty();
    for (const Operation& operation : operations_) {
      if (operation.slow_open != nullptr) {
        // A signal that comes before its call is lost: it is sent again, but not faster than the thread can take it.
        if (operation.asked_to_stop) until = std::min(until, Now() + kSignalPauseNs);
      } else if (operation.deadline_ns.has_value()) {
        until = std::min(until, *operation.deadline_ns);
      } else if (operation.events != 0 && (operation.sqe().flags & IOSQE_FIXED_FILE) == 0) {
        fds.push_back({.fd = operation.sqe().fd, .events = operation.events, .revents = 0});
      } else if (operation.sqe().opcode != IORING_OP_OPENAT) {
        turns_matter = true;
      } else {
        turns_matter |= operation.due > turn_;
      }
    }
    if (turns_matter) return;
    const int64_t left = std::max<int64_t>(0, until - Now());
    const timespec timeout = {.tv_sec = left / kSecond, .tv_nsec = left % kSecond};
    lock.unlock();
    ppoll(fds.data(), fds.size(), until == INT64_MAX ? nullptr : &timeout, nullptr);
    lock.lock();
    uint64_t count;
    [[maybe_unused]] const ssize_t n = read(wake_, &count, sizeof(count));
  }

  const SimulatedRingOptions options_;
  std::mutex mutex_;
  std::mt19937_64 random_;
  RingMemory memory_;
  const int wake_;
  std::vector<int> direct_;
  uint64_t turn_ = 0;
  std::list<Operation> operations_;
  bool gone_ = false;
  std::vector<LateResult> late_;
  // Until this turn no result comes.
  uint64_t held_until_ = 0;
  bool lost_ = false;
};

}  // namespace

Faults Faults::Survivable() {
  Faults faults;
  for (uint32_t* fault : {&faults.short_transfer, &faults.interrupted, &faults.again, &faults.taken_back, &faults.delay,
                          &faults.reorder, &faults.burst, &faults.cancel_late, &faults.cancel_blind, &faults.short_submit,
                          &faults.refuse_enter, &faults.no_registration}) {
    *fault = 100;
  }
  return faults;
}

Faults Faults::All() {
  Faults faults = Survivable();
  faults.io_error = 100;
  faults.no_space = 100;
  return faults;
}

SubmissionRingMaker SimulatedRings(const SimulatedRingOptions& options) {
  return [options, made = uint64_t{0}]() mutable -> absl::StatusOr<std::unique_ptr<SubmissionRing>> {
    SimulatedRingOptions own = options;
    own.seed += made++;
    auto ring = std::make_unique<SimulatedRing>(own);
    if (!ring->ok()) return absl::ResourceExhaustedError("eventfd: no more descriptors");
    return ring;
  };
}

}  // namespace agentos
