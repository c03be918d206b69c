// Who has a buffer: one word of shared memory for each, so that after a crash a walk over the words tells all.
//
//   bits 63..32  owner: the process that has it, 0 when nobody
//   bits 31..4   generation: rises whenever the buffer becomes free, so that no late word is taken for a new one
//   bits  3..0   state
//
// Two sides: the lender, whose memory it is, and the receiver. Each move is made by one side, and by one store or one compare and
// swap, so that there is no moment in which a crash leaves a buffer with two owners or with none:
//
//   state      loan     drop   send   receive  release   collect  reclaim
//   (side)     lender   lender lender receiver receiver  lender   lender
//   Free       Loaned   -      -      -        -         -        -
//   Loaned     -        Free   Sent   -        -         -        -
//   Sent       -        -      -      Held     -         -        Free
//   Held       -        -      -      -        Returned  -        Free
//   Returned   -        -      -      -        -         Free     Free
//
// reclaim is what the lender does for a receiver that has died or lied. A lender's death needs no move: the memory goes with the
// last process that maps it, and what was sent can still be received.
//
// The lender keeps a copy of its own of every word and believes nothing else: what the words say matters for the receiver's moves
// and for whoever looks after a crash.
//
// Thread rule: pure functions, and moves that any thread may make.

#ifndef AGENTOS_IPC_BUFFER_WORD_H_
#define AGENTOS_IPC_BUFFER_WORD_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace agentos {

enum class BufferState : uint8_t { kFree, kLoaned, kSent, kHeld, kReturned };
inline constexpr size_t kBufferStates = 5;

enum class BufferMove : uint8_t { kLoan, kDrop, kSend, kReceive, kRelease, kCollect, kReclaim };
inline constexpr size_t kBufferMoves = 7;

inline constexpr uint32_t kGenerationMask = (uint32_t{1} << 28) - 1;

struct BufferWord {
  BufferState state = BufferState::kFree;
  uint32_t generation = 0;
  uint32_t owner = 0;

  constexpr uint64_t Pack() const {
    return uint64_t{owner} << 32 | uint64_t{generation & kGenerationMask} << 4 | static_cast<uint64_t>(state);
  }
  // Whatever the bits are: a state beyond the last one stays what it is and equals none.
  static constexpr BufferWord Unpack(uint64_t bits) {
    return {.state = static_cast<BufferState>(bits & 0xF),
            .generation = static_cast<uint32_t>(bits >> 4) & kGenerationMask,
            .owner = static_cast<uint32_t>(bits >> 32)};
  }
  friend constexpr bool operator==(const BufferWord&, const BufferWord&) = default;
};

// The table above; nullopt where it has no move.
constexpr std::optional<BufferState> AfterMove(BufferState state, BufferMove move) {
  switch (move) {
    case BufferMove::kLoan:
      return state == BufferState::kFree ? std::optional(BufferState::kLoaned) : std::nullopt;
    case BufferMove::kDrop:
      return state == BufferState::kLoaned ? std::optional(BufferState::kFree) : std::nullopt;
    case BufferMove::kSend:
      return state == BufferState::kLoaned ? std::optional(BufferState::kSent) : std::nullopt;
    case BufferMove::kReceive:
      return state == BufferState::kSent ? std::optional(BufferState::kHeld) : std::nullopt;
    case BufferMove::kRelease:
      return state == BufferState::kHeld ? std::optional(BufferState::kReturned) : std::nullopt;
    case BufferMove::kCollect:
      return state == BufferState::kReturned ? std::optional(BufferState::kFree) : std::nullopt;
    case BufferMove::kReclaim:
      return state == BufferState::kSent || state == BufferState::kHeld || state == BufferState::kReturned
                 ? std::optional(BufferState::kFree)
                 : std::nullopt;
  }
  return std::nullopt;
}

// The word after `move` by `mover`; nullopt where there is no such move.
constexpr std::optional<BufferWord> AfterMove(BufferWord word, BufferMove move, uint32_t mover) {
  const std::optional<BufferState> state = AfterMove(word.state, move);
  if (!state.has_value()) return std::nullopt;
  if (*state == BufferState::kFree) return BufferWord{*state, (word.generation + 1) & kGenerationMask, 0};
  return BufferWord{*state, word.generation, mover};
}

// One line each, as neighbours are in the hands of different processes.
struct alignas(64) SharedWord {
  std::atomic<uint64_t> bits;
};
static_assert(sizeof(SharedWord) == 64 && std::atomic<uint64_t>::is_always_lock_free);

// For a side that trusts nobody with the word: moves it if it is exactly `expected`.
inline bool TryMove(SharedWord& word, BufferWord expected, BufferMove move, uint32_t mover) {
  const std::optional<BufferWord> next = AfterMove(expected, move, mover);
  uint64_t bits = expected.Pack();
  return next.has_value() && word.bits.compare_exchange_strong(bits, next->Pack(), std::memory_order_acq_rel);
}

// How many buffers are in each state; the last place counts what is no state at all.
using BufferCensus = std::array<size_t, kBufferStates + 1>;

inline BufferCensus Count(const SharedWord* words, size_t count) {
  BufferCensus census{};
  for (size_t i = 0; i < count; ++i) {
    const size_t state = static_cast<size_t>(BufferWord::Unpack(words[i].bits.load(std::memory_order_acquire)).state);
    ++census[state < kBufferStates ? state : kBufferStates];
  }
  return census;
}

}  // namespace agentos

#endif  // AGENTOS_IPC_BUFFER_WORD_H_
