#include "agentos/manager/trace_header.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <climits>
#include <ctime>

#include "agentos/proto/trace.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"

namespace agentos {

namespace {

uint64_t Nanos(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// A file after those that it imports.
void AddFile(const google::protobuf::FileDescriptor& file, google::protobuf::FileDescriptorSet& set) {
  for (const google::protobuf::FileDescriptorProto& there : set.file()) {
    if (there.name() == file.name()) return;
  }
  for (int i = 0; i < file.dependency_count(); ++i) AddFile(*file.dependency(i), set);
  file.CopyTo(set.add_file());
}

}  // namespace

std::string MakeTraceHeader(const TraceOptions& options, const ExecutorInfo& executor) {
  proto::v1::TraceRecord record;
  proto::v1::TraceHeader& header = *record.mutable_header();
  header.set_format_major(kTraceFormatMajor);
  header.set_format_minor(kTraceFormatMinor);
  header.set_monotonic_ns(Nanos(CLOCK_MONOTONIC));
  header.set_realtime_ns(Nanos(CLOCK_REALTIME));
  header.set_os_pid(getpid());
  utsname system{};
  if (uname(&system) == 0) {
    header.set_kernel(system.release);
    header.set_machine(system.machine);
  }
  header.set_processors(static_cast<uint32_t>(sysconf(_SC_NPROCESSORS_ONLN)));
  header.set_executor(executor.name);
  header.set_executor_reason(executor.reason);
  header.set_payload_bytes(options.payload_bytes);
  header.set_paths_redacted(options.redact_paths);
  header.set_flight_recorder(options.mode == TraceMode::kFlightRecorder);
  if (!options.redact_paths) {
    char program[PATH_MAX];
    const ssize_t size = readlink("/proc/self/exe", program, sizeof(program));
    if (size > 0) header.set_program(program, static_cast<size_t>(size));
  }
  google::protobuf::FileDescriptorSet files;
  AddFile(*proto::v1::TraceRecord::descriptor()->file(), files);
  header.set_descriptor_set(files.SerializeAsString());
  return record.SerializeAsString();
}

}  // namespace agentos
