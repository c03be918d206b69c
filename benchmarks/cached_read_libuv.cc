#include <uv.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agentos/benchmarks/block_buffers.h"
#include "agentos/benchmarks/cached_read.h"
#include "agentos/benchmarks/time_in_child.h"

namespace agentos::bench {
namespace {

// Enough to start the pool's threads.
constexpr int kWarmUpRounds = 64;

class UvReader {
 public:
  UvReader(const CachedFile& file, size_t depth)
      : file_(file), buffers_(depth, kBlockSize), offsets_(file, /*thread=*/0), requests_(depth) {
    uv_loop_init(&loop_);
    for (uv_fs_t& request : requests_) request.data = this;
  }
  UvReader(const UvReader&) = delete;
  UvReader& operator=(const UvReader&) = delete;
  ~UvReader() { uv_loop_close(&loop_); }

  // One batch, from the first request to the last answer.
  void Round() {
    for (size_t i = 0; i < requests_.size(); ++i) {
      const uv_buf_t buffer = uv_buf_init(buffers_[i], kBlockSize);
      const auto offset = static_cast<int64_t>(offsets_.Next());
      uv_fs_read(&loop_, &requests_[i], file_.fd(), &buffer, 1, offset, [](uv_fs_t* request) {
        static_cast<UvReader*>(request->data)->bytes_ += request->result;
        uv_fs_req_cleanup(request);
      });
    }
    uv_run(&loop_, UV_RUN_DEFAULT);
  }

  int64_t bytes() const { return bytes_; }

 private:
  const CachedFile& file_;
  BlockBuffers buffers_;
  BlockOffsets offsets_;
  std::vector<uv_fs_t> requests_;
  uv_loop_t loop_;
  int64_t bytes_ = 0;
};

}  // namespace

void ReadByLibuv(benchmark::State& state, const CachedFile& file, size_t depth) {
  TimeInChild(state, [&](int64_t rounds) -> absl::StatusOr<std::chrono::nanoseconds> {
    UvReader reader(file, depth);
    for (int i = 0; i < kWarmUpRounds; ++i) reader.Round();
    const auto begin = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < rounds; ++i) reader.Round();
    const auto end = std::chrono::steady_clock::now();
    const auto asked = static_cast<int64_t>(depth * kBlockSize) * (rounds + kWarmUpRounds);
    if (reader.bytes() != asked) return absl::DataLossError("a read failed or was short");
    return end - begin;
  });
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * depth));
}

}  // namespace agentos::bench
