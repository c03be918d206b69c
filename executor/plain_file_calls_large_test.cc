// Sizes beyond what one system call moves. Apart from the other tests because it takes 2 GiB of memory.

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "agentos/executor/plain_file_calls.h"
#include "agentos/ring/result_buffer_pool.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

constexpr size_t kSize = (size_t{2} << 30) + 5;

TEST(PlainFileCallsLargeTest, P12ReadsBeyond2GiB) {
  if (kSanitized) GTEST_SKIP() << "shadow memory would multiply the 2 GiB";
  std::string path = testing::TempDir() + "/large_XXXXXX";
  const int fd = mkstemp(path.data());
  ASSERT_GE(fd, 0);
  ASSERT_EQ(ftruncate(fd, kSize), 0);
  ASSERT_EQ(pwrite(fd, "tail", 4, kSize - 4), 4);
  close(fd);
  {
    const FileCallResult result = ReadWholeFile({.path = path.c_str()}, kSize, PooledBuffer());
    EXPECT_EQ(result.error_number, 0);
    EXPECT_EQ(result.value, static_cast<int64_t>(kSize));
    ASSERT_EQ(result.data.size(), kSize);
    EXPECT_EQ(result.data.view().substr(kSize - 5), absl::string_view("\0tail", 5));
  }
  EXPECT_EQ(ReadWholeFile({.path = path.c_str()}, kSize - 1, PooledBuffer()).error_number, EFBIG);
  unlink(path.c_str());
}

TEST(PlainFileCallsLargeTest, P12WritesBeyond2GiB) {
  if (kSanitized) GTEST_SKIP() << "shadow memory would multiply the 2 GiB";
  // The null device takes the bytes without looking at them, so they need not exist.
  void* nothing = mmap(nullptr, kSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(nothing, MAP_FAILED);
  const FileCallResult result = WriteWholeFile({.path = "/dev/null"}, absl::string_view(static_cast<char*>(nothing), kSize));
  EXPECT_EQ(result.error_number, 0);
  EXPECT_EQ(result.value, static_cast<int64_t>(kSize));
  munmap(nothing, kSize);
}

}  // namespace
}  // namespace agentos
