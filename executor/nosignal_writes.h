// Whether write calls can be told not to raise SIGPIPE.
//
// Source: pwritev2(2), RWF_NOSIGNAL (Linux 6.18; the headers of older distributions do not name it).

#ifndef AGENTOS_EXECUTOR_NOSIGNAL_WRITES_H_
#define AGENTOS_EXECUTOR_NOSIGNAL_WRITES_H_

namespace agentos {

inline constexpr int kRwfNosignal = 0x100;

// Asked of the kernel once. Any thread.
bool HasNosignalWrites();

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_NOSIGNAL_WRITES_H_
