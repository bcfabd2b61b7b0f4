#include "engine/batch/key_codec.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace freshet {
namespace {

constexpr char kNull = 0;
constexpr char kValue = 1;
constexpr uint64_t kSignBit = uint64_t{1} << 63;

void PutBigEndian(std::string& out, uint64_t v) {
  v = __builtin_bswap64(v);
  char raw[8];
  std::memcpy(raw, &v, 8);
  out.append(raw, 8);
}

uint64_t GetBigEndian(const char* bytes) {
  uint64_t v = 0;
  std::memcpy(&v, bytes, 8);
  return __builtin_bswap64(v);
}

uint64_t OrderedBits(double v) {
  if (v == 0) v = 0;  // -0 is 0
  if (std::isnan(v)) v = std::numeric_limits<double>::quiet_NaN();
  const auto bits = std::bit_cast<uint64_t>(v);
  return (bits & kSignBit) != 0 ? ~bits : bits | kSignBit;
}

double FromOrderedBits(uint64_t bits) {
  return std::bit_cast<double>((bits & kSignBit) != 0 ? bits & ~kSignBit : ~bits);
}

void PutEscaped(std::string& out, std::string_view v) {
  for (char c : v) {
    out.push_back(c);
    if (c == 0) out.push_back(static_cast<char>(0xff));
  }
  out.push_back(0);
  out.push_back(1);
}

/// Cuts an escaped string off `key`; false when it does not end.
bool TakeEscaped(std::string_view& key, std::string& out) {
  out.clear();
  for (size_t i = 0; i + 1 <= key.size(); ++i) {
    if (key[i] != 0) {
      out.push_back(key[i]);
      continue;
    }
    if (i + 1 >= key.size()) return false;
    if (key[i + 1] == 1) {
      key.remove_prefix(i + 2);
      return true;
    }
    if (key[i + 1] != static_cast<char>(0xff)) return false;
    out.push_back(0);
    ++i;
  }
  return false;
}

/// In a loop of its own: a hash that reads bytes right after they were written in other pieces waits for the memory.
void HashAll(const char* bytes, const std::vector<size_t>& ends, std::vector<uint32_t>* hashes) {
  for (size_t row = 0; row + 1 < ends.size(); ++row)
    (*hashes)[row] = HashKey({bytes + ends[row], ends[row + 1] - ends[row]});
}

/// One column of text without nulls, the common key.
void EncodeText(const Column& column, int32_t rows, std::string* bytes, std::vector<size_t>* ends,
                std::vector<uint32_t>* hashes) {
  const int32_t* const offsets = column.offsets();
  bytes->resize(static_cast<size_t>(offsets[rows] - offsets[0] + rows + 16));
  ends->resize(static_cast<size_t>(rows) + 1);
  hashes->resize(static_cast<size_t>(rows));
  char* const begin = bytes->data();
  char* out = begin;
  (*ends)[0] = 0;
  for (int32_t row = 0; row < rows; ++row) {
    const std::string_view text = column.StringAt(row);
    *out = kValue;
    // Buffers have spare bytes behind them, and `bytes` too: what is too much is overwritten by the next.
    if (text.size() <= 16)
      std::memcpy(out + 1, text.data(), 16);
    else
      std::memcpy(out + 1, text.data(), text.size());
    out += text.size() + 1;
    (*ends)[static_cast<size_t>(row) + 1] = static_cast<size_t>(out - begin);
  }
  HashAll(begin, *ends, hashes);
}

/// One column of 64-bit integers without nulls.
void EncodeIntegers(const int64_t* values, int32_t rows, std::string* bytes, std::vector<size_t>* ends,
                    std::vector<uint32_t>* hashes) {
  constexpr size_t kSize = 9;
  bytes->resize(kSize * static_cast<size_t>(rows));
  ends->resize(static_cast<size_t>(rows) + 1);
  hashes->resize(static_cast<size_t>(rows));
  char* out = bytes->data();
  (*ends)[0] = 0;
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row, out += kSize) {
    const uint64_t big_endian = __builtin_bswap64(static_cast<uint64_t>(values[row]) ^ kSignBit);
    *out = kValue;
    std::memcpy(out + 1, &big_endian, sizeof big_endian);
    (*ends)[row + 1] = kSize * (row + 1);
  }
  HashAll(bytes->data(), *ends, hashes);
}

}  // namespace

uint64_t HashBytes(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

uint32_t HashKey(std::string_view key) { return static_cast<uint32_t>(XXH3_64bits(key.data(), key.size())); }

uint16_t KeyGroupOf(uint32_t hash) {
  // Murmur3's 32-bit finaliser over one word, as org.apache.flink.util.MathUtils.murmurHash computes it.
  uint32_t code = hash;
  code *= 0xcc9e2d51u;
  code = std::rotl(code, 15);
  code *= 0x1b873593u;
  code = std::rotl(code, 13);
  code = code * 5 + 0xe6546b64u;
  code ^= 4;
  code ^= code >> 16;
  code *= 0x85ebca6bu;
  code ^= code >> 13;
  code *= 0xc2b2ae35u;
  code ^= code >> 16;
  const auto as_signed = static_cast<int32_t>(code);
  const int32_t positive =
      as_signed >= 0 ? as_signed : (as_signed != std::numeric_limits<int32_t>::min() ? -as_signed : 0);
  return static_cast<uint16_t>(positive % kKeyGroupCount);
}

KeyCodec::KeyCodec(const Schema& schema, std::vector<int> columns) : columns_(std::move(columns)) {
  for (int c : columns_) types_.push_back(schema.field(c).type);
}

void KeyCodec::Encode(const Batch& batch, int32_t row, std::string& key) const {
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = batch.column(columns_[i]);
    if (column.IsNull(row)) {
      key.push_back(kNull);
      continue;
    }
    key.push_back(kValue);
    switch (types_[i]) {
      case TypeId::kBool:
        key.push_back(column.BoolAt(row) ? 1 : 0);
        break;
      case TypeId::kInt64:
      case TypeId::kTimestamp:
        PutBigEndian(key, static_cast<uint64_t>(column.int64s()[row]) ^ kSignBit);
        break;
      case TypeId::kFloat64:
        PutBigEndian(key, OrderedBits(column.float64s()[row]));
        break;
      default:
        if (i + 1 == columns_.size())
          key.append(column.StringAt(row));
        else
          PutEscaped(key, column.StringAt(row));
    }
  }
}

bool KeyCodec::Decode(std::string_view key, std::vector<ColumnBuilder>& builders) const {
  std::string text;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (key.empty()) return false;
    const char tag = key[0];
    key.remove_prefix(1);
    if (tag == kNull) {
      builders[i].AppendNull();
      continue;
    }
    if (tag != kValue) return false;
    switch (types_[i]) {
      case TypeId::kBool:
        if (key.empty()) return false;
        builders[i].AppendBool(key[0] != 0);
        key.remove_prefix(1);
        break;
      case TypeId::kInt64:
      case TypeId::kTimestamp:
        if (key.size() < 8) return false;
        builders[i].AppendInt64(static_cast<int64_t>(GetBigEndian(key.data()) ^ kSignBit));
        key.remove_prefix(8);
        break;
      case TypeId::kFloat64:
        if (key.size() < 8) return false;
        builders[i].AppendFloat64(FromOrderedBits(GetBigEndian(key.data())));
        key.remove_prefix(8);
        break;
      default:
        if (i + 1 == columns_.size()) {
          builders[i].AppendString(key);
          key = {};
        } else {
          if (!TakeEscaped(key, text)) return false;
          builders[i].AppendString(text);
        }
    }
  }
  return key.empty();
}

void EncodedKeys::Encode(const KeyCodec& codec, const Batch& batch) {
  const int32_t rows = batch.physical_row_count();
  if (codec.columns().size() == 1 && !batch.column(codec.columns()[0]).may_have_nulls()) {
    const Column& column = batch.column(codec.columns()[0]);
    const TypeId type = codec.types()[0];
    if (IsStringLike(type)) return EncodeText(column, rows, &bytes_, &ends_, &hashes_);
    if (type == TypeId::kInt64 || type == TypeId::kTimestamp)
      return EncodeIntegers(column.int64s(), rows, &bytes_, &ends_, &hashes_);
  }
  bytes_.clear();
  ends_.assign(1, 0);
  for (int32_t row = 0; row < rows; ++row) {
    codec.Encode(batch, row, bytes_);
    ends_.push_back(bytes_.size());
  }
  hashes_.resize(static_cast<size_t>(rows));
  HashAll(bytes_.data(), ends_, &hashes_);
}

}  // namespace freshet
