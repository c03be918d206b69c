// What a channel is made with, and what it counts. See channel.h.
//
// Thread rule: plain values.

#ifndef AGENTOS_IPC_CHANNEL_OPTIONS_H_
#define AGENTOS_IPC_CHANNEL_OPTIONS_H_

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "agentos/ipc/buffer_pool.h"
#include "agentos/ipc/buffer_word.h"

namespace agentos::ipc {

struct ChannelOptions {
  // What this side sends from.
  BufferPoolOptions pool;
  // Messages on their way to the peer; rounded up to a power of two.
  uint32_t queue_capacity = 1024;
  // Buffers that the peer may have at a time; 0: all.
  uint32_t max_held_by_peer = 0;
  // How long a receiver looks for a message before it sleeps. On one processor never.
  absl::Duration spin = absl::Microseconds(20);
  absl::Duration handshake_timeout = absl::Seconds(5);
  // Users whose processes may be the peer; empty: this process's effective user.
  std::vector<uid_t> allowed_uids;
};

struct ChannelStats {
  uint64_t sent = 0;
  uint64_t received = 0;
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  // Of this side's pool.
  std::vector<SizeClassStats> classes;
  // Who has the buffers of this side's pool, and of the peer's, as the words in shared memory say.
  BufferCensus own_buffers{};
  BufferCensus peer_buffers{};
};

}  // namespace agentos::ipc

#endif  // AGENTOS_IPC_CHANNEL_OPTIONS_H_
