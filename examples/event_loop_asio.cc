// Rings inside an Asio program: its io_context watches one more descriptor, and coroutines run between its other handlers.
//
//   ./bazelw run //examples:event_loop_asio
//
// A steady_timer ticks while a coroutine writes a file and reads it back.

#include <asio.hpp>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "absl/status/statusor.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/task.h"
#include "agentos/manager/io_uring_manager.h"

namespace {

using agentos::AsyncRing;
using agentos::SyscallCompletionEntry;

constexpr agentos::Pid kPid = 7;

// Lets an io_context drive a ring, from now on until Stop.
class RingWatch {
 public:
  RingWatch(asio::io_context& context, AsyncRing& ring, int event_fd) : ring_(ring), descriptor_(context, event_fd) { Wait(); }
  // The descriptor is the library's: it must not be closed.
  ~RingWatch() { descriptor_.release(); }

  void Stop() { descriptor_.cancel(); }

 private:
  void Wait() {
    descriptor_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const std::error_code& error) {
      if (error) return;
      // Before the ring is looked at: its coroutines may want to stop.
      Wait();
      ring_.RunReady();
    });
  }

  AsyncRing& ring_;
  asio::posix::stream_descriptor descriptor_;
};

struct Program {
  asio::io_context context;
  asio::steady_timer timer{context};
  int ticks = 0;
  bool succeeded = false;

  void Tick() {
    timer.expires_after(std::chrono::milliseconds(5));
    timer.async_wait([this](const std::error_code& error) {
      if (error) return;
      ++ticks;
      Tick();
    });
  }
};

agentos::Task<void> WriteAndRead(Program& program, AsyncRing& ring, RingWatch& watch, std::string path) {
  for (int round = 1; round <= 3; ++round) {
    const SyscallCompletionEntry written = co_await ring.WriteFile(path, "round " + std::to_string(round));
    const SyscallCompletionEntry slept = co_await ring.Sleep(absl::Milliseconds(15));
    const SyscallCompletionEntry read = co_await ring.ReadFile(path);
    std::cout << "read \"" << read.result.data() << "\" after " << program.ticks << " ticks\n";
    program.succeeded = written.status.is_success() && slept.status.is_success() && read.status.is_success();
  }
  const SyscallCompletionEntry removed = co_await ring.Unlink(path);
  program.succeeded &= removed.status.is_success();
  // Nothing keeps the context running any more.
  watch.Stop();
  program.timer.cancel();
}

}  // namespace

int main() {
  absl::StatusOr<std::unique_ptr<agentos::IoUringManager>> manager = agentos::IoUringManager::Create();
  if (!manager.ok()) {
    std::cerr << manager.status().message() << "\n";
    return EXIT_FAILURE;
  }
  absl::StatusOr<std::unique_ptr<AsyncRing>> ring = AsyncRing::Create(**manager, kPid);
  const absl::StatusOr<int> fd = ring.ok() ? (*ring)->event_fd() : ring.status();
  if (!fd.ok()) {
    std::cerr << fd.status().message() << "\n";
    return EXIT_FAILURE;
  }
  Program program;
  RingWatch watch(program.context, **ring, *fd);
  program.Tick();
  const char* directory = std::getenv("TEST_TMPDIR");
  const std::string path = std::string(directory == nullptr ? "/tmp" : directory) + "/agentos_asio_example";
  (*ring)->Spawn(WriteAndRead(program, **ring, watch, path));
  // What has begun outside of the handlers has to be submitted.
  (*ring)->RunReady();
  program.context.run();
  std::cout << (program.succeeded ? "done" : "failed") << "\n";
  return program.succeeded ? EXIT_SUCCESS : EXIT_FAILURE;
}
