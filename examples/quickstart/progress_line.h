// Says on stderr that something is still going on, when it takes longer than a moment.
//
// On a terminal one line is rewritten and wiped at the end; elsewhere a line is added, ever more seldom.
//
// Thread rule: Progress from any thread; ProgressLine is made and destroyed by one, and writes from a thread of its own, so that
// the line moves even while everybody waits for the kernel.
// Lifetime: `progress` and `out` outlive the line; nobody else writes to `out` meanwhile.
//
//   Progress progress;
//   ProgressLine line(&std::cerr, isatty(STDERR_FILENO), &progress);
//   progress.files += 64;

#ifndef AGENTOS_EXAMPLES_QUICKSTART_PROGRESS_LINE_H_
#define AGENTOS_EXAMPLES_QUICKSTART_PROGRESS_LINE_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <ostream>
#include <thread>

namespace agentos::quickstart {

struct Progress {
  std::atomic<uint64_t> files{0};
  std::atomic<uint64_t> bytes{0};
};

class ProgressLine {
 public:
  ProgressLine(std::ostream* out, bool is_terminal, const Progress* progress,
               std::chrono::milliseconds first = std::chrono::seconds(1));
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

 private:
  void Run();
  void Write(std::chrono::steady_clock::duration elapsed);

  std::ostream* const out_;
  const bool is_terminal_;
  const Progress* const progress_;
  const std::chrono::milliseconds first_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace agentos::quickstart

#endif  // AGENTOS_EXAMPLES_QUICKSTART_PROGRESS_LINE_H_
