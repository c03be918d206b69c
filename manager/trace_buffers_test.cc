#include "agentos/manager/trace_buffers.h"

#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agentos/manager/event_buffer.h"
#include "agentos/manager/trace_counts.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

constexpr size_t kBytes = 256;

bool Put(TraceBuffers& buffers, char what) {
  EventBuffer* mine = buffers.Mine();
  char* to = mine != nullptr ? mine->Reserve(8) : nullptr;
  if (to == nullptr) {
    buffers.Lose(mine, {.others = 1});
    return false;
  }
  to[4] = what;
  mine->Commit(5);
  return true;
}

std::string Take(TraceBuffers& buffers) {
  std::string all;
  buffers.Drain([&](const char* event, size_t size) {
    EXPECT_EQ(size, 5u);
    all += event[4];
  });
  return all;
}

TEST(TraceBuffers, EachThreadHasItsOwn) {
  TraceBuffers buffers(kBytes);
  EXPECT_TRUE(Put(buffers, 'a'));
  EXPECT_EQ(buffers.size(), 1u);
  std::thread([&] {
    EXPECT_TRUE(Put(buffers, 'b'));
    EXPECT_TRUE(Put(buffers, 'c'));
    EXPECT_EQ(buffers.size(), 2u);
  }).join();
  EXPECT_TRUE(Put(buffers, 'd'));
  EXPECT_EQ(Take(buffers), "adbc");
  EXPECT_EQ(buffers.size(), 1u) << "a thread's buffer goes with it, once it is empty";
  EXPECT_EQ(Take(buffers), "");
}

TEST(TraceBuffers, RecordersDoNotShare) {
  TraceBuffers first(kBytes);
  TraceBuffers second(kBytes);
  for (const char what : {'a', 'b', 'c'}) {
    EXPECT_TRUE(Put(first, what));
    EXPECT_TRUE(Put(second, static_cast<char>(what - 'a' + 'A')));
  }
  EXPECT_EQ(Take(first), "abc");
  EXPECT_EQ(Take(second), "ABC");
}

TEST(TraceBuffers, ARecorderMayGoBeforeItsThreads) {
  for (int i = 0; i < 100; ++i) {
    TraceBuffers buffers(kBytes);
    EXPECT_TRUE(Put(buffers, 'a'));
    EXPECT_EQ(Take(buffers), "a");
  }
  auto last = std::make_unique<TraceBuffers>(kBytes);
  std::thread([&] {
    EXPECT_TRUE(Put(*last, 'a'));
    last.reset();
    TraceBuffers next(kBytes);
    EXPECT_TRUE(Put(next, 'b'));
    EXPECT_EQ(Take(next), "b");
  }).join();
}

TEST(TraceBuffers, WhatThreadsThatHaveEndedLostIsNotForgotten) {
  TraceBuffers buffers(kBytes);
  std::atomic<size_t> put = 0;
  std::thread([&] {
    for (int i = 0; i < 100; ++i) put += Put(buffers, 'x') ? 1 : 0;
  }).join();
  EXPECT_GT(put, 0u);
  EXPECT_LT(put, 100u);
  EXPECT_EQ(Take(buffers).size(), put);
  EXPECT_EQ(buffers.size(), 0u);
  EXPECT_EQ(buffers.TakeLost().others, 100 - put);
  EXPECT_FALSE(buffers.TakeLost().any());
}

TEST(TraceBuffers, WithoutMemoryEverythingIsLostAndCounted) {
  TraceBuffers buffers(size_t{1} << 60);
  EXPECT_FALSE(Put(buffers, 'a'));
  EXPECT_FALSE(Put(buffers, 'b'));
  EXPECT_EQ(buffers.TakeLost().others, 2u);
  EXPECT_EQ(buffers.size(), 0u);
}

// What is heard while a thread's own things are being destroyed.
struct SaysGoodbye {
  ~SaysGoodbye() {
    if (buffers != nullptr) Put(*buffers, 'z');
  }
  TraceBuffers* buffers = nullptr;
};

TEST(TraceBuffers, AThreadThatIsEndingHasNone) {
  TraceBuffers buffers(kBytes);
  std::thread([&] {
    thread_local SaysGoodbye goodbye;
    goodbye.buffers = &buffers;
    EXPECT_TRUE(Put(buffers, 'a'));
  }).join();
  EXPECT_EQ(Take(buffers), "a");
  EXPECT_EQ(buffers.TakeLost().others, 1u);
}

TEST(TraceBuffers, ThreadsComeAndGoWhileTheyAreRead) {
  TraceBuffers buffers(kBytes);
  constexpr int kThreads = 50;
  constexpr int kEvents = 500;
  std::atomic<bool> ended = false;
  std::thread spawner([&] {
    for (int i = 0; i < kThreads; ++i) {
      std::thread([&] {
        for (int j = 0; j < kEvents; ++j) Put(buffers, 'x');
      }).join();
    }
    ended = true;
  });
  size_t seen = 0;
  TraceCounts lost;
  while (!ended) {
    lost += buffers.TakeLost();
    seen += Take(buffers).size();
  }
  spawner.join();
  lost += buffers.TakeLost();
  seen += Take(buffers).size();
  lost += buffers.TakeLost();
  EXPECT_EQ(seen + lost.others, size_t{kThreads} * kEvents);
}

}  // namespace
}  // namespace agentos
