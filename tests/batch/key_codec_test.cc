#include "engine/batch/key_codec.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "engine/base/rng.h"

namespace freshet {
namespace {

/// Our own reading of Flink's MathUtils.murmurHash, in Java's arithmetic: signed ints that wrap, >>> as unsigned shift.
int32_t JavaMultiply(int32_t a, int32_t b) { return static_cast<int32_t>(int64_t{a} * int64_t{b}); }
int32_t JavaShiftRight(int32_t a, int n) { return static_cast<int32_t>((int64_t{a} & 0xffffffffLL) >> n); }
int32_t JavaRotateLeft(int32_t a, int n) {
  return static_cast<int32_t>(((int64_t{a} & 0xffffffffLL) << n) | JavaShiftRight(a, 32 - n));
}
int32_t FlinkMurmur(int32_t code) {
  code = JavaMultiply(code, static_cast<int32_t>(0xcc9e2d51));
  code = JavaRotateLeft(code, 15);
  code = JavaMultiply(code, 0x1b873593);
  code = JavaRotateLeft(code, 13);
  code = static_cast<int32_t>(int64_t{JavaMultiply(code, 5)} + static_cast<int32_t>(0xe6546b64));
  code ^= 4;
  code ^= JavaShiftRight(code, 16);
  code = JavaMultiply(code, static_cast<int32_t>(0x85ebca6b));
  code ^= JavaShiftRight(code, 13);
  code = JavaMultiply(code, static_cast<int32_t>(0xc2b2ae35));
  code ^= JavaShiftRight(code, 16);
  if (code >= 0) return code;
  return code != INT32_MIN ? -code : 0;
}

TEST_CASE("KeyGroupOf_EqualsFlinksMurmurHash") {
  Rng rng(1);
  for (int i = 0; i < 200000; ++i) {
    const auto hash = static_cast<uint32_t>(rng.Next());
    REQUIRE(KeyGroupOf(hash) == FlinkMurmur(static_cast<int32_t>(hash)) % 128);
  }
}

TEST_CASE("KeyGroupOf_TenVectors_AreFrozen") {
  struct Vector {
    uint32_t hash;
    uint16_t key_group;
  };
  // The table of engine/state/FORMAT.md.
  constexpr Vector kVectors[] = {{0x00000000u, 94}, {0x00000001u, 86}, {0x00000002u, 127}, {0x0000002au, 29},
                                 {0x0000007fu, 27}, {0x00000080u, 41}, {0x7fffffffu, 62},  {0x80000000u, 108},
                                 {0xdeadbeefu, 36}, {0xffffffffu, 80}};
  for (const Vector& v : kVectors) {
    CAPTURE(v.hash);
    CHECK(KeyGroupOf(v.hash) == v.key_group);
    CHECK(FlinkMurmur(static_cast<int32_t>(v.hash)) % 128 == v.key_group);
  }
  CHECK(HashKey("") == 0x38d394c2u);  // low half of XXH3-64's published value for no input, 2d06800538d394c2
}

TEST_CASE("LaneOfKeyGroup_Ranges_CoverEveryGroupOnce") {
  for (int lanes = 1; lanes <= 128; ++lanes) {
    CHECK(FirstKeyGroup(0, lanes) == 0);
    CHECK(FirstKeyGroup(lanes, lanes) == 128);
    for (uint16_t group = 0; group < 128; ++group) {
      const int lane = LaneOfKeyGroup(group, lanes);
      REQUIRE(lane >= 0);
      REQUIRE(lane < lanes);
      REQUIRE(FirstKeyGroup(lane, lanes) <= group);
      REQUIRE(group < FirstKeyGroup(lane + 1, lanes));
    }
  }
}

/// One value of a key column, with nulls, edges and zero bytes often.
void AppendKeyCell(ColumnBuilder& builder, Rng& rng) {
  constexpr double kDoubles[] = {0.0,
                                 -0.0,
                                 1.0,
                                 -1.0,
                                 1e300,
                                 -1e300,
                                 5e-324,
                                 -5e-324,
                                 std::numeric_limits<double>::infinity(),
                                 -std::numeric_limits<double>::infinity(),
                                 std::numeric_limits<double>::quiet_NaN()};
  constexpr int64_t kIntegers[] = {0, 1, -1, INT64_MIN, INT64_MAX, 255, 256, -256};
  if (rng.Below(6) == 0) return builder.AppendNull();
  switch (builder.type()) {
    case TypeId::kBool:
      return builder.AppendBool(rng.Below(2) == 1);
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      return builder.AppendInt64(kIntegers[rng.Below(std::size(kIntegers))]);
    case TypeId::kFloat64:
      return builder.AppendFloat64(kDoubles[rng.Below(std::size(kDoubles))]);
    default: {
      constexpr char kLetters[] = {'\0', '\1', '\xff', 'a'};
      std::string text;
      for (uint64_t n = rng.Below(4); n > 0; --n) text.push_back(kLetters[rng.Below(4)]);
      return builder.AppendString(text);
    }
  }
}

/// -1, 0, 1 as the values are ordered: null first, NaN last, strings by unsigned bytes.
int Compare(const Column& column, int32_t a, int32_t b) {
  const auto sign = [](auto x, auto y) { return x < y ? -1 : (y < x ? 1 : 0); };
  if (column.IsNull(a) || column.IsNull(b)) return sign(column.IsValid(a), column.IsValid(b));
  switch (column.type()) {
    case TypeId::kBool:
      return sign(column.BoolAt(a), column.BoolAt(b));
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      return sign(column.int64s()[a], column.int64s()[b]);
    case TypeId::kFloat64: {
      const double x = column.float64s()[a];
      const double y = column.float64s()[b];
      if (std::isnan(x) || std::isnan(y)) return sign(std::isnan(x), std::isnan(y));
      return sign(x, y);
    }
    default:
      return sign(column.StringAt(a), column.StringAt(b));
  }
}

TEST_CASE("KeyCodec_RandomKeys_OrderAsTheirValuesAndReadBack") {
  constexpr TypeId kKeyTypes[] = {TypeId::kBool,   TypeId::kInt64,     TypeId::kFloat64,
                                  TypeId::kString, TypeId::kTimestamp, TypeId::kJson};
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    constexpr int32_t kRows = 120;
    std::vector<Field> fields;
    std::vector<Column> columns;
    std::vector<int> key_columns;
    for (uint64_t c = 0; c < 1 + rng.Below(3); ++c) {
      const TypeId type = kKeyTypes[rng.Below(std::size(kKeyTypes))];
      ColumnBuilder builder(type);
      for (int32_t row = 0; row < kRows + 3; ++row) AppendKeyCell(builder, rng);
      fields.push_back({"c" + std::to_string(c), type});
      columns.push_back(builder.Finish());
      key_columns.insert(key_columns.begin(), static_cast<int>(c));
    }
    const Batch batch = Batch(std::make_shared<Schema>(fields), columns, kRows + 3, {}).Slice(3, kRows);
    const KeyCodec codec(*batch.schema(), key_columns);
    EncodedKeys keys;
    keys.Encode(codec, batch);
    std::vector<ColumnBuilder> builders;
    for (const TypeId type : codec.types()) builders.emplace_back(type);
    for (int32_t row = 0; row < kRows; ++row) {
      REQUIRE(codec.Decode(keys.key(row), builders));
      REQUIRE(keys.hash(row) == HashKey(keys.key(row)));
    }
    std::vector<Column> decoded;
    for (ColumnBuilder& builder : builders) decoded.push_back(builder.Finish());
    for (int32_t a = 0; a < kRows; ++a) {
      for (int32_t b = 0; b < kRows; ++b) {
        int expected = 0;
        for (const int c : key_columns)
          if (expected == 0) expected = Compare(batch.column(c), a, b);
        const int got = keys.key(a).compare(keys.key(b));
        REQUIRE((got < 0 ? -1 : (got > 0 ? 1 : 0)) == expected);
      }
      for (size_t i = 0; i < key_columns.size(); ++i) {
        Column both = ConcatColumns(
            codec.types()[i], std::vector<Column>{batch.column(key_columns[i]).Slice(a, 1), decoded[i].Slice(a, 1)});
        REQUIRE(Compare(both, 0, 1) == 0);
      }
    }
  }
}

TEST_CASE("KeyCodec_Bytes_AreFrozen") {
  const Schema schema({{"i", TypeId::kInt64},
                       {"f", TypeId::kFloat64},
                       {"s", TypeId::kString},
                       {"t", TypeId::kString},
                       {"b", TypeId::kBool}});
  std::vector<Column> columns;
  for (const Field& field : schema.fields()) {
    ColumnBuilder builder(field.type);
    switch (field.type) {
      case TypeId::kInt64:
        builder.AppendInt64(-2);
        break;
      case TypeId::kFloat64:
        builder.AppendFloat64(1.5);
        break;
      case TypeId::kBool:
        builder.AppendBool(true);
        break;
      default:
        builder.AppendString(std::string_view("a\0b", 3));
    }
    columns.push_back(builder.Finish());
  }
  const Batch batch(std::make_shared<Schema>(schema), columns, 1, {});
  const auto key_of = [&](std::vector<int> key) {
    std::string bytes;
    KeyCodec(schema, std::move(key)).Encode(batch, 0, bytes);
    return bytes;
  };
  using namespace std::string_literals;
  CHECK(key_of({0}) == "\x01\x7f\xff\xff\xff\xff\xff\xff\xfe"s);
  CHECK(key_of({1}) == "\x01\xbf\xf8\x00\x00\x00\x00\x00\x00"s);
  CHECK(key_of({2}) == "\x01"s + "a\0b"s);
  CHECK(key_of({2, 4}) == "\x01"s + "a\0\xff"s + "b\0\x01\x01\x01"s);
  CHECK(key_of({}).empty());
}

TEST_CASE("KeyCodec_ForeignBytes_AreRefused") {
  const Schema schema({{"i", TypeId::kInt64}, {"s", TypeId::kString}});
  using namespace std::string_literals;
  const auto decodes = [&](std::vector<int> key, const std::string& bytes) {
    const KeyCodec codec(schema, std::move(key));
    std::vector<ColumnBuilder> builders;
    for (const TypeId type : codec.types()) builders.emplace_back(type);
    return codec.Decode(bytes, builders);
  };
  CHECK(decodes({0}, "\0"s));
  CHECK(decodes({1, 0}, "\x01"s + "ab\0\x01\0"s));
  CHECK_FALSE(decodes({0}, ""));
  CHECK_FALSE(decodes({0}, "\x01short"s));
  CHECK_FALSE(decodes({0}, "\0x"s));
  CHECK_FALSE(decodes({0}, "\x02"s + "12345678"s));
  CHECK_FALSE(decodes({1, 0}, "\x01no end"s));
  CHECK_FALSE(decodes({1, 0}, "\x01"s + "a\0"s));
  CHECK_FALSE(decodes({1, 0}, "\x01"s + "a\0\x05\0\x01\0"s));
  CHECK_FALSE(decodes({}, "x"));
}

}  // namespace
}  // namespace freshet
