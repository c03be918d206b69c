#include "agentos/manager/trace_block.h"

#include <zlib.h>

#include <algorithm>

namespace agentos {

namespace {

// Begins with a byte that no text begins with, and holds both ends of a line, which a transfer as text would change.
constexpr char kMagic[] = "\x89\x41\x4f\x53\x54\x52\x0d\x0a";
constexpr size_t kMagicSize = sizeof(kMagic) - 1;

enum HeaderOffset : size_t {
  kSequence = 8,
  kBaseTime = 16,
  kContentLength = 24,
  kRecordCount = 28,
  kContentCrc = 32,
  kHeaderCrc = 36,
};

template <typename Number>
void Store(std::string& bytes, size_t offset, Number number) {
  for (size_t i = 0; i < sizeof(Number); ++i) bytes[offset + i] = static_cast<char>(number >> (8 * i));
}

template <typename Number>
Number Load(absl::string_view bytes, size_t offset) {
  Number number = 0;
  for (size_t i = 0; i < sizeof(Number); ++i) {
    number |= static_cast<Number>(static_cast<Number>(static_cast<uint8_t>(bytes[offset + i])) << (8 * i));
  }
  return number;
}

uint32_t Crc(absl::string_view bytes) {
  return static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

void AppendVarint(size_t number, std::string& to) {
  for (; number >= 0x80; number >>= 7) to.push_back(static_cast<char>(number | 0x80));
  to.push_back(static_cast<char>(number));
}

size_t VarintSize(size_t number) {
  size_t size = 1;
  for (; number >= 0x80; number >>= 7) ++size;
  return size;
}

// False when there is no whole number, or one that no block could hold.
bool TakeVarint(absl::string_view& from, size_t& number) {
  number = 0;
  for (unsigned shift = 0; shift < 21 && !from.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(from.front());
    from.remove_prefix(1);
    number |= static_cast<size_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

// Whether the content is exactly so many records, so that whoever goes through them need not doubt it.
bool IsMadeOf(absl::string_view content, uint32_t records) {
  for (; records > 0; --records) {
    size_t size = 0;
    if (!TakeVarint(content, size) || size > content.size()) return false;
    content.remove_prefix(size);
  }
  return content.empty();
}

}  // namespace

void TraceBlockBuilder::Start(uint64_t sequence, uint64_t base_ns) {
  sequence_ = sequence;
  base_ns_ = base_ns;
  records_ = 0;
  bytes_.reserve(kTraceBlockSize);
  bytes_.assign(kTraceBlockHeaderSize, '\0');
}

bool TraceBlockBuilder::Add(absl::string_view record) {
  if (record.size() > kTraceBlockSize || bytes_.size() + VarintSize(record.size()) + record.size() > kTraceBlockSize)
    return false;
  AppendVarint(record.size(), bytes_);
  bytes_.append(record.data(), record.size());
  ++records_;
  return true;
}

absl::string_view TraceBlockBuilder::Finish() {
  const absl::string_view content = absl::string_view(bytes_).substr(kTraceBlockHeaderSize);
  std::copy_n(kMagic, kMagicSize, bytes_.begin());
  Store<uint64_t>(bytes_, kSequence, sequence_);
  Store<uint64_t>(bytes_, kBaseTime, base_ns_);
  Store<uint32_t>(bytes_, kContentLength, static_cast<uint32_t>(content.size()));
  Store<uint32_t>(bytes_, kRecordCount, records_);
  Store<uint32_t>(bytes_, kContentCrc, Crc(content));
  Store<uint32_t>(bytes_, kHeaderCrc, Crc(absl::string_view(bytes_).substr(0, kHeaderCrc)));
  return bytes_;
}

BlockState TraceBlock::Parse(absl::string_view bytes, TraceBlock& block) {
  bytes = bytes.substr(0, kTraceBlockSize);
  const absl::string_view header = bytes.substr(0, kTraceBlockHeaderSize);
  if (std::all_of(header.begin(), header.end(), [](char byte) { return byte == 0; })) {
    const bool rest_too = std::all_of(bytes.begin(), bytes.end(), [](char byte) { return byte == 0; });
    return rest_too ? BlockState::kEmpty : BlockState::kDamaged;
  }
  if (header.size() < kTraceBlockHeaderSize) {
    const size_t there = std::min(header.size(), kMagicSize);
    return header.substr(0, there) == absl::string_view(kMagic, there) ? BlockState::kCut : BlockState::kDamaged;
  }
  if (header.substr(0, kMagicSize) != absl::string_view(kMagic, kMagicSize) ||
      Load<uint32_t>(header, kHeaderCrc) != Crc(header.substr(0, kHeaderCrc))) {
    return BlockState::kDamaged;
  }
  const auto length = Load<uint32_t>(header, kContentLength);
  if (length > kTraceBlockSize - kTraceBlockHeaderSize) return BlockState::kDamaged;
  if (length > bytes.size() - kTraceBlockHeaderSize) return BlockState::kCut;
  const absl::string_view content = bytes.substr(kTraceBlockHeaderSize, length);
  const auto records = Load<uint32_t>(header, kRecordCount);
  if (Load<uint32_t>(header, kContentCrc) != Crc(content) || !IsMadeOf(content, records)) return BlockState::kDamaged;
  block.sequence_ = Load<uint64_t>(header, kSequence);
  block.base_ns_ = Load<uint64_t>(header, kBaseTime);
  block.records_ = records;
  block.rest_ = content;
  return BlockState::kGood;
}

bool TraceBlock::Next(absl::string_view& record) {
  size_t size = 0;
  if (rest_.empty() || !TakeVarint(rest_, size)) return false;
  record = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return true;
}

}  // namespace agentos
