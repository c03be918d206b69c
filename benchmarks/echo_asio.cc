// One thread alone uses it: Asio leaves out its locks and fences.
#define ASIO_DISABLE_THREADS

#include <array>
#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>
#include <cstddef>
#include <string>
#include <utility>

#include "agentos/benchmarks/echo_servers.h"

namespace agentos::bench {
namespace {

using asio::ip::tcp;

// Owns itself: the handler that hears of the end deletes it.
class AsioConnection {
 public:
  explicit AsioConnection(tcp::socket socket) : socket_(std::move(socket)) {}

  void Read() {
    socket_.async_read_some(asio::buffer(buffer_), [this](const asio::error_code& error, size_t size) {
      if (error) {
        delete this;
      } else {
        Write(size);
      }
    });
  }

 private:
  void Write(size_t size) {
    asio::async_write(socket_, asio::buffer(buffer_.data(), size), [this](const asio::error_code& error, size_t) {
      if (error) {
        delete this;
      } else {
        Read();
      }
    });
  }

  tcp::socket socket_;
  std::array<char, kEchoReceive> buffer_;
};

class AsioServer {
 public:
  explicit AsioServer(int listener) : context_(ASIO_CONCURRENCY_HINT_UNSAFE), acceptor_(context_, tcp::v4(), listener) {}

  std::string Run() {
    Accept();
    context_.run();
    return cause_;
  }

 private:
  void Accept() {
    acceptor_.async_accept([this](const asio::error_code& error, tcp::socket socket) {
      if (error) {
        cause_ = "async_accept: " + error.message();
        context_.stop();
        return;
      }
      (new AsioConnection(std::move(socket)))->Read();
      Accept();
    });
  }

  asio::io_context context_;
  tcp::acceptor acceptor_;
  std::string cause_;
};

}  // namespace

std::string EchoByAsio(int listener) { return AsioServer(listener).Run(); }

}  // namespace agentos::bench
