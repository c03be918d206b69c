// A server of static files over HTTP/1.1, on one ring and one thread: a coroutine for each connection.
//
// GET and HEAD, keep-alive and pipelining, single ranges, index.html for directories. Small files are read by one operation and sent
// together with their header; large ones are spliced to the socket (copy_file.h). Files are opened beneath the root and cannot lead
// out of it, by links neither (openat2(2)).
//
// Whoever is slow is cut off: a request has to arrive within header_timeout, the next one to begin within idle_timeout, and a
// client has to take something within send_timeout.
//
// Thread rule, lifetime: as AsyncRing; the ring outlives it. Destroying it ends all connections.
// Errors: Create names what kept it from listening. One connection's errors end that connection.
//
//   absl::StatusOr<std::unique_ptr<FileServer>> server = FileServer::Create(ring, {.root = "/srv/www"});
//   ring.Spawn((*server)->Run());

#ifndef AGENTOS_EXAMPLES_HTTP_FILE_SERVER_FILE_SERVER_H_
#define AGENTOS_EXAMPLES_HTTP_FILE_SERVER_FILE_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agentos/examples/http_file_server/http_request.h"
#include "agentos/handlers/async_ring.h"
#include "agentos/handlers/completion_stream.h"
#include "agentos/handlers/task.h"
#include "agentos/ring/unique_fd.h"

namespace agentos {

struct FileServerOptions {
  std::string root = ".";
  // Numeric, with a port; port 0 is any that is free.
  std::string address = "127.0.0.1:8080";
  // Beyond it a connection is answered with 503.
  size_t max_connections = 1024;
  absl::Duration header_timeout = absl::Seconds(10);
  absl::Duration idle_timeout = absl::Seconds(60);
  absl::Duration send_timeout = absl::Seconds(30);
};

struct FileServerStats {
  uint64_t connections = 0;
  uint64_t requests = 0;
  // Answers of 400 and above.
  uint64_t errors = 0;
  // Connections that were cut off because they were slow.
  uint64_t timeouts = 0;
  // Of bodies.
  uint64_t bytes = 0;
  size_t open_connections = 0;
};

class FileServer {
 public:
  static absl::StatusOr<std::unique_ptr<FileServer>> Create(AsyncRing& ring, FileServerOptions options);

  // Serves until Stop; then until the last connection has got its answer.
  Task<void> Run();
  // Takes no more connections, and ends those that wait for a request.
  void Stop();

  // Where it listens: with the port that it got.
  const std::string& address() const { return address_; }
  const FileServerStats& stats() const { return stats_; }

 private:
  struct Answer;

  FileServer(AsyncRing& ring, FileServerOptions options, UniqueFd root, UniqueFd listener, std::string address);

  Task<void> Serve(UniqueFd connection);
  Task<bool> ServeRequest(int connection, const HttpRequest& request);
  Task<bool> SendFileOf(int connection, const HttpRequest& request, UniqueFd file);
  Task<bool> SendError(int connection, int status, absl::string_view reason, bool keep_alive, bool head);
  Task<bool> SendAll(int connection, std::string data, int flags);
  absl::string_view Date();

  AsyncRing& ring_;
  const FileServerOptions options_;
  const UniqueFd root_;
  const UniqueFd listener_;
  const std::string address_;
  CompletionStream accepting_;
  std::stop_source stop_;
  FileServerStats stats_;
  // The Date field, and the second it was made in.
  std::string date_;
  int64_t date_second_ = -1;
};

}  // namespace agentos

#endif  // AGENTOS_EXAMPLES_HTTP_FILE_SERVER_FILE_SERVER_H_
