// Rings inside a libuv program: its loop watches one more descriptor, and coroutines run between its other callbacks.
//
//   ./bazelw run //examples:event_loop_libuv
//
// A uv_timer ticks while a coroutine writes a file and reads it back, and a pipe of libuv's own is served beside it.

#include <uv.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/task.h"
#include "agentos/manager/io_uring_manager.h"

namespace {

using agentos::AsyncRing;
using agentos::SyscallCompletionEntry;

constexpr agentos::Pid kPid = 7;

struct Program {
  std::unique_ptr<AsyncRing> ring;
  uv_loop_t loop;
  uv_poll_t ring_watch;
  uv_timer_t timer;
  int ticks = 0;
  bool succeeded = false;
};

agentos::Task<void> WriteAndRead(Program& program, std::string path) {
  AsyncRing& ring = *program.ring;
  for (int round = 1; round <= 3; ++round) {
    const SyscallCompletionEntry written = co_await ring.WriteFile(path, "round " + std::to_string(round));
    const SyscallCompletionEntry slept = co_await ring.Sleep(absl::Milliseconds(15));
    const SyscallCompletionEntry read = co_await ring.ReadFile(path);
    std::cout << "read \"" << read.result.data() << "\" after " << program.ticks << " ticks\n";
    program.succeeded = written.status.is_success() && slept.status.is_success() && read.status.is_success();
  }
  const SyscallCompletionEntry removed = co_await ring.Unlink(path);
  program.succeeded &= removed.status.is_success();
  // Nothing keeps the loop running any more.
  uv_poll_stop(&program.ring_watch);
  uv_timer_stop(&program.timer);
}

}  // namespace

int main() {
  absl::StatusOr<std::unique_ptr<agentos::IoUringManager>> manager = agentos::IoUringManager::Create();
  if (!manager.ok()) {
    std::cerr << manager.status().message() << "\n";
    return EXIT_FAILURE;
  }
  Program program;
  absl::StatusOr<std::unique_ptr<AsyncRing>> ring = AsyncRing::Create(**manager, kPid);
  const absl::StatusOr<int> fd = ring.ok() ? (*ring)->event_fd() : ring.status();
  if (!fd.ok()) {
    std::cerr << fd.status().message() << "\n";
    return EXIT_FAILURE;
  }
  program.ring = *std::move(ring);

  uv_loop_init(&program.loop);
  uv_timer_init(&program.loop, &program.timer);
  program.timer.data = &program;
  uv_timer_start(
      &program.timer, [](uv_timer_t* timer) { ++static_cast<Program*>(timer->data)->ticks; }, 0, 5);
  uv_poll_init(&program.loop, &program.ring_watch, *fd);
  program.ring_watch.data = &program;
  // All there is to it: when the descriptor is readable, let the ring do what it can.
  uv_poll_start(&program.ring_watch, UV_READABLE,
                [](uv_poll_t* watch, int /*status*/, int /*events*/) { static_cast<Program*>(watch->data)->ring->RunReady(); });

  const char* directory = std::getenv("TEST_TMPDIR");
  program.ring->Spawn(WriteAndRead(program, std::string(directory == nullptr ? "/tmp" : directory) + "/agentos_libuv_example"));
  // What has begun outside of the callback above has to be submitted.
  program.ring->RunReady();
  uv_run(&program.loop, UV_RUN_DEFAULT);

  uv_close(reinterpret_cast<uv_handle_t*>(&program.timer), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&program.ring_watch), nullptr);
  uv_run(&program.loop, UV_RUN_DEFAULT);
  uv_loop_close(&program.loop);
  std::cout << (program.succeeded ? "done" : "failed") << "\n";
  return program.succeeded ? EXIT_SUCCESS : EXIT_FAILURE;
}
