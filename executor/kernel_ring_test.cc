#include "agentos/executor/kernel_ring.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "agentos/executor/submission_ring.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Result = SubmissionRing::Result;

// Lowers the limit of descriptors to what the process has and `more`.
class FdLimit {
 public:
  explicit FdLimit(size_t more, bool for_good = false) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const Fd lowest(open("/dev/null", O_RDONLY | O_CLOEXEC));
    const rlimit tight = {static_cast<rlim_t>(lowest.get()) + more,
                          for_good ? static_cast<rlim_t>(lowest.get()) + more : before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  }
  ~FdLimit() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_;
};

class KernelRingTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (Make({}) == nullptr) GTEST_SKIP() << "no io_uring here";
  }

  std::unique_ptr<KernelRing> Make(KernelRing::Options options) {
    options.single_issuer = GetParam();
    absl::StatusOr<std::unique_ptr<KernelRing>> ring = KernelRing::Create(options);
    return ring.ok() ? *std::move(ring) : nullptr;
  }

  static void AddNop(SubmissionRing& ring, uint64_t user_data) {
    io_uring_sqe* sqe = ring.NextSqe();
    ASSERT_NE(sqe, nullptr);
    sqe->opcode = IORING_OP_NOP;
    sqe->user_data = user_data;
  }

  static void AddRead(SubmissionRing& ring, int fd, char* memory, unsigned size, uint8_t opcode = IORING_OP_READ,
                      uint8_t flags = 0) {
    io_uring_sqe* sqe = ring.NextSqe();
    ASSERT_NE(sqe, nullptr);
    sqe->opcode = opcode;
    sqe->flags = flags;
    sqe->fd = fd;
    sqe->addr = reinterpret_cast<uintptr_t>(memory);
    sqe->len = size;
    sqe->off = static_cast<uint64_t>(-1);
  }

  // Hands over what was added and waits for `count` results.
  static std::vector<Result> Run(SubmissionRing& ring, unsigned count) {
    ring.Publish();
    EXPECT_EQ(ring.Enter({.submit = count, .min_complete = count}), static_cast<int>(count));
    std::vector<Result> results(count + 1);
    results.resize(ring.CopyCqes(absl::MakeSpan(results)));
    EXPECT_EQ(results.size(), count);
    return results;
  }

  // -EBADR when there is not exactly one.
  static int32_t RunOne(SubmissionRing& ring) {
    const std::vector<Result> results = Run(ring, 1);
    return results.size() == 1 ? results[0].value : -EBADR;
  }
};

INSTANTIATE_TEST_SUITE_P(SingleIssuer, KernelRingTest, testing::Bool());

TEST_P(KernelRingTest, ExecutesNopsInOrderAroundItsQueues) {
  const auto ring = Make({.entries = 4, .completion_entries = 8});
  uint64_t next = 1;
  for (int round = 0; round < 50; ++round) {
    const uint64_t first = next;
    for (int i = 0; i < 3; ++i) AddNop(*ring, next++);
    EXPECT_FALSE(ring->HasCqes());
    const std::vector<Result> results = Run(*ring, 3);
    for (size_t i = 0; i < results.size(); ++i) {
      EXPECT_EQ(results[i].user_data, first + i);
      EXPECT_EQ(results[i].value, 0);
    }
  }
}

TEST_P(KernelRingTest, HandsOverNothingThatIsNotPublished) {
  const auto ring = Make({.entries = 4});
  AddNop(*ring, 1);
  EXPECT_EQ(ring->Unsubmitted(), 1u);
  EXPECT_EQ(ring->Enter({.submit = 1}), 0);
  EXPECT_FALSE(ring->HasCqes());
  EXPECT_EQ(Run(*ring, 1).at(0).user_data, 1u);
  EXPECT_EQ(ring->Unsubmitted(), 0u);
}

TEST_P(KernelRingTest, AnswersNullWhenItsQueueIsFull) {
  for (const unsigned entries : {1u, 4u, 5u}) {
    const auto ring = Make({.entries = entries});
    const unsigned most = entries == 5 ? 8 : entries;
    for (int round = 0; round < 3; ++round) {
      EXPECT_EQ(ring->SpaceLeft(), most);
      for (unsigned i = 0; i < most; ++i) {
        io_uring_sqe* sqe = ring->NextSqe();
        ASSERT_NE(sqe, nullptr);
        const io_uring_sqe zero = {};
        EXPECT_EQ(std::memcmp(sqe, &zero, sizeof(zero)), 0) << "what stood there before";
        sqe->user_data = ~uint64_t{0};
        EXPECT_EQ(ring->SpaceLeft(), most - i - 1);
      }
      EXPECT_EQ(ring->NextSqe(), nullptr);
      ring->Publish();
      EXPECT_EQ(ring->NextSqe(), nullptr) << "still in the queue";
      Run(*ring, most);
    }
  }
}

TEST_P(KernelRingTest, SaysThatTheTimeIsOver) {
  const auto ring = Make({});
  for (const int64_t timeout_ns : {int64_t{0}, int64_t{1}, int64_t{2'000'000}}) {
    EXPECT_EQ(ring->Enter({.min_complete = 1, .timeout_ns = timeout_ns}), -ETIME);
  }
  AddNop(*ring, 1);
  ring->Publish();
  EXPECT_EQ(ring->Enter({.submit = 1, .min_complete = 1, .timeout_ns = 3'600'000'000'000}), 1);
  EXPECT_EQ(ring->Enter({.min_complete = 1, .timeout_ns = 3'600'000'000'000}), 0) << "it is there";
  EXPECT_TRUE(ring->HasCqes());
}

TEST_P(KernelRingTest, KeepsCompletionsThatFindNoPlace) {
  constexpr unsigned kPlaces = 4;
  constexpr uint64_t kNops = 40;
  const auto ring = Make({.entries = kPlaces, .completion_entries = kPlaces});
  for (uint64_t nop = 0; nop < kNops;) {
    for (unsigned i = 0; i < kPlaces; ++i) AddNop(*ring, nop++);
    ring->Publish();
    ASSERT_EQ(ring->Enter({.submit = kPlaces}), static_cast<int>(kPlaces));
    EXPECT_EQ(ring->NeedsGetEvents(), nop > kPlaces);
  }
  std::vector<uint64_t> came;
  for (;;) {
    Result results[3];
    const size_t n = ring->CopyCqes(absl::MakeSpan(results));
    for (size_t i = 0; i < n; ++i) came.push_back(results[i].user_data);
    if (n > 0) continue;
    if (!ring->NeedsGetEvents()) break;
    ASSERT_EQ(ring->Enter({.get_events = true}), 0);
  }
  ASSERT_EQ(came.size(), kNops);
  for (uint64_t nop = 0; nop < kNops; ++nop) EXPECT_EQ(came[nop], nop);
}

TEST_P(KernelRingTest, FindsWhatWasPutOffForTheNextEntry) {
  const auto ring = Make({});
  const Pair pipe = MakePipe();
  char byte = 0;
  AddRead(*ring, pipe.first.get(), &byte, 1);
  ring->Publish();
  ASSERT_EQ(ring->Enter({.submit = 1}), 1);
  EXPECT_FALSE(ring->HasCqes() || ring->NeedsGetEvents());
  ASSERT_EQ(write(pipe.second.get(), "x", 1), 1);
  if (absl::StrContains(ring->Features(), "DEFER_TASKRUN")) {
    EXPECT_FALSE(ring->HasCqes());
    EXPECT_TRUE(ring->NeedsGetEvents());
  }
  ASSERT_EQ(ring->Enter({.get_events = true}), 0);
  Result result = {};
  ASSERT_EQ(ring->CopyCqes(absl::MakeSpan(&result, 1)), 1u);
  EXPECT_EQ(result.value, 1);
  EXPECT_EQ(byte, 'x');
}

// The kernel's own way to give any result at all: IORING_NOP_INJECT_RESULT of Linux 6.11.
TEST_P(KernelRingTest, HandsOnWhateverTheKernelAnswers) {
  constexpr uint32_t kInjectResult = 1;
  const auto ring = Make({.entries = 4});
  for (const int32_t answer : {-EIO, -EINTR, -EAGAIN, -ECANCELED, -EBADR, -ENOSPC, -512, INT32_MIN, INT32_MAX, 0, 1}) {
    io_uring_sqe* sqe = ring->NextSqe();
    ASSERT_NE(sqe, nullptr);
    sqe->opcode = IORING_OP_NOP;
    sqe->rw_flags = kInjectResult;
    sqe->len = static_cast<uint32_t>(answer);
    const int32_t result = RunOne(*ring);
    if (result == -EINVAL) GTEST_SKIP() << "this kernel injects no results";
    EXPECT_EQ(result, answer);
  }
}

TEST_P(KernelRingTest, LendsPlacesForDirectFiles) {
  const auto ring = Make({.direct_files = 3});
  std::set<int> places;
  for (int i = 0; i < 3; ++i) places.insert(ring->TakeDirectFile());
  EXPECT_EQ(places, (std::set<int>{0, 1, 2}));
  EXPECT_EQ(ring->TakeDirectFile(), -1);
  ring->GiveDirectFile(1);
  EXPECT_EQ(ring->TakeDirectFile(), 1);
  EXPECT_EQ(ring->TakeDirectFile(), -1);

  // The places are good for what they are lent for.
  for (const int place : places) {
    io_uring_sqe* sqe = ring->NextSqe();
    sqe->opcode = IORING_OP_OPENAT;
    sqe->fd = AT_FDCWD;
    sqe->addr = reinterpret_cast<uintptr_t>("/dev/zero");
    sqe->file_index = static_cast<unsigned>(place) + 1;
    EXPECT_EQ(RunOne(*ring), 0);
    char bytes[2] = {'a', 'a'};
    AddRead(*ring, place, bytes, 1, IORING_OP_READ, IOSQE_FIXED_FILE);
    EXPECT_EQ(RunOne(*ring), 1);
    EXPECT_EQ(std::string(bytes, 2), std::string("\0a", 2));
  }
  EXPECT_EQ(Make({.direct_files = 0})->TakeDirectFile(), -1);
}

TEST_P(KernelRingTest, RegistersMemory) {
  const auto ring = Make({});
  const Fd zeros(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  std::vector<char> memory(8192, 'a');
  ASSERT_EQ(ring->RegisterBuffer(0, absl::MakeSpan(memory).subspan(0, 4096)), 0);
  AddRead(*ring, zeros.get(), memory.data() + 4092, 4, IORING_OP_READ_FIXED);
  EXPECT_EQ(RunOne(*ring), 4);
  EXPECT_EQ(std::string(memory.data() + 4090, 8), std::string("aa\0\0\0\0aa", 8));
  AddRead(*ring, zeros.get(), memory.data() + 4094, 4, IORING_OP_READ_FIXED);
  EXPECT_EQ(RunOne(*ring), -EFAULT) << "outside of what was registered";

  EXPECT_EQ(ring->RegisterBuffer(SubmissionRing::kFixedBuffers - 1, absl::MakeSpan(memory)), 0);
  EXPECT_EQ(ring->RegisterBuffer(SubmissionRing::kFixedBuffers, absl::MakeSpan(memory)), -EINVAL);
  char* const gone = static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  munmap(gone, 4096);
  EXPECT_EQ(ring->RegisterBuffer(1, absl::MakeSpan(gone, 4096)), -EFAULT);
}

TEST_P(KernelRingTest, ReceivesIntoMemoryThatItChooses) {
  const auto ring = Make({.entries = 4});
  if (!ring->MakeBufferGroup(4)) GTEST_SKIP() << "this kernel cannot";
  const Pair sockets = MakeSocketPair(SOCK_DGRAM);
  std::vector<std::string> memory(4, std::string(16, '-'));
  for (uint16_t id = 0; id < 2; ++id) ring->ProvideBuffer(id, absl::MakeSpan(memory[id]));
  for (int i = 0; i < 3; ++i) ASSERT_EQ(write(sockets.second.get(), absl::StrCat("message ", i).data(), 9), 9);
  io_uring_sqe* sqe = ring->NextSqe();
  sqe->opcode = IORING_OP_RECV;
  sqe->fd = sockets.first.get();
  sqe->ioprio = IORING_RECV_MULTISHOT;
  sqe->flags = IOSQE_BUFFER_SELECT;
  sqe->buf_group = SubmissionRing::kBufferGroup;
  ring->Publish();
  // Two that find memory, and the end.
  EXPECT_EQ(ring->Enter({.submit = 1, .min_complete = 3}), 1);
  std::vector<Result> results(8);
  results.resize(ring->CopyCqes(absl::MakeSpan(results)));
  ASSERT_EQ(results.size(), 3u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(results[i].value, 9);
    EXPECT_NE(results[i].flags & IORING_CQE_F_MORE, 0u);
    EXPECT_EQ(memory[results[i].flags >> IORING_CQE_BUFFER_SHIFT].substr(0, 9), absl::StrCat("message ", i));
  }
  EXPECT_EQ(results[2].value, -ENOBUFS);
  EXPECT_EQ(results[2].flags & IORING_CQE_F_MORE, 0u);
}

TEST_P(KernelRingTest, RegistersFiles) {
  const auto ring = Make({.entries = 4, .direct_files = 2});
  Pair pipe = MakePipe();
  EXPECT_FALSE(ring->MayBeFixedFile(pipe.first.get()));
  ASSERT_EQ(ring->AddFile(pipe.first.get()), 0);
  EXPECT_EQ(ring->AddFile(ClosedFd()), -EBADF);
  ASSERT_EQ(ring->AddFile(pipe.second.get()), 0);
  EXPECT_EQ(ring->AddFile(pipe.second.get()), -ENOSPC);
  ASSERT_TRUE(ring->MayBeFixedFile(pipe.first.get()));
  ASSERT_EQ(write(pipe.second.get(), "x", 1), 1);
  char byte = 0;
  AddRead(*ring, ring->FixedFileOf(pipe.first.get()), &byte, 1, IORING_OP_READ, IOSQE_FIXED_FILE);
  EXPECT_EQ(RunOne(*ring), 1);
  EXPECT_EQ(byte, 'x');
  ring->RemoveFile(pipe.second.get());
  EXPECT_EQ(ring->FixedFileOf(pipe.first.get()) >= 0, true);
  ring->RemoveFile(pipe.first.get());
  EXPECT_FALSE(ring->MayBeFixedFile(pipe.first.get()));
  // The kernel holds the writing end no longer.
  pipe.second.Reset();
  EXPECT_EQ(ReadAll(pipe.first.get(), 1), "");
}

TEST_P(KernelRingTest, TellsWhatItIs) {
  const size_t before = OpenFds();
  {
    const auto ring = Make({});
    EXPECT_TRUE(ring->Supports(IORING_OP_NOP) && ring->Supports(IORING_OP_READ));
    EXPECT_FALSE(ring->Supports(255) || ring->Supports(~0u));
    EXPECT_EQ(OpenFds(), before + 1);
    ASSERT_EQ(ring->OwnFds().size(), 1u);
    EXPECT_EQ(fcntl(ring->OwnFds()[0], F_GETFD), FD_CLOEXEC);
    EXPECT_TRUE(GetParam() || !absl::StrContains(ring->Features(), "SINGLE_ISSUER")) << ring->Features();
  }
  EXPECT_EQ(OpenFds(), before);
}

TEST_P(KernelRingTest, SaysWhichLimitForbidsItAndLeavesNothingBehind) {
  const size_t before = OpenFds();
  absl::Status status;
  {
    const FdLimit limit(0);
    status = KernelRing::Create({.single_issuer = GetParam()}).status();
  }
  EXPECT_TRUE(Refused(status, absl::StatusCode::kResourceExhausted, {"io_uring_setup", "EMFILE", "RLIMIT_NOFILE"}));
  EXPECT_EQ(OpenFds(), before);
}

// In a child, whose hard limit may be lowered for good: liburing raises the soft one when it is in the way.
TEST_P(KernelRingTest, MakesDoWithTheDescriptorsThatAreLeft) {
  for (const size_t more : {1u, 30u}) {
    EXPECT_EQ(RunInChild([&]() -> std::string {
                const FdLimit limit(more, /*for_good=*/true);
                const auto ring = Make({.direct_files = 256});
                if (ring == nullptr) return "no ring";
                AddNop(*ring, 1);
                if (RunOne(*ring) != 0) return "it does not work";
                size_t places = 0;
                while (ring->TakeDirectFile() >= 0) ++places;
                return places >= more / 2 && places < 256 ? "" : absl::StrCat(places, " places");
              }),
              "");
  }
}

TEST(KernelRingThreads, LetOneWaitWhileAnotherSubmits) {
  absl::StatusOr<std::unique_ptr<KernelRing>> made = KernelRing::Create({.entries = 4});
  if (!made.ok()) GTEST_SKIP() << made.status();
  KernelRing& ring = **made;
  for (int round = 0; round < 100; ++round) {
    std::mutex mutex;
    std::thread waiter([&] {
      Result result = {};
      for (size_t n = 0; n == 0;) {
        EXPECT_EQ(ring.Enter({.min_complete = 1}), 0);
        std::lock_guard<std::mutex> lock(mutex);
        n = ring.CopyCqes(absl::MakeSpan(&result, 1));
      }
      EXPECT_EQ(result.user_data, 7u);
    });
    {
      std::lock_guard<std::mutex> lock(mutex);
      ring.NextSqe()->user_data = 7;
      ring.Publish();
    }
    EXPECT_EQ(ring.Enter({.submit = 1}), 1);
    waiter.join();
  }
}

}  // namespace
}  // namespace agentos
