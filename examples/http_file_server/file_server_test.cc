// FileServer over real sockets: good clients, and those that are slow, hostile or gone.

#include "agentos/examples/http_file_server/file_server.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agentos/handlers/async_ring_fixture.h"
#include "agentos/ring/socket_address.h"
#include "agentos/testing/test_support.h"
#include "gtest/gtest.h"

namespace agentos {
namespace {

class FileServerTest : public AsyncRingFixture {
 protected:
  void SetUp() override {
    AsyncRingFixture::SetUp();
    std::filesystem::create_directories(Path("root/sub"));
    Spill(Path("root/index.html"), "<p>index</p>");
    Spill(Path("root/file.txt"), "0123456789");
    Spill(Path("root/empty"), "");
    Spill(Path("root/large"), Content(kLarge));
    Spill(Path("root/sub/with space"), "spaced");
    Spill(Path("outside"), "secret");
    std::filesystem::create_symlink("../outside", Path("root/escape"));
    std::filesystem::create_symlink("file.txt", Path("root/inner"));
    EXPECT_EQ(mkfifo(Path("root/fifo").c_str(), 0600), 0);
  }
  void TearDown() override {
    if (server_ != nullptr) {
      server_->Stop();
      EXPECT_TRUE(ring().RunUntilIdle().ok());
      EXPECT_EQ(server_->stats().open_connections, 0u);
      EndRing();
      server_.reset();
    }
    AsyncRingFixture::TearDown();
  }

  void Start(FileServerOptions options = {}) {
    options.root = Path("root");
    options.address = "127.0.0.1:0";
    absl::StatusOr<std::unique_ptr<FileServer>> server = FileServer::Create(ring(), std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ring().Spawn(server_->Run());
    ring().RunReady();
  }

  Fd Connect() {
    Fd client = NewSocket(AF_INET, SOCK_STREAM);
    const auto parsed = ParseSocketAddress(server_->address());
    EXPECT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&parsed->storage), parsed->length), 0);
    return client;
  }
  void Send(const Fd& client, const std::string& text) {
    EXPECT_EQ(send(client.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  // Drives the server until the client has got so much, or the end.
  std::string Receive(const Fd& client, size_t most = SIZE_MAX) {
    std::string all;
    while (all.size() < most) {
      char buffer[65536];
      const ssize_t n = recv(client.get(), buffer, std::min(sizeof(buffer), most - all.size()), MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN)) break;
      if (n > 0) all.append(buffer, static_cast<size_t>(n));
      if (n < 0) ring().RunOnce(absl::Milliseconds(1));
    }
    return all;
  }
  // The whole answer to a request, after which the connection is closed.
  std::string Ask(const std::string& first_line, const std::string& fields = "") {
    const Fd client = Connect();
    Send(client, absl::StrCat(first_line, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", fields, "\r\n"));
    return Receive(client);
  }
  static std::string BodyOf(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }

  static constexpr size_t kLarge = (9 << 20) + 3;
  std::unique_ptr<FileServer> server_;
};

TEST_P(FileServerTest, FilesArriveWithTheirHeaders) {
  Start();
  const std::string answer = Ask("GET /file.txt");
  EXPECT_TRUE(absl::StartsWith(answer, "HTTP/1.1 200 OK\r\nDate: ")) << answer;
  for (const char* field : {"Content-Type: text/plain; charset=utf-8\r\n", "Content-Length: 10\r\n",
                            "Last-Modified: ", "Accept-Ranges: bytes\r\n", "Connection: close\r\n"}) {
    EXPECT_TRUE(absl::StrContains(answer, field)) << field;
  }
  EXPECT_EQ(BodyOf(answer), "0123456789");
  EXPECT_EQ(BodyOf(Ask("GET /")), "<p>index</p>");
  EXPECT_EQ(BodyOf(Ask("GET /empty")), "");
  EXPECT_EQ(BodyOf(Ask("GET /inner")), "0123456789");
  EXPECT_EQ(BodyOf(Ask("GET /sub/with%20space?query")), "spaced");
  EXPECT_TRUE(BodyOf(Ask("GET /large")) == Content(kLarge));
}

TEST_P(FileServerTest, HeadHasNoBody) {
  Start();
  const std::string answer = Ask("HEAD /file.txt");
  EXPECT_TRUE(absl::StrContains(answer, "Content-Length: 10\r\n"));
  EXPECT_EQ(BodyOf(answer), "");
  EXPECT_EQ(BodyOf(Ask("HEAD /missing")), "");
}

TEST_P(FileServerTest, RangesAreParts) {
  Start();
  const std::string answer = Ask("GET /file.txt", "Range: bytes=2-4\r\n");
  EXPECT_TRUE(absl::StartsWith(answer, "HTTP/1.1 206 Partial Content\r\n"));
  EXPECT_TRUE(absl::StrContains(answer, "Content-Range: bytes 2-4/10\r\n"));
  EXPECT_EQ(BodyOf(answer), "234");
  EXPECT_TRUE(BodyOf(Ask("GET /large", "Range: bytes=-5000001\r\n")) == Content(kLarge).substr(kLarge - 5000001));
  EXPECT_TRUE(absl::StartsWith(Ask("GET /file.txt", "Range: bytes=10-\r\n"), "HTTP/1.1 416 "));
  EXPECT_EQ(BodyOf(Ask("GET /file.txt", "Range: bytes=0-1,4-5\r\n")), "0123456789");
}

TEST_P(FileServerTest, WhatIsNotToBeHadIsAStatus) {
  Start();
  const std::pair<const char*, const char*> kExpected[] = {
      {"GET /missing", "404"},    {"GET /file.txt/x", "404"}, {"GET /sub", "404"},
      {"GET /sub/", "404"},       {"GET /escape", "403"},     {"GET /fifo", "404"},
      {"GET /../outside", "400"}, {"POST /file.txt", "405"},  {"BREW /", "501"}};
  for (const auto& [request, status] : kExpected) {
    EXPECT_EQ(Ask(request).substr(9, 3), status) << request;
  }
  EXPECT_EQ(server_->stats().errors, std::size(kExpected));
}

TEST_P(FileServerTest, KeepsConnectionsAliveAndAnswersPipelinesInOrder) {
  Start();
  const Fd client = Connect();
  std::string pipeline;
  for (int i = 0; i < 50; ++i)
    absl::StrAppend(&pipeline, "GET /", i % 2 == 0 ? "file.txt" : "missing", " HTTP/1.1\r\nHost: x\r\n\r\n");
  Send(client, pipeline + "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string answers = Receive(client);
  size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    at = answers.find("HTTP/1.1 ", at) + 9;
    EXPECT_EQ(answers.substr(at, 3), i % 2 == 0 ? "200" : "404") << i;
  }
  EXPECT_EQ(server_->stats().connections, 1u);
}

TEST_P(FileServerTest, RequestsMayComeInPieces) {
  Start();
  const Fd client = Connect();
  for (const char byte : std::string("GET /file.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) {
    Send(client, std::string(1, byte));
    for (int turn = 0; turn < 2; ++turn) ring().RunReady();
  }
  EXPECT_EQ(BodyOf(Receive(client)), "0123456789");
}

TEST_P(FileServerTest, SlowClientsAreCutOff) {
  Start(
      {.header_timeout = absl::Milliseconds(20), .idle_timeout = absl::Milliseconds(40), .send_timeout = absl::Milliseconds(60)});
  const Fd slow_header = Connect();
  Send(slow_header, "GET /file.txt HT");
  EXPECT_TRUE(absl::StartsWith(Receive(slow_header), "HTTP/1.1 408 "));
  const Fd idle = Connect();
  EXPECT_EQ(Receive(idle), "");
  const Fd never_reads = Connect();
  Send(never_reads, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
  while (server_->stats().timeouts < 3) ring().RunOnce();
  EXPECT_LT(Receive(never_reads).size(), kLarge);
}

TEST_P(FileServerTest, ClientsThatCloseInTheMiddleHarmNobody) {
  Start();
  for (int i = 0; i < 20; ++i) {
    const Fd client = Connect();
    Send(client, i % 2 == 0 ? "GET /large HTTP/1.1\r\nHost: x\r\n\r\n" : "GET /file");
    ring().RunOnce(absl::Milliseconds(1));
    if (i % 4 != 0) continue;
    EXPECT_EQ(Receive(client, 1000).size(), 1000u);
  }
  EXPECT_EQ(BodyOf(Ask("GET /file.txt")), "0123456789");
  while (server_->stats().open_connections > 0) ring().RunOnce(absl::Milliseconds(1));
}

TEST_P(FileServerTest, MoreConnectionsThanMayAreTurnedAway) {
  Start({.max_connections = 2});
  const Fd first = Connect();
  const Fd second = Connect();
  while (server_->stats().open_connections < 2) ring().RunOnce(absl::Milliseconds(1));
  const Fd third = Connect();
  EXPECT_TRUE(absl::StartsWith(Receive(third), "HTTP/1.1 503 "));
}

TEST_P(FileServerTest, StopEndsIdleConnectionsAndFinishesAnswers) {
  Start();
  const Fd idle = Connect();
  const Fd busy = Connect();
  Send(busy, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string begun = Receive(busy, 1000);
  server_->Stop();
  EXPECT_EQ(Receive(idle), "");
  EXPECT_TRUE(BodyOf(begun + Receive(busy)) == Content(kLarge));
}

TEST_P(FileServerTest, WhatKeepsItFromListeningIsNamed) {
  EXPECT_TRUE(Refused(FileServer::Create(ring(), {.root = Path("missing")}).status(), absl::StatusCode::kNotFound, {"missing"}));
  EXPECT_TRUE(Refused(FileServer::Create(ring(), {.root = Path("root"), .address = "localhost:80"}).status(),
                      absl::StatusCode::kInvalidArgument, {"localhost"}));
}

INSTANTIATE_TEST_SUITE_P(Threading, FileServerTest, BothThreadings(), ThreadingName);

}  // namespace
}  // namespace agentos
