// The blocks of one trace file, also of one that is still being written.
//
// A recorder writes a block where it stands, and again when it has more. Of a file that is followed, what is new in the last block is
// handed out as it comes; a block that is caught half-written is read again.
//
// Thread rule: one thread at a time.
// Errors: a Status when reading fails, naming the path.
//
//   auto blocks = TraceBlocks::Open("/tmp/a.trace");
//   for (TraceBlocks::Item item; *(*blocks)->Next(item);) ...

#ifndef AGENTOS_TOOLS_TRACE_BLOCKS_H_
#define AGENTOS_TOOLS_TRACE_BLOCKS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "agentos/manager/trace_block.h"
#include "agentos/manager/trace_file_reader.h"

namespace agentos {

class TraceBlocks {
 public:
  using Item = TraceFileReader::Item;

  // NotFound, PermissionDenied and so on; InvalidArgument for a directory.
  static absl::StatusOr<std::unique_ptr<TraceBlocks>> Open(const std::string& path, bool follow = false);
  // Takes the descriptor over: a pipe, or anything that can be read. `name` is for messages.
  static std::unique_ptr<TraceBlocks> FromFd(int fd, const std::string& name);
  TraceBlocks(const TraceBlocks&) = delete;
  TraceBlocks& operator=(const TraceBlocks&) = delete;
  ~TraceBlocks();

  // False at the end; of a file that is followed, at what is its end now.
  absl::StatusOr<bool> Next(Item& item);

  // The first good block: what the file is, without moving on. Nothing for what can be read only once.
  std::optional<TraceBlock> Peek();
  const std::string& name() const { return name_; }
  bool is_regular() const;
  // Of a regular file; 0 otherwise.
  uint64_t size() const;

 private:
  TraceBlocks(int fd, std::string name, bool follow);

  absl::StatusOr<bool> NextFollowed(Item& item);
  // False at the end. A file that has been succeeded by another one of its name goes on there.
  bool GoOnBehind();
  absl::Status Failed() const;

  int fd_;
  const std::string name_;
  const bool follow_;
  TraceFileReader reader_;
  std::string bytes_;
  // Of a file that is followed: the block that is read, and how much of it was handed out.
  uint64_t offset_ = 0;
  size_t handed_out_ = 0;
  std::optional<uint64_t> last_sequence_;
};

}  // namespace agentos

#endif  // AGENTOS_TOOLS_TRACE_BLOCKS_H_
