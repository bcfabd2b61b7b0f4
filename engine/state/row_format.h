#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/status.h"
#include "engine/state/checkpoint_store.h"

/// How rows stand in a store, the same in all of them (FORMAT.md). Frozen.
namespace freshet {

/// Key group of the rows that describe the store itself, beyond those that Scan can reach.
inline constexpr uint16_t kStoreKeyGroup = 0xffff;
inline constexpr size_t kRowKeyPrefixBytes = 4;

std::string EncodeRowKey(TableId table, uint16_t key_group, std::string_view key);
/// The key of the manifest row.
const std::string& ManifestRowKey();
/// First four bytes of the key, decoded. REQUIRES: at least kRowKeyPrefixBytes bytes.
TableId TableOfRowKey(std::string_view row_key);
uint16_t KeyGroupOfRowKey(std::string_view row_key);
/// The first key beyond every row of (table, key_group).
std::string RowKeyAfter(TableId table, uint16_t key_group);

/// Low 32 bits of XXH3-64 over the value, seeded with the XXH3-64 of the row key: a row in a wrong place does not
/// verify.
uint32_t RowChecksum(std::string_view row_key, std::string_view value);
/// The value inside a frame; DataLoss if the checksum does not match.
Result<std::string_view> UnframeValue(std::string_view row_key, std::string_view framed);

}  // namespace freshet
