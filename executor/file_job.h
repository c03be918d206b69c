// A whole-file operation on its way through a worker. Private to executor/.
//
// Thread rule: the lane's until it was added to the workers, the worker's while it runs, the lane's again once it was posted
// back.

#ifndef AGENTOS_EXECUTOR_FILE_JOB_H_
#define AGENTOS_EXECUTOR_FILE_JOB_H_

#include <cstddef>
#include <cstdint>

#include "agentos/executor/file_workers.h"
#include "agentos/executor/plain_file_calls.h"
#include "agentos/ring/result_buffer_pool.h"
#include "agentos/ring/slot.h"
#include "agentos/ring/unique_fd.h"

namespace agentos {

class Lane;

struct FileJob : FileWorkers::Job {
  Lane* lane = nullptr;
  // Pinned while the job is under way: the worker reads its entry.
  Slot* slot = nullptr;
  size_t max_file_size = 0;
  PooledBuffer first_buffer;
  // Of a CopyFileRange: the files stay the same ones until the worker comes to it, whatever becomes of the entry's descriptors.
  UniqueFd from_file;
  UniqueFd to_file;

  FileCallResult result;
  int64_t duration_ns = 0;
  FileJob* next_finished = nullptr;
};

}  // namespace agentos

#endif  // AGENTOS_EXECUTOR_FILE_JOB_H_
