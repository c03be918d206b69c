// The two halves of plain_file_calls.h: what plain_file_calls.cc and careful_write.cc share. Private to them.

#ifndef AGENTOS_EXECUTOR_PLAIN_FILE_STEPS_H_
#define AGENTOS_EXECUTOR_PLAIN_FILE_STEPS_H_

#include "absl/strings/string_view.h"
#include "agentos/executor/file_path.h"
#include "agentos/executor/plain_file_calls.h"
#include "agentos/ring/operation.h"

namespace agentos::executor_internal {

// Writes all of data; SIGPIPE reaches nobody.
void WriteToEnd(int fd, absl::string_view data, FileCallResult& result);

// 0 or an errno. The fd is gone in every case.
int CloseReporting(int fd);

// A WriteFile that is atomic, durable or both.
FileCallResult WriteCarefully(const FilePath& file, absl::string_view data, const operation::WriteFile::Options& options);

}  // namespace agentos::executor_internal

#endif  // AGENTOS_EXECUTOR_PLAIN_FILE_STEPS_H_
