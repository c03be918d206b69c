#include "agentos/benchmarks/whole_file_libuv.h"

#include <fcntl.h>
#include <uv.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/benchmarks/block_buffers.h"
#include "agentos/benchmarks/time_in_child.h"

namespace agentos::bench {
namespace {

constexpr size_t kUnderWay = 32;

class UvFileReader {
 public:
  explicit UvFileReader(const SmallFiles& files) : files_(files), buffers_(kUnderWay, kLargestFile), chains_(kUnderWay) {
    uv_loop_init(&loop_);
  }
  UvFileReader(const UvFileReader&) = delete;
  UvFileReader& operator=(const UvFileReader&) = delete;
  ~UvFileReader() { uv_loop_close(&loop_); }

  // Reads every file once: how many bytes there were.
  int64_t Round() {
    next_ = 0;
    bytes_ = 0;
    for (size_t i = 0; i < chains_.size(); ++i) {
      chains_[i] = {.reader = this, .buffer = buffers_[i]};
      chains_[i].request.data = &chains_[i];
      Open(chains_[i]);
    }
    uv_run(&loop_, UV_RUN_DEFAULT);
    return bytes_;
  }

 private:
  struct Chain {
    UvFileReader* reader = nullptr;
    char* buffer = nullptr;
    uv_file file = -1;
    uv_fs_t request = {};
  };

  // Ends a step: its result.
  static ssize_t Take(uv_fs_t* request) {
    const ssize_t result = request->result;
    uv_fs_req_cleanup(request);
    return result;
  }

  void Open(Chain& chain) {
    if (next_ == files_.count()) return;
    uv_fs_open(&loop_, &chain.request, files_.paths()[next_++].c_str(), O_RDONLY | O_CLOEXEC, 0, [](uv_fs_t* request) {
      Chain& opened = *static_cast<Chain*>(request->data);
      opened.file = static_cast<uv_file>(Take(request));
      // What is missing shows in the sum of the bytes.
      opened.file < 0 ? opened.reader->Open(opened) : opened.reader->Read(opened);
    });
  }

  void Read(Chain& chain) {
    const uv_buf_t buffer = uv_buf_init(chain.buffer, kLargestFile);
    uv_fs_read(&loop_, &chain.request, chain.file, &buffer, 1, 0, [](uv_fs_t* request) {
      Chain& read = *static_cast<Chain*>(request->data);
      read.reader->bytes_ += Take(request);
      read.reader->Close(read);
    });
  }

  void Close(Chain& chain) {
    uv_fs_close(&loop_, &chain.request, chain.file, [](uv_fs_t* request) {
      Chain& closed = *static_cast<Chain*>(request->data);
      Take(request);
      closed.reader->Open(closed);
    });
  }

  const SmallFiles& files_;
  BlockBuffers buffers_;
  std::vector<Chain> chains_;
  uv_loop_t loop_;
  size_t next_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace

void ReadFilesByLibuv(benchmark::State& state, const SmallFiles& files) {
  TimeInChild(state, [&](int64_t rounds) -> absl::StatusOr<std::chrono::nanoseconds> {
    const auto expected = static_cast<int64_t>(files.total_bytes());
    UvFileReader reader(files);
    bool complete = reader.Round() == expected;
    const auto begin = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < rounds; ++i) complete &= reader.Round() == expected;
    const auto end = std::chrono::steady_clock::now();
    if (!complete) return absl::DataLossError("a file is missing or not whole");
    return end - begin;
  });
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * files.count()));
}

}  // namespace agentos::bench
