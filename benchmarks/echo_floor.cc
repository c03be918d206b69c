#include <liburing.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "agentos/benchmarks/bench_environment.h"
#include "agentos/benchmarks/echo_servers.h"
#include "agentos/benchmarks/receive_buffers.h"

namespace agentos::bench {
namespace {

constexpr unsigned kEntries = 2048;
constexpr unsigned kCompletions = 8192;
constexpr unsigned kBuffers = 1024;
constexpr unsigned kConnections = 4096;

enum class Kind : uint8_t { kAccept, kReceive, kSend, kClose };

uint64_t Tag(Kind kind, unsigned connection) { return static_cast<uint64_t>(kind) | uint64_t{connection} << 32; }

constexpr unsigned kNone = ~0u;

// What a buffer holds that came in and has not gone out yet.
struct Piece {
  unsigned begin;
  unsigned end;
  // The buffer that the same connection got next.
  unsigned next;
};

struct Connection {
  // Buffers: what is being sent, and what came last.
  unsigned first = kNone;
  unsigned last = kNone;
  bool ended = false;
};

class FloorServer {
 public:
  FloorServer(int listener, bool direct) : listener_(listener), direct_(direct), buffers_(kBuffers, kEchoReceive) {}
  FloorServer(const FloorServer&) = delete;
  FloorServer& operator=(const FloorServer&) = delete;
  ~FloorServer() {
    if (made_) io_uring_queue_exit(&ring_);
  }

  std::string Run() {
    const int made = RetryWhileOutOfMemory([this] { return Init(); }, [](int result) { return result == -ENOMEM; });
    if (made != 0) return Cause("io_uring", made);
    Accept();
    while (cause_.empty()) {
      buffers_.Publish();
      const int result = io_uring_submit_and_wait(&ring_, 1);
      if (result < 0 && result != -EINTR) return Cause("io_uring_submit_and_wait", result);
      unsigned head;
      unsigned seen = 0;
      io_uring_cqe* cqe;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        Handle(*cqe);
        ++seen;
      }
      io_uring_cq_advance(&ring_, seen);
    }
    return cause_;
  }

 private:
  static std::string Cause(const char* what, int result) { return std::string(what) + ": " + std::strerror(-result); }

  int Init() {
    io_uring_params params = {};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
    params.cq_entries = kCompletions;
    int result = io_uring_queue_init_params(kEntries, &ring_, &params);
    if (result < 0) return result;
    result = Register();
    made_ = result == 0;
    if (!made_) io_uring_queue_exit(&ring_);
    return result;
  }

  int Register() {
    if (const int result = io_uring_register_ring_fd(&ring_); result < 0) return result;
    if (direct_) {
      if (const int result = io_uring_register_files_sparse(&ring_, kConnections); result < 0) return result;
    }
    return buffers_.Register(&ring_);
  }

  io_uring_sqe* NextSqe() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {
      io_uring_submit(&ring_);
      sqe = io_uring_get_sqe(&ring_);
    }
    return sqe;
  }

  io_uring_sqe* Addressed(io_uring_sqe* sqe, uint64_t tag) {
    if (direct_) sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = tag;
    return sqe;
  }

  void Accept() {
    io_uring_sqe* const sqe = NextSqe();
    if (direct_) {
      io_uring_prep_multishot_accept_direct(sqe, listener_, nullptr, nullptr, 0);
    } else {
      io_uring_prep_multishot_accept(sqe, listener_, nullptr, nullptr, SOCK_CLOEXEC);
    }
    sqe->user_data = Tag(Kind::kAccept, 0);
  }

  void Receive(unsigned connection) {
    io_uring_sqe* const sqe = NextSqe();
    io_uring_prep_recv_multishot(sqe, static_cast<int>(connection), nullptr, 0, 0);
    Addressed(sqe, Tag(Kind::kReceive, connection));
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = ReceiveBuffers::kGroup;
  }

  void SendFirst(unsigned connection) {
    const unsigned buffer = connections_[connection].first;
    const Piece& piece = pieces_[buffer];
    io_uring_sqe* const sqe = NextSqe();
    io_uring_prep_send(sqe, static_cast<int>(connection), buffers_[buffer] + piece.begin, piece.end - piece.begin,
                       MSG_NOSIGNAL | MSG_WAITALL);
    Addressed(sqe, Tag(Kind::kSend, connection));
  }

  void Close(unsigned connection) {
    io_uring_sqe* const sqe = NextSqe();
    if (direct_) {
      io_uring_prep_close_direct(sqe, connection);
    } else {
      io_uring_prep_close(sqe, static_cast<int>(connection));
    }
    sqe->user_data = Tag(Kind::kClose, connection);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  }

  void Handle(const io_uring_cqe& cqe) {
    const unsigned connection = static_cast<unsigned>(cqe.user_data >> 32);
    switch (static_cast<Kind>(cqe.user_data & 0xff)) {
      case Kind::kReceive:
        return OnReceived(connection, cqe);
      case Kind::kSend:
        return OnSent(connection, cqe.res);
      case Kind::kAccept:
        return OnAccepted(cqe);
      case Kind::kClose:
        break;
    }
  }

  void OnAccepted(const io_uring_cqe& cqe) {
    if (cqe.res < 0) {
      cause_ = Cause("accept", cqe.res);
      return;
    }
    const unsigned connection = static_cast<unsigned>(cqe.res);
    if (connections_.size() <= connection) connections_.resize(connection + 1);
    connections_[connection] = {};
    Receive(connection);
    if ((cqe.flags & IORING_CQE_F_MORE) == 0) Accept();
  }

  void OnReceived(unsigned connection, const io_uring_cqe& cqe) {
    Connection& here = connections_[connection];
    if (cqe.res > 0) [[likely]] {
      Append(connection, cqe.flags >> IORING_CQE_BUFFER_SHIFT, static_cast<unsigned>(cqe.res));
    }
    if ((cqe.flags & IORING_CQE_F_MORE) != 0) [[likely]] {
      return;
    }
    if (cqe.res == -ENOBUFS && buffers_.free() == 0) {
      starving_.push_back(connection);
    } else if (cqe.res > 0 || cqe.res == -ENOBUFS) {
      Receive(connection);
    } else {
      here.ended = true;
      if (here.first == kNone) Close(connection);
    }
  }

  void Append(unsigned connection, unsigned buffer, unsigned size) {
    buffers_.Took();
    pieces_[buffer] = {0, size, kNone};
    Connection& here = connections_[connection];
    if (here.first == kNone) {
      here.first = here.last = buffer;
      SendFirst(connection);
    } else {
      pieces_[here.last].next = buffer;
      here.last = buffer;
    }
  }

  void OnSent(unsigned connection, int result) {
    Connection& here = connections_[connection];
    Piece& piece = pieces_[here.first];
    // After an error nobody wants it any more, nor what comes after it; receiving ends as well.
    piece.begin = result > 0 ? piece.begin + static_cast<unsigned>(result) : piece.end;
    if (piece.begin == piece.end) {
      buffers_.GiveBack(here.first);
      here.first = piece.next;
    }
    if (here.first != kNone) {
      SendFirst(connection);
    } else if (here.ended) {
      Close(connection);
    }
    if (!starving_.empty()) FeedStarving();
  }

  void FeedStarving() {
    std::vector<unsigned> starving;
    starving.swap(starving_);
    for (unsigned connection : starving) Receive(connection);
  }

  const int listener_;
  const bool direct_;
  bool made_ = false;
  io_uring ring_ = {};
  ReceiveBuffers buffers_;
  std::array<Piece, kBuffers> pieces_;
  std::vector<Connection> connections_;
  // Their receives found no buffer and start again when one comes back.
  std::vector<unsigned> starving_;
  std::string cause_;
};

}  // namespace

std::string EchoByLiburing(int listener, bool direct) { return FloorServer(listener, direct).Run(); }

}  // namespace agentos::bench
