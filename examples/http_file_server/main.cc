// http_file_server: a directory over HTTP. ./bazelw run //examples:http_file_server -- --root=/usr/share/doc

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentos/examples/http_file_server/file_server.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/task.h"
#include "agentos/manager/io_uring_manager.h"
#include "agentos/ring/unique_fd.h"
#include "agentos/tools/command_line.h"

namespace {

using agentos::AsyncRing;
using agentos::FileServer;

constexpr agentos::Pid kServer = 1;
// How long connections may take to get their last answer.
constexpr absl::Duration kPatience = absl::Seconds(10);

int Fail(const absl::Status& status) {
  std::cerr << "http_file_server: " << status.message() << "\n";
  return 1;
}

agentos::Task<void> StopBySignal(AsyncRing& ring, int signals, FileServer& server) {
  const agentos::SyscallCompletionEntry came = co_await ring.Poll(signals, POLLIN);
  if (came.status.is_success()) server.Stop();
}

int Serve(agentos::FileServerOptions options) {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGTERM);
  sigprocmask(SIG_BLOCK, &ending, nullptr);
  const agentos::UniqueFd signals(signalfd(-1, &ending, SFD_CLOEXEC));
  if (!signals) return Fail(absl::ErrnoToStatus(errno, "signalfd"));

  absl::StatusOr<std::unique_ptr<agentos::IoUringManager>> manager =
      agentos::IoUringManager::Create({.threading = agentos::Threading::kOneThread});
  if (!manager.ok()) return Fail(manager.status());
  absl::StatusOr<std::unique_ptr<AsyncRing>> ring = AsyncRing::Create(**manager, kServer);
  if (!ring.ok()) return Fail(ring.status());
  const std::string root = options.root;
  absl::StatusOr<std::unique_ptr<FileServer>> server = FileServer::Create(**ring, std::move(options));
  if (!server.ok()) return Fail(server.status());
  std::cout << "http://" << (*server)->address() << "/ serves " << root << " by " << (*manager)->Executor().name
            << "; Ctrl-C ends it" << std::endl;

  (*ring)->Spawn(StopBySignal(**ring, signals.get(), **server));
  (*ring)->RunUntilComplete((*server)->Run());
  const absl::Status idle = (*ring)->RunUntilIdle(kPatience);
  const agentos::FileServerStats& stats = (*server)->stats();
  std::cout << stats.requests << " requests on " << stats.connections << " connections, " << stats.bytes << " bytes, "
            << stats.errors << " errors, " << stats.timeouts << " timeouts" << std::endl;
  // Those that are cut off now go with the ring, before the server that they name.
  ring->reset();
  return idle.ok() ? 0 : Fail(idle);
}

}  // namespace

int main(int argc, char** argv) {
  agentos::FileServerOptions options;
  std::string address = options.address;
  std::string root = options.root;
  std::optional<uint64_t> max_connections;
  std::optional<absl::Duration> idle_timeout;
  std::optional<absl::Duration> header_timeout;
  std::optional<absl::Duration> send_timeout;
  agentos::CommandLine line("http_file_server", "Serves the files of a directory over HTTP/1.1, on one ring and one thread.",
                            "[FLAG]...");
  line.Add("root", "DIRECTORY", &root, "what to serve; nothing outside of it is, links included (.)");
  line.Add("address", "ADDRESS", &address,
           "where to listen: 127.0.0.1:8080, [::]:80, unix:/path; port 0 is any (127.0.0.1:8080)");
  line.Add("max-connections", "N", &max_connections, "answer more with 503 (1024)", 1);
  line.Add("header-timeout", "TIME", &header_timeout, "how long a request may take to arrive (10s)");
  line.Add("idle-timeout", "TIME", &idle_timeout, "how long a connection may wait for its next request (60s)");
  line.Add("send-timeout", "TIME", &send_timeout, "how long a client may take to receive something (30s)");
  line.Example("http_file_server --root=/usr/share/doc --address=127.0.0.1:0", "prints where it listens");
  line.ExitCode(0, "ended by SIGINT or SIGTERM");
  line.ExitCode(1, "it could not listen, or connections had to be cut off at the end");
  const agentos::CommandLine::Outcome outcome = line.Parse(argc, argv);
  if (outcome.exit_code.has_value()) return outcome.Print();
  options.root = root;
  options.address = address;
  options.max_connections = max_connections.value_or(options.max_connections);
  options.header_timeout = header_timeout.value_or(options.header_timeout);
  options.idle_timeout = idle_timeout.value_or(options.idle_timeout);
  options.send_timeout = send_timeout.value_or(options.send_timeout);
  return Serve(std::move(options));
}
