#include <sys/types.h>
#include <uv.h>

#include <array>
#include <cstddef>
#include <memory>
#include <string>

#include "agentos/benchmarks/echo_servers.h"

namespace agentos::bench {
namespace {

class UvConnection {
 public:
  // Takes a connection off the listener; it owns itself afterwards.
  static int Accept(uv_stream_t* listener) {
    auto* const connection = new UvConnection;
    connection->tcp_.data = connection;
    connection->request_.data = connection;
    int result = uv_tcp_init(listener->loop, &connection->tcp_);
    if (result == 0) result = uv_accept(listener, connection->stream());
    if (result == 0) result = connection->Read();
    if (result != 0) connection->Close();
    return result;
  }

 private:
  uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&tcp_); }

  int Read() {
    const auto give_buffer = [](uv_handle_t* handle, size_t, uv_buf_t* buffer) {
      std::array<char, kEchoReceive>& own = static_cast<UvConnection*>(handle->data)->buffer_;
      *buffer = uv_buf_init(own.data(), static_cast<unsigned>(own.size()));
    };
    return uv_read_start(stream(), give_buffer, [](uv_stream_t* stream, ssize_t size, const uv_buf_t*) {
      static_cast<UvConnection*>(stream->data)->OnRead(size);
    });
  }

  void OnRead(ssize_t size) {
    if (size < 0) return Close();
    if (size == 0) return;
    const uv_buf_t all = uv_buf_init(buffer_.data(), static_cast<unsigned>(size));
    const int sent = uv_try_write(stream(), &all, 1);
    if (sent == size) [[likely]] {
      return;
    }
    if (sent < 0 && sent != UV_EAGAIN) return Close();
    // Nothing is received until the rest is sent, so the buffer stays as it is.
    uv_read_stop(stream());
    const size_t done = sent < 0 ? 0 : static_cast<size_t>(sent);
    const uv_buf_t rest = uv_buf_init(buffer_.data() + done, static_cast<unsigned>(static_cast<size_t>(size) - done));
    const int result = uv_write(&request_, stream(), &rest, 1, [](uv_write_t* request, int status) {
      auto* const connection = static_cast<UvConnection*>(request->data);
      if (status != 0 || connection->Read() != 0) connection->Close();
    });
    if (result != 0) Close();
  }

  void Close() {
    uv_handle_t* const handle = reinterpret_cast<uv_handle_t*>(&tcp_);
    // A write that fails because of the closing comes here a second time.
    if (uv_is_closing(handle)) return;
    uv_close(handle, [](uv_handle_t* closed) { delete static_cast<UvConnection*>(closed->data); });
  }

  uv_tcp_t tcp_ = {};
  uv_write_t request_ = {};
  std::array<char, kEchoReceive> buffer_;
};

std::string Cause(const char* what, int result) { return std::string(what) + ": " + uv_strerror(result); }

}  // namespace

std::string EchoByLibuv(int listener) {
  uv_loop_t loop;
  if (const int result = uv_loop_init(&loop); result != 0) return Cause("uv_loop_init", result);
  uv_tcp_t server;
  int accepted = 0;
  server.data = &accepted;
  int result = uv_tcp_init(&loop, &server);
  if (result == 0) result = uv_tcp_open(&server, listener);
  if (result == 0) {
    result = uv_listen(reinterpret_cast<uv_stream_t*>(&server), 1024, [](uv_stream_t* stream, int status) {
      if (status == 0) status = UvConnection::Accept(stream);
      if (status == 0) return;
      *static_cast<int*>(stream->data) = status;
      uv_stop(stream->loop);
    });
  }
  if (result != 0) return Cause("uv_listen", result);
  uv_run(&loop, UV_RUN_DEFAULT);
  return Cause("uv_accept", accepted);
}

}  // namespace agentos::bench
