#include "agentos/ipc/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

using Others = SharedMemory::Others;

constexpr size_t kSize = 3 * SharedMemory::kPageSize;

int Memfd(size_t size, int seals) {
  const int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  EXPECT_EQ(ftruncate(fd, static_cast<off_t>(size)), 0);
  if (seals != 0) {
    EXPECT_EQ(fcntl(fd, F_ADD_SEALS, seals), 0);
  }
  return fd;
}

std::unique_ptr<SharedMemory> Made(Others others) {
  absl::StatusOr<std::unique_ptr<SharedMemory>> made = SharedMemory::Create("test", kSize, others);
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

TEST(SharedMemoryTest, WhatOneWritesTheOtherReads) {
  const std::unique_ptr<SharedMemory> mine = Made(Others::kRead);
  auto theirs = SharedMemory::Adopt(dup(mine->fd()), kSize, Others::kRead);
  ASSERT_TRUE(theirs.ok()) << theirs.status();
  std::strcpy(mine->data() + kSize - 10, "hello");
  EXPECT_STREQ((*theirs)->data() + kSize - 10, "hello");
  EXPECT_EQ((*theirs)->fd(), -1);
}

TEST(SharedMemoryTest, SizesAreRoundedUpToPages) {
  auto made = SharedMemory::Create("test", 1, Others::kRead);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ((*made)->size(), SharedMemory::kPageSize);
}

TEST(SharedMemoryTest, NobodyResizesItOrTakesTheSealsOff) {
  const std::unique_ptr<SharedMemory> memory = Made(Others::kReadAndWrite);
  EXPECT_NE(ftruncate(memory->fd(), 0), 0);
  EXPECT_NE(ftruncate(memory->fd(), 2 * kSize), 0);
  EXPECT_NE(fcntl(memory->fd(), F_ADD_SEALS, F_SEAL_WRITE), 0);
}

TEST(SharedMemoryTest, TheKernelRefusesWritingThatIsNotGranted) {
  const std::unique_ptr<SharedMemory> memory = Made(Others::kRead);
  EXPECT_EQ(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd(), 0), MAP_FAILED);
  EXPECT_FALSE(SharedMemory::Adopt(dup(memory->fd()), kSize, Others::kReadAndWrite).ok());
  // Nor by a descriptor of its own, nor by a hole.
  const std::string name = "/proc/self/fd/" + std::to_string(memory->fd());
  const Fd again(open(name.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_GE(again.get(), 0);
  EXPECT_EQ(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, again.get(), 0), MAP_FAILED);
  EXPECT_NE(pwrite(again.get(), "x", 1, 0), 1);
  EXPECT_NE(fallocate(again.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SharedMemory::kPageSize), 0);
}

TEST(SharedMemoryTest, GrantedWritingWorksBothWays) {
  const std::unique_ptr<SharedMemory> mine = Made(Others::kReadAndWrite);
  auto theirs = SharedMemory::Adopt(dup(mine->fd()), kSize, Others::kReadAndWrite);
  ASSERT_TRUE(theirs.ok()) << theirs.status();
  std::strcpy((*theirs)->data(), "back");
  EXPECT_STREQ(mine->data(), "back");
}

TEST(SharedMemoryTest, WhatIsNotSealedIsRefused) {
  const int kHalf[] = {0, F_SEAL_SHRINK, F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_SHRINK | F_SEAL_SEAL, F_SEAL_GROW | F_SEAL_SEAL};
  for (const int seals : kHalf) {
    const auto adopted = SharedMemory::Adopt(Memfd(kSize, seals), kSize, Others::kRead);
    EXPECT_TRUE(Refused(adopted.status(), absl::StatusCode::kFailedPrecondition, {"not sealed", "F_SEAL_SHRINK"})) << seals;
  }
}

TEST(SharedMemoryTest, WhatIsNoMemfdIsRefused) {
  Pair pipe = MakePipe();
  EXPECT_TRUE(Refused(SharedMemory::Adopt(dup(pipe.first.get()), kSize, Others::kRead).status(),
                      absl::StatusCode::kFailedPrecondition, {"no memfd"}));
  EXPECT_FALSE(SharedMemory::Adopt(ClosedFd(), kSize, Others::kRead).ok());
}

TEST(SharedMemoryTest, AnotherSizeIsRefused) {
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  for (const size_t size : {kSize - SharedMemory::kPageSize, kSize + SharedMemory::kPageSize, size_t{0}}) {
    const auto adopted = SharedMemory::Adopt(Memfd(size, kSeals), kSize, Others::kRead);
    EXPECT_TRUE(Refused(adopted.status(), absl::StatusCode::kInvalidArgument, {"bytes instead of"})) << size;
  }
}

TEST(SharedMemoryTest, ImpossibleSizesAreRefused) {
  for (const size_t size : {size_t{0}, SharedMemory::kMaxSize + 1, ~size_t{0}}) {
    EXPECT_TRUE(Refused(SharedMemory::Create("test", size, Others::kRead).status(), absl::StatusCode::kInvalidArgument));
    EXPECT_TRUE(Refused(SharedMemory::Adopt(Memfd(kSize, 0), size, Others::kRead).status(), absl::StatusCode::kInvalidArgument));
  }
}

TEST(SharedMemoryTest, NoDescriptorIsLeft) {
  const size_t before = OpenFds();
  {
    const std::unique_ptr<SharedMemory> memory = Made(Others::kRead);
    auto adopted = SharedMemory::Adopt(dup(memory->fd()), kSize, Others::kRead);
    ASSERT_TRUE(adopted.ok());
    EXPECT_EQ(OpenFds(), before + 1);
    EXPECT_FALSE(SharedMemory::Adopt(dup(memory->fd()), 2 * kSize, Others::kRead).ok());
    EXPECT_FALSE(SharedMemory::Adopt(Memfd(kSize, 0), kSize, Others::kRead).ok());
  }
  EXPECT_EQ(OpenFds(), before);
}

}  // namespace
}  // namespace agentos
