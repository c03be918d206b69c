// AGENTOS_CHECK: stops the process when the library itself is wrong. Never used for what a caller or the kernel may do.
//
// Thread rule: any.

#ifndef AGENTOS_RING_CHECK_H_
#define AGENTOS_RING_CHECK_H_

#include <cstdio>
#include <cstdlib>

namespace agentos::ring_internal {

[[noreturn]] inline void CheckFailed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: agentos_uring bug: %s does not hold\n", file, line, condition);
  std::abort();
}

}  // namespace agentos::ring_internal

#define AGENTOS_CHECK(condition)                                            \
  (__builtin_expect(static_cast<bool>(condition), 1) ? static_cast<void>(0) \
                                                     : ::agentos::ring_internal::CheckFailed(#condition, __FILE__, __LINE__))

#endif  // AGENTOS_RING_CHECK_H_
