#include "agentos/ring/result_buffer_pool.h"

#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <latch>
#include <limits>
#include <mutex>
#include <new>
#include <optional>
#include <set>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"

namespace {

// Objects that were made and not deleted in this process. A pool and the bookkeeping of its buffers are such objects: this tells
// what a pool keeps, without a door into it.
std::atomic<int64_t> live_objects{0};

void* Allocate(size_t size, size_t alignment) noexcept {
  void* memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory != nullptr) live_objects.fetch_add(1, std::memory_order_relaxed);
  return memory;
}

void* AllocateOrThrow(size_t size, size_t alignment) {
  void* memory = Allocate(size, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void Free(void* memory) noexcept {
  if (memory != nullptr) live_objects.fetch_sub(1, std::memory_order_relaxed);
  std::free(memory);
}

}  // namespace

void* operator new(size_t size) { return AllocateOrThrow(size, alignof(std::max_align_t)); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return Allocate(size, alignof(std::max_align_t)); }
void* operator new(size_t size, std::align_val_t alignment) { return AllocateOrThrow(size, static_cast<size_t>(alignment)); }
void operator delete(void* memory) noexcept { Free(memory); }
void operator delete(void* memory, size_t) noexcept { Free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { Free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { Free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { Free(memory); }

// The sanitizers stop a program that asks for too much, unless told to answer as malloc does.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace agentos {
namespace {

static_assert(!std::is_copy_constructible_v<PooledBuffer> && !std::is_copy_assignable_v<PooledBuffer>);
static_assert(std::is_nothrow_move_constructible_v<PooledBuffer> && std::is_nothrow_move_assignable_v<PooledBuffer>);

constexpr size_t kPage = ResultBufferPool::kPageAlignment;
constexpr size_t kLargest = ResultBufferPool::kLargestPooled;

int64_t LiveObjects() { return live_objects.load(std::memory_order_relaxed); }

bool IsAligned(const char* data, size_t alignment) { return reinterpret_cast<uintptr_t>(data) % alignment == 0; }

std::vector<PooledBuffer> AcquireMany(ResultBufferPool* pool, size_t count, size_t size) {
  std::vector<PooledBuffer> buffers;
  for (size_t i = 0; i < count; ++i) buffers.push_back(pool->Acquire(size));
  return buffers;
}

std::set<const char*> PlacesOf(const std::vector<PooledBuffer>& buffers) {
  std::set<const char*> places;
  for (const PooledBuffer& buffer : buffers) places.insert(buffer.data());
  return places;
}

// Every test ends with nothing left over.
class ResultBufferPoolTest : public testing::Test {
 protected:
  void SetUp() override {
    // Its first use in a thread allocates.
    { SCOPED_TRACE(""); }
    before_ = LiveObjects();
  }
  void TearDown() override {
    if (!closed_) pool_->Close();
    // The pool was there before the count was taken.
    EXPECT_EQ(LiveObjects(), before_ - 1);
  }

  void Close() {
    pool_->Close();
    closed_ = true;
  }

  // How many objects the test has made and not deleted, beside the pool.
  int64_t Made() const { return LiveObjects() - before_; }

  ResultBufferPool* const pool_ = ResultBufferPool::Create();

 private:
  int64_t before_ = 0;
  bool closed_ = false;
};

TEST_F(ResultBufferPoolTest, GivesAtLeastWhatWasAskedForAndPagesFromAPageUpward) {
  for (size_t size :
       {size_t{0},     size_t{1},      size_t{255},    size_t{256},  size_t{257},   size_t{1024},  size_t{1023},
        size_t{1025},  kPage - 1,      kPage,          kPage + 1,    size_t{16384}, size_t{16385}, size_t{65536},
        size_t{65537}, size_t{262144}, size_t{262145}, kLargest - 1, kLargest,      kLargest + 1,  3 * kLargest + 5}) {
    for (bool pooled : {true, false}) {
      SCOPED_TRACE(testing::Message() << size << (pooled ? " pooled" : " unpooled"));
      PooledBuffer buffer = pooled ? pool_->Acquire(size) : ResultBufferPool::NewUnpooled(size);
      ASSERT_TRUE(buffer);
      EXPECT_GE(buffer.capacity(), size);
      if (size != 0) std::memset(buffer.data(), 0x5a, buffer.capacity());
      EXPECT_TRUE(IsAligned(buffer.data(), alignof(std::max_align_t)));
      EXPECT_EQ(buffer.arena(), -1);
      if (size < kPage) continue;
      // O_DIRECT wants both.
      EXPECT_TRUE(IsAligned(buffer.data(), kPage));
      EXPECT_EQ(buffer.capacity() % kPage, 0u);
    }
  }
}

TEST_F(ResultBufferPoolTest, HandsOutAgainWhatCameBack) {
  for (size_t size : {size_t{1}, size_t{1000}, kPage, size_t{50000}, kLargest}) {
    const std::set<const char*> places = PlacesOf(AcquireMany(pool_, 8, size));
    EXPECT_EQ(places.size(), 8u);
    const int64_t made = Made();
    for (int again = 0; again < 3; ++again) {
      const std::vector<PooledBuffer> recycled = AcquireMany(pool_, 8, size);
      EXPECT_EQ(PlacesOf(recycled), places);
      // The vector is the test's own.
      EXPECT_EQ(Made(), made + 1);
    }
  }
}

TEST_F(ResultBufferPoolTest, HandsOutAgainWhatAnotherThreadGaveBack) {
  PooledBuffer buffer = pool_->Acquire(kPage);
  const char* const place = buffer.data();
  std::thread([taken = std::move(buffer)]() mutable { taken.Reset(); }).join();
  EXPECT_EQ(pool_->Acquire(kPage).data(), place);
}

TEST_F(ResultBufferPoolTest, CollectsWhatIsStillWarmBeforeItRunsOut) {
  std::vector<PooledBuffer> buffers = AcquireMany(pool_, 2, kPage);
  const char* const second = buffers[1].data();
  buffers[0].Reset();
  pool_->CollectReturned();
  buffers[1].Reset();
  pool_->CollectReturned();
  EXPECT_EQ(pool_->Acquire(kPage).data(), second);
}

TEST_F(ResultBufferPoolTest, KeepsNoBufferThatIsTooLarge) {
  const int64_t made = Made();
  PooledBuffer buffer = pool_->Acquire(kLargest + 1);
  EXPECT_EQ(Made(), made + 1);
  buffer.Reset();
  pool_->CollectReturned();
  EXPECT_EQ(Made(), made);
}

TEST_F(ResultBufferPoolTest, KeepsABoundedNumberOfBytesPerSize) {
  constexpr size_t kKept = ResultBufferPool::kKeptBytesPerClass / kLargest;
  const int64_t made = Made();
  {
    std::vector<PooledBuffer> buffers = AcquireMany(pool_, kKept + 5, kLargest);
    // The vector is one more.
    EXPECT_EQ(Made(), made + static_cast<int64_t>(kKept) + 5 + 1);
  }
  pool_->CollectReturned();
  EXPECT_EQ(Made(), made + static_cast<int64_t>(kKept));
}

TEST_F(ResultBufferPoolTest, FreesWhatItKeepsWhenClosed) {
  AcquireMany(pool_, 8, kPage).clear();
  pool_->CollectReturned();
  AcquireMany(pool_, 8, 100).clear();
  Close();
}

TEST_F(ResultBufferPoolTest, LeavesBuffersValidAfterClose) {
  std::vector<PooledBuffer> buffers = AcquireMany(pool_, 3, kPage);
  buffers.push_back(pool_->Acquire(2 * kLargest));
  for (PooledBuffer& buffer : buffers) std::memset(buffer.data(), 'a', buffer.capacity());
  Close();
  for (PooledBuffer& buffer : buffers) {
    EXPECT_EQ(buffer.data()[buffer.capacity() - 1], 'a');
    std::memset(buffer.data(), 'b', buffer.capacity());
    buffer.Reset();
  }
}

TEST_F(ResultBufferPoolTest, CountsBuffersThatCameBackUncollectedBeforeClose) {
  std::vector<PooledBuffer> buffers = AcquireMany(pool_, 4, kPage);
  buffers[0].Reset();
  buffers[2].Reset();
  Close();
  buffers[1].Reset();
  EXPECT_EQ(buffers[3].data()[0], buffers[3].data()[0]);
  buffers[3].Reset();
}

TEST_F(ResultBufferPoolTest, AnswersWithAnEmptyBufferWhenTheMemoryIsNotToBeHad) {
  constexpr size_t kMost = std::numeric_limits<size_t>::max();
  for (size_t size : {size_t{1} << 50, kMost / 2, kMost / 2 + 1, kMost - kPage + 1, kMost - kPage + 2, kMost - 1, kMost}) {
    SCOPED_TRACE(size);
    const int64_t made = Made();
    const PooledBuffer buffer = pool_->Acquire(size);
    EXPECT_FALSE(buffer);
    EXPECT_EQ(buffer.data(), nullptr);
    EXPECT_EQ(buffer.capacity(), 0u);
    EXPECT_FALSE(ResultBufferPool::NewUnpooled(size));
    EXPECT_EQ(Made(), made);
  }
  EXPECT_TRUE(pool_->Acquire(kPage));
}

TEST_F(ResultBufferPoolTest, FreesAnUnpooledBufferWithoutAPool) {
  const int64_t made = Made();
  std::optional<PooledBuffer> buffer;
  std::thread([&] { buffer = ResultBufferPool::NewUnpooled(kPage); }).join();
  EXPECT_EQ(Made(), made + 1);
  buffer.reset();
  EXPECT_EQ(Made(), made);
}

TEST_F(ResultBufferPoolTest, MovesTheOwnershipOfABuffer) {
  PooledBuffer source = pool_->Acquire(kPage);
  const char* const place = source.data();
  PooledBuffer made = std::move(source);
  EXPECT_FALSE(source);
  EXPECT_EQ(source.data(), nullptr);
  EXPECT_EQ(source.capacity(), 0u);
  EXPECT_EQ(made.data(), place);

  PooledBuffer assigned = pool_->Acquire(kPage);
  const char* const other = assigned.data();
  assigned = std::move(made);
  EXPECT_EQ(assigned.data(), place);
  // What it held went back.
  EXPECT_EQ(pool_->Acquire(kPage).data(), other);

  PooledBuffer& same = assigned;
  assigned = std::move(same);
  EXPECT_EQ(assigned.data(), place);
  assigned.Reset();
  assigned.Reset();
  EXPECT_FALSE(assigned);
}

TEST_F(ResultBufferPoolTest, LaysAnArenaInOnePieceAndHandsItOutFirst) {
  pool_->Acquire(kPage).Reset();
  const absl::Span<char> piece = pool_->AddArena(kPage, 4, 1);
  ASSERT_EQ(piece.size(), 4 * kPage);
  std::vector<PooledBuffer> buffers = AcquireMany(pool_, 4, kPage);
  std::set<const char*> expected;
  for (size_t i = 0; i < 4; ++i) expected.insert(piece.data() + i * kPage);
  EXPECT_EQ(PlacesOf(buffers), expected);
  for (const PooledBuffer& buffer : buffers) {
    EXPECT_EQ(buffer.arena(), 1);
    EXPECT_EQ(buffer.capacity(), kPage);
    EXPECT_TRUE(IsAligned(buffer.data(), kPage));
  }
  EXPECT_EQ(pool_->Acquire(kPage).arena(), -1);
  buffers.clear();
  for (const PooledBuffer& buffer : AcquireMany(pool_, 5, kPage)) expected.erase(buffer.data());
  EXPECT_TRUE(expected.empty());
}

TEST_F(ResultBufferPoolTest, ForgetsTheArenaThatCouldNotBeRegistered) {
  pool_->AddArena(kPage, 2, 0);
  pool_->AddArena(65536, 2, 1);
  pool_->ForgetArena(0);
  EXPECT_EQ(pool_->Acquire(kPage).arena(), -1);
  EXPECT_EQ(pool_->Acquire(65536).arena(), 1);
}

TEST_F(ResultBufferPoolTest, UnmapsAnArenaWithItsLastBufferAndNotBefore) {
  const absl::Span<char> piece = pool_->AddArena(kPage, 2, 0);
  std::vector<PooledBuffer> buffers = AcquireMany(pool_, 2, kPage);
  Close();
  buffers[0].Reset();
  std::memset(buffers[1].data(), 'a', kPage);
  EXPECT_EQ(msync(piece.data(), piece.size(), MS_ASYNC), 0);
  buffers[1].Reset();
  errno = 0;
  EXPECT_EQ(msync(piece.data(), piece.size(), MS_ASYNC), -1);
  EXPECT_EQ(errno, ENOMEM);
}

// What one thread fills, another reads and releases, and the next filling must not come before that.
TEST_F(ResultBufferPoolTest, LetsManyThreadsReleaseWhileTheOwnerAcquires) {
  constexpr int kThreads = 3;
  constexpr int kBuffers = 20000;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<PooledBuffer> filled;
  bool done = false;
  std::atomic<int> torn{0};

  std::vector<std::thread> readers;
  for (int i = 0; i < kThreads; ++i) {
    readers.emplace_back([&] {
      for (;;) {
        PooledBuffer buffer;
        {
          std::unique_lock<std::mutex> lock(mutex);
          changed.wait(lock, [&] { return done || !filled.empty(); });
          if (filled.empty()) return;
          buffer = std::move(filled.front());
          filled.pop_front();
        }
        if (buffer.data()[0] != buffer.data()[255]) torn.fetch_add(1);
      }
    });
  }
  for (int i = 0; i < kBuffers; ++i) {
    if (i % 16 == 0) pool_->CollectReturned();
    PooledBuffer buffer = pool_->Acquire(256);
    std::memset(buffer.data(), i, 256);
    std::lock_guard<std::mutex> lock(mutex);
    filled.push_back(std::move(buffer));
    changed.notify_one();
  }
  {
    std::lock_guard<std::mutex> lock(mutex);
    done = true;
  }
  changed.notify_all();
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(torn.load(), 0);
}

TEST(ResultBufferPoolClose, MayComeWhileBuffersAreReleased) {
  constexpr int kThreads = 3;
  constexpr size_t kEach = 8;
  const int64_t before = LiveObjects();
  for (int round = 0; round < 500; ++round) {
    ResultBufferPool* pool = ResultBufferPool::Create();
    std::latch start(kThreads + 1);
    std::vector<std::thread> holders;
    for (int i = 0; i < kThreads; ++i) {
      holders.emplace_back([&start, buffers = AcquireMany(pool, kEach, 256)]() mutable {
        start.arrive_and_wait();
        for (PooledBuffer& buffer : buffers) {
          std::memset(buffer.data(), 'a', buffer.capacity());
          buffer.Reset();
        }
      });
    }
    start.arrive_and_wait();
    pool->Close();
    for (std::thread& holder : holders) holder.join();
  }
  EXPECT_EQ(LiveObjects(), before);
}

}  // namespace
}  // namespace agentos
