#include "agentos/examples/http_file_server/file_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentos/handlers/copy_file.h"
#include "agentos/handlers/when_any.h"
#include "agentos/ring/socket_address.h"
#include "agentos/ring/submission_entry.h"

namespace agentos {

namespace {

constexpr size_t kReceiveSize = 4096;
// Larger ones are spliced, in parts: a client has to take each within the timeout.
constexpr uint64_t kLarge = 256 << 10;
constexpr uint64_t kPart = 4 << 20;
constexpr absl::Duration kPauseWithoutDescriptors = absl::Milliseconds(20);

struct ContentType {
  absl::string_view suffix;
  absl::string_view type;
};

absl::string_view ContentTypeOf(absl::string_view path) {
  constexpr ContentType kTypes[] = {{".html", "text/html; charset=utf-8"},
                                    {".txt", "text/plain; charset=utf-8"},
                                    {".css", "text/css"},
                                    {".js", "text/javascript"},
                                    {".json", "application/json"},
                                    {".svg", "image/svg+xml"},
                                    {".png", "image/png"},
                                    {".jpg", "image/jpeg"},
                                    {".gif", "image/gif"},
                                    {".webp", "image/webp"},
                                    {".wasm", "application/wasm"},
                                    {".pdf", "application/pdf"}};
  for (const ContentType& each : kTypes) {
    if (absl::EndsWith(path, each.suffix)) return each.type;
  }
  return "application/octet-stream";
}

std::string HttpDate(time_t time) {
  tm parts{};
  gmtime_r(&time, &parts);
  char text[64];
  return std::string(text, strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts));
}

struct Reply {
  int status;
  absl::string_view reason;
};

// What a file that cannot be opened is answered with.
Reply ReplyTo(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
      return {404, "Not Found"};
    case EACCES:
    case EPERM:
    case EXDEV:
    case ELOOP:
      return {403, "Forbidden"};
    case EMFILE:
    case ENFILE:
      return {503, "Service Unavailable"};
    default:
      return {500, "Internal Server Error"};
  }
}

absl::StatusOr<UniqueFd> Listen(const std::string& address, std::string& bound) {
  absl::StatusOr<SocketAddress> parsed = ParseSocketAddress(address);
  if (!parsed.ok()) return parsed.status();
  const int family = parsed->storage.ss_family;
  UniqueFd listener(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener) return absl::ErrnoToStatus(errno, "socket");
  const int on = 1;
  if (family != AF_UNIX) setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&parsed->storage), parsed->length) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("bind to ", address));
  }
  if (listen(listener.get(), SOMAXCONN) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("listen at ", address));
  parsed->length = sizeof(parsed->storage);
  getsockname(listener.get(), reinterpret_cast<sockaddr*>(&parsed->storage), &parsed->length);
  bound = FormatSocketAddress(reinterpret_cast<const sockaddr*>(&parsed->storage), parsed->length);
  return listener;
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileServer>> FileServer::Create(AsyncRing& ring, FileServerOptions options) {
  UniqueFd root(open(options.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return absl::ErrnoToStatus(errno, absl::StrCat("root ", options.root));
  std::string bound;
  absl::StatusOr<UniqueFd> listener = Listen(options.address, bound);
  if (!listener.ok()) return listener.status();
  return std::unique_ptr<FileServer>(
      new FileServer(ring, std::move(options), std::move(root), *std::move(listener), std::move(bound)));
}

FileServer::FileServer(AsyncRing& ring, FileServerOptions options, UniqueFd root, UniqueFd listener, std::string address)
    : ring_(ring),
      options_(std::move(options)),
      root_(std::move(root)),
      listener_(std::move(listener)),
      address_(std::move(address)),
      accepting_(ring, SyscallSubmissionEntry::AcceptMany(ring.pid(), listener_.get(), 0)) {}

Task<void> FileServer::Run() {
  while (!stop_.stop_requested()) {
    std::optional<SyscallCompletionEntry> accepted = co_await accepting_.Next();
    if (!accepted.has_value()) break;
    if (!accepted->status.is_success()) {
      // Descriptors run out and come back; what else there is to accept waits in the backlog.
      const SyscallCompletionEntry slept = co_await ring_.Sleep(kPauseWithoutDescriptors);
      static_cast<void>(slept);
      continue;
    }
    UniqueFd connection(static_cast<int>(accepted->result.value()));
    ++stats_.connections;
    const int on = 1;
    setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    ring_.Spawn(Serve(std::move(connection)));
  }
}

void FileServer::Stop() {
  stop_.request_stop();
  accepting_.Cancel();
}

Task<void> FileServer::Serve(UniqueFd connection) {
  struct Counted {
    size_t& open;
    explicit Counted(size_t& count) : open(count) { ++open; }
    ~Counted() { --open; }
  };
  const int fd = connection.get();
  if (stats_.open_connections >= options_.max_connections) {
    co_await SendError(fd, 503, "Service Unavailable", /*keep_alive=*/false, /*head=*/false);
    co_return;
  }
  const Counted counted(stats_.open_connections);
  std::string received;
  absl::Time deadline = absl::InfiniteFuture();
  for (;;) {
    const HttpParse parse = ParseHttpRequest(received);
    if (parse.state == HttpParse::State::kError) {
      co_await SendError(fd, parse.status, parse.reason, /*keep_alive=*/false, /*head=*/false);
      co_return;
    }
    if (parse.state == HttpParse::State::kComplete) {
      const bool going_on = co_await ServeRequest(fd, parse.request);
      if (!going_on || !parse.request.keep_alive) co_return;
      received.erase(0, parse.size);
      deadline = absl::InfiniteFuture();
      continue;
    }
    if (stop_.stop_requested() && received.empty()) co_return;
    // From its first byte on a request has so long; every byte of a slow one does not begin it anew.
    if (!received.empty() && deadline == absl::InfiniteFuture()) deadline = absl::Now() + options_.header_timeout;
    const absl::Duration left = received.empty() ? options_.idle_timeout : std::max(deadline - absl::Now(), absl::Nanoseconds(1));
    const std::stop_token stop = received.empty() ? stop_.get_token() : std::stop_token();
    const SyscallCompletionEntry got = co_await ring_.Recv(fd, kReceiveSize).WithTimeout(left).StopOn(stop);
    if (got.status.error_number() == ETIMEDOUT) {
      ++stats_.timeouts;
      if (!received.empty()) co_await SendError(fd, 408, "Request Timeout", /*keep_alive=*/false, /*head=*/false);
      co_return;
    }
    if (!got.status.is_success() || got.result.value() == 0) co_return;
    received.append(got.result.data().data(), got.result.data().size());
  }
}

Task<bool> FileServer::ServeRequest(int connection, const HttpRequest& request) {
  ++stats_.requests;
  std::string path = request.path;
  if (request.is_directory) path = path.empty() ? "index.html" : absl::StrCat(path, "/index.html");
  // Not one that a FIFO would keep waiting.
  const SyscallCompletionEntry opened = co_await ring_.OpenBeneath(root_.get(), path, O_RDONLY | O_NONBLOCK);
  if (!opened.status.is_success()) {
    const Reply reply = ReplyTo(opened.status.error_number());
    co_return co_await SendError(connection, reply.status, reply.reason, request.keep_alive, request.head);
  }
  co_return co_await SendFileOf(connection, request, UniqueFd(static_cast<int>(opened.result.value())));
}

Task<bool> FileServer::SendFileOf(int connection, const HttpRequest& request, UniqueFd file) {
  struct stat status {};
  if (fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    co_return co_await SendError(connection, 404, "Not Found", request.keep_alive, request.head);
  }
  const auto size = static_cast<uint64_t>(status.st_size);
  HttpRange::Bytes part = {0, size};
  if (request.range.has_value()) {
    const std::optional<HttpRange::Bytes> asked = request.range->Of(size);
    if (!asked.has_value()) {
      ++stats_.errors;
      co_return co_await SendAll(connection,
                                 absl::StrCat("HTTP/1.1 416 Range Not Satisfiable\r\nDate: ", Date(),
                                              "\r\nContent-Range: bytes */", size, "\r\nContent-Length: 0\r\n\r\n"),
                                 0);
    }
    part = *asked;
  }
  std::string answer = absl::StrCat(
      request.range.has_value() ? "HTTP/1.1 206 Partial Content\r\n" : "HTTP/1.1 200 OK\r\n", "Date: ", Date(),
      "\r\nContent-Type: ", ContentTypeOf(request.is_directory ? ".html" : request.path), "\r\nContent-Length: ", part.length,
      "\r\nLast-Modified: ", HttpDate(status.st_mtime), "\r\nAccept-Ranges: bytes\r\n");
  if (request.range.has_value()) {
    absl::StrAppend(&answer, "Content-Range: bytes ", part.offset, "-", part.offset + part.length - 1, "/", size, "\r\n");
  }
  absl::StrAppend(&answer, request.keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
  if (request.head || part.length == 0) co_return co_await SendAll(connection, std::move(answer), 0);

  if (part.length <= kLarge) {
    const SyscallCompletionEntry read = co_await ring_.Read(file.get(), part.length, static_cast<int64_t>(part.offset));
    // A file that has shrunk since its size was told cannot be answered for any more.
    if (!read.status.is_success() || static_cast<uint64_t>(read.result.value()) != part.length) co_return false;
    answer.append(read.result.data().data(), read.result.data().size());
    stats_.bytes += part.length;
    co_return co_await SendAll(connection, std::move(answer), 0);
  }
  const bool begun = co_await SendAll(connection, std::move(answer), MSG_MORE);
  if (!begun) co_return false;
  uint64_t sent = 0;
  while (sent < part.length) {
    const uint64_t length = std::min(kPart, part.length - sent);
    Task<CopyResult> sending = SendFile(ring_, file.get(), static_cast<int64_t>(part.offset + sent), length, connection);
    const absl::StatusOr<CopyResult> result = co_await WithTimeout(ring_, std::move(sending), options_.send_timeout);
    if (absl::IsDeadlineExceeded(result.status())) ++stats_.timeouts;
    if (!result.ok() || !result->status.ok() || result->bytes != length) co_return false;
    sent += length;
    stats_.bytes += length;
  }
  co_return true;
}

Task<bool> FileServer::SendError(int connection, int status, absl::string_view reason, bool keep_alive, bool head) {
  ++stats_.errors;
  const std::string body = absl::StrCat(status, " ", reason, "\n");
  std::string answer = absl::StrCat("HTTP/1.1 ", status, " ", reason, "\r\nDate: ", Date(), "\r\nContent-Type: text/plain\r\n",
                                    status == 405 ? "Allow: GET, HEAD\r\n" : "", "Content-Length: ", body.size(), "\r\n",
                                    keep_alive ? "\r\n" : "Connection: close\r\n\r\n", head ? "" : body);
  co_return co_await SendAll(connection, std::move(answer), 0);
}

Task<bool> FileServer::SendAll(int connection, std::string data, int flags) {
  const size_t size = data.size();
  const SyscallCompletionEntry sent = co_await ring_.Send(connection, std::move(data), flags).WithTimeout(options_.send_timeout);
  if (sent.status.error_number() == ETIMEDOUT) ++stats_.timeouts;
  // One that timed out half-way is a success with fewer bytes.
  co_return sent.status.is_success() && static_cast<size_t>(sent.result.value()) == size;
}

absl::string_view FileServer::Date() {
  const int64_t now = absl::ToUnixSeconds(absl::Now());
  if (now != date_second_) {
    date_second_ = now;
    date_ = HttpDate(now);
  }
  return date_;
}

}  // namespace agentos
