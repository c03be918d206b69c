// How far a tool is with its reading, on a line of the terminal that is rewritten once a second and taken away in the end.
//
// Thread rule: one thread at a time.
// Lifetime: the stream outlives it.
//
//   Progress progress("reading a.trace", isatty(STDERR_FILENO) ? &std::cerr : nullptr);
//   while (...) progress.At(stream->bytes_read(), stream->bytes());

#ifndef AGENTOS_TOOLS_PROGRESS_H_
#define AGENTOS_TOOLS_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>
#include <utility>

namespace agentos {

class Progress {
 public:
  // Nothing is said without `err`.
  Progress(std::string what, std::ostream* err) : what_(std::move(what)), err_(err) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() {
    if (is_shown_) *err_ << "\r\033[K" << std::flush;
  }

  // `all` is 0 when nobody knows.
  void At(uint64_t done, uint64_t all) {
    const Clock::time_point now = Clock::now();
    if (now < next_) return;
    next_ = now + std::chrono::seconds(1);
    is_shown_ = true;
    *err_ << "\r\033[K" << what_;
    if (all > 0) *err_ << " " << done * 100 / all << " %";
    *err_ << std::flush;
  }
  // Whether it is worth asking how far it is: that takes as long as an operation.
  bool IsDue() { return err_ != nullptr && ++calls_ % 4096 == 0; }

 private:
  using Clock = std::chrono::steady_clock;

  const std::string what_;
  std::ostream* const err_;
  uint64_t calls_ = 0;
  bool is_shown_ = false;
  Clock::time_point next_ = Clock::now() + std::chrono::seconds(1);
};

}  // namespace agentos

#endif  // AGENTOS_TOOLS_PROGRESS_H_
