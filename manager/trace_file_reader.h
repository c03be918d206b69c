// Reads the blocks of a trace file one after the other, from a file or a pipe, whatever was done to it.
//
// Thread rule: one thread at a time.
// Lifetime: the fd is the caller's. A block is valid until the next call.
// Errors: a Status only when reading itself fails; what is wrong with the content is said block by block.
//
//   TraceFileReader reader(fd);
//   for (TraceFileReader::Item item; *reader.Next(item);) {
//     if (item.state == BlockState::kGood) ...
//   }

#ifndef AGENTOS_MANAGER_TRACE_FILE_READER_H_
#define AGENTOS_MANAGER_TRACE_FILE_READER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "agentos/manager/trace_block.h"

namespace agentos {

class TraceFileReader {
 public:
  struct Item {
    BlockState state = BlockState::kEmpty;
    // Of the block, from the beginning of the file.
    uint64_t offset = 0;
    // Of a good one: how many blocks between the last good one and this were never there to be read, for their numbers are
    // missing beyond those that were found damaged.
    uint64_t missing = 0;
    TraceBlock block;
  };

  explicit TraceFileReader(int fd) : fd_(fd), bytes_(kTraceBlockSize, '\0') {}

  // False at the end of the file.
  absl::StatusOr<bool> Next(Item& item);

 private:
  const int fd_;
  std::string bytes_;
  uint64_t offset_ = 0;
  std::optional<uint64_t> last_sequence_;
  uint64_t not_good_since_ = 0;
};

}  // namespace agentos

#endif  // AGENTOS_MANAGER_TRACE_FILE_READER_H_
