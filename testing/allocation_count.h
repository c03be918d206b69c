// Counts what operator new hands out, so that a test can say "nothing".
//
// A program that links this has the counting operators, but under sanitizers, which have their own: there the count stays 0.
//
// Thread rule: each thread has its own count.
//
//   const size_t before = AllocationCount();
//   Work();
//   EXPECT_EQ(AllocationCount() - before, 0u);

#ifndef AGENTOS_TESTING_ALLOCATION_COUNT_H_
#define AGENTOS_TESTING_ALLOCATION_COUNT_H_

#include <cstddef>

namespace agentos {

// How many times the calling thread has allocated.
size_t AllocationCount();

}  // namespace agentos

#endif  // AGENTOS_TESTING_ALLOCATION_COUNT_H_
