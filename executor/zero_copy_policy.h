// Which sends are worth doing without a copy.
//
// A zero-copy send pins the pages of the data and has the kernel tell when the network is done with them. That is dearer than
// copying a little, and pointless where the data is copied in the end: to a peer on the same machine, by a device that cannot
// gather. Whether it was copied the kernel says afterwards, so the policy measures as it goes: after a send that was copied it
// leaves out 64, after the next twice as many, up to 4,096, and starts anew when one was not copied. As long as it does not know
// that it is worth it, one at a time is tried: the kernel's answer may take as long as the peer's.
//
// Thread rule: externally synchronised.
// Source: Documentation/networking/msg_zerocopy.rst of Linux (worth it from about 10 KB upward), IORING_SEND_ZC_REPORT_USAGE in
// io_uring_enter(2).
//
//   if (policy.ShouldTry(size)) ...  // and later policy.Report(copied)

#ifndef AGENTOS_EXECUTOR_ZERO_COPY_POLICY_H_
#define AGENTOS_EXECUTOR_ZERO_COPY_POLICY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace agentos {

class ZeroCopyPolicy {
 public:
  static constexpr size_t kNever = std::numeric_limits<size_t>::max();

  // `from`: the smallest size, in bytes, that may be worth it.
  explicit ZeroCopyPolicy(size_t from) : from_(from) {}

  size_t from() const { return from_; }

  bool ShouldTry(size_t size) {
    if (size < from_) [[likely]] {
      return false;
    }
    if (!worth_it_ && unanswered_ > 0) return false;
    if (left_out_ > 0) {
      --left_out_;
      return false;
    }
    ++unanswered_;
    return true;
  }

  // What became of one that was tried; one that the kernel refused counts as copied.
  void Report(bool copied) {
    --unanswered_;
    worth_it_ = !copied;
    if (copied) {
      left_out_ = leave_out_;
      leave_out_ = std::min(2 * leave_out_, kMostLeftOut);
      return;
    }
    left_out_ = 0;
    leave_out_ = kFirstLeftOut;
  }
  // One that was tried ended without sending anything.
  void Forget() { --unanswered_; }

 private:
  static constexpr uint32_t kFirstLeftOut = 64;
  static constexpr uint32_t kMostLeftOut = 4096;

  const size_t from_;
  bool worth_it_ = false;
  uint32_t unanswered_ = 0;
  uint32_t left_out_ = 0;
  uint32_t leave_out_ = kFirstLeftOut;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_ZERO_COPY_POLICY_H_
