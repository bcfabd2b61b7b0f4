#include "engine/state/row_format.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>

namespace freshet {
namespace {

uint16_t BigEndian16(const char* bytes) {
  return static_cast<uint16_t>((static_cast<uint8_t>(bytes[0]) << 8) | static_cast<uint8_t>(bytes[1]));
}

}  // namespace

std::string EncodeRowKey(TableId table, uint16_t key_group, std::string_view key) {
  std::string out;
  out.reserve(kRowKeyPrefixBytes + key.size());
  out.push_back(static_cast<char>(table >> 8));
  out.push_back(static_cast<char>(table));
  out.push_back(static_cast<char>(key_group >> 8));
  out.push_back(static_cast<char>(key_group));
  out.append(key);
  return out;
}

const std::string& ManifestRowKey() {
  static const std::string* const key = new std::string(EncodeRowKey(kEngineTable, kStoreKeyGroup, "manifest"));
  return *key;
}

TableId TableOfRowKey(std::string_view row_key) { return BigEndian16(row_key.data()); }
uint16_t KeyGroupOfRowKey(std::string_view row_key) { return BigEndian16(row_key.data() + 2); }

std::string RowKeyAfter(TableId table, uint16_t key_group) {
  const uint32_t next = ((uint32_t{table} << 16) | key_group) + 1;
  if (next == 0) return std::string(kRowKeyPrefixBytes + 1, '\xff');
  return EncodeRowKey(static_cast<TableId>(next >> 16), static_cast<uint16_t>(next), {});
}

uint32_t RowChecksum(std::string_view row_key, std::string_view value) {
  const uint64_t seed = XXH3_64bits(row_key.data(), row_key.size());
  return static_cast<uint32_t>(XXH3_64bits_withSeed(value.data(), value.size(), seed));
}

Result<std::string_view> UnframeValue(std::string_view row_key, std::string_view framed) {
  if (framed.size() < EpochRows::kFrameBytes) return Status::DataLoss("a state row is cut short");
  uint32_t stored = 0;
  std::memcpy(&stored, framed.data(), sizeof stored);
  const std::string_view value = framed.substr(EpochRows::kFrameBytes);
  if (stored != RowChecksum(row_key, value)) return Status::DataLoss("a state row fails its checksum");
  return value;
}

}  // namespace freshet
