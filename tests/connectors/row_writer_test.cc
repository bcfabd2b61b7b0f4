#include "connectors/format/row_writer.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "tests/connectors/test_rows.h"

namespace freshet {
namespace {
using test::MakeBatch;
using test::MakeSchema;

const SchemaRef kSchema = MakeSchema({{"id", TypeId::kInt64},
                                      {"na\"me", TypeId::kString},
                                      {"x", TypeId::kFloat64},
                                      {"at", TypeId::kTimestamp},
                                      {"ok", TypeId::kBool}});

std::string Write(RowFormat format, const Batch& batch) {
  const RowWriter writer(batch.schema(), format);
  std::string out;
  writer.AppendHeader(&out);
  for (int32_t row = 0; row < batch.row_count(); ++row) writer.AppendRow(batch, row, &out);
  return out;
}

TEST_CASE("RowWriter_Ndjson_WritesTypesNullsAndEscapes") {
  const Batch batch =
      MakeBatch(kSchema, {{int64_t{-5}, std::string("a\"\\\n\x01ü"), 0.1, int64_t{1442018818771000}, true},
                          {std::monostate{}, std::monostate{}, std::monostate{}, std::monostate{}, std::monostate{}},
                          {int64_t{0}, std::string("bad\xff\xc0\xaf."), std::nan(""), int64_t{-1}, false}});
  CHECK(Write(RowFormat::kNdjson, batch) ==
        "{\"id\":-5,\"na\\\"me\":\"a\\\"\\\\\\n\\u0001ü\",\"x\":0.1,\"at\":\"2015-09-12T00:46:58.771Z\",\"ok\":true}\n"
        "{\"id\":null,\"na\\\"me\":null,\"x\":null,\"at\":null,\"ok\":null}\n"
        "{\"id\":0,\"na\\\"me\":\"bad\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd.\",\"x\":null,\"at\":\"1969-12-31T23:59:59."
        "999999Z\",\"ok\":false}\n");
}

TEST_CASE("RowWriter_Csv_KeepsNullAndEmptyApartAndQuotes") {
  const Batch batch = MakeBatch(kSchema, {{int64_t{1}, std::string(""), 2.0, int64_t{0}, true},
                                          {std::monostate{}, std::monostate{}, 1e300, std::monostate{}, false},
                                          {int64_t{3}, std::string("a,\"b\"\nc"), 1.5, int64_t{1500000}, true}});
  CHECK(Write(RowFormat::kCsv, batch) ==
        "id,\"na\"\"me\",x,at,ok\n"
        "1,\"\",2,1970-01-01T00:00:00Z,true\n"
        ",,1e+300,,false\n"
        "3,\"a,\"\"b\"\"\nc\",1.5,1970-01-01T00:00:01.500Z,true\n");
}

TEST_CASE("AppendTimestamp_AnyTime_AgreesWithFormatTime") {
  Rng rng(7);
  for (int i = 0; i < 20000; ++i) {
    const int64_t us = static_cast<int64_t>(rng.Below(uint64_t{8000000000} * 1000000)) - int64_t{4000000000} * 1000000;
    const EventTime time{i % 3 == 0 ? us / 1000000 * 1000000 : i % 3 == 1 ? us / 1000 * 1000 : us};
    std::string text;
    AppendTimestamp(time, &text);
    REQUIRE_MESSAGE(text == FormatTime(time), "us " << time.us);
  }
}

TEST_CASE("RowHash_AnyBatchBoundaries_Equal") {
  Rng rng(11);
  std::vector<test::Row> rows;
  for (int64_t i = 0; i < 257; ++i)
    rows.push_back({rng.Below(4) == 0 ? test::Cell{} : test::Cell{i}, std::string(rng.Below(30), 'x'), rng.NextDouble(),
                    i * 1000, rng.Below(2) == 0});
  const Batch whole = MakeBatch(kSchema, rows);
  RowHash expected;
  expected.Add(whole);
  for (int32_t size : {1, 7, 64, 100}) {
    RowHash hash;
    for (int32_t from = 0; from < whole.row_count(); from += size)
      hash.Add(whole.Slice(from, std::min(size, whole.row_count() - from)));
    CHECK(hash.value() == expected.value());
    CHECK(hash.row_count() == 257);
  }
}

TEST_CASE("RowHash_AnyChange_Differs") {
  const std::vector<test::Row> rows = {{int64_t{1}, std::string("a"), 1.0, int64_t{5}, true},
                                       {int64_t{2}, std::string("b"), 2.0, int64_t{6}, false}};
  const auto hash_of = [](const std::vector<test::Row>& r) {
    RowHash hash;
    hash.Add(MakeBatch(kSchema, r));
    return hash.value();
  };
  const uint64_t base = hash_of(rows);
  CHECK(hash_of({rows[1], rows[0]}) != base);
  CHECK(hash_of({rows[0]}) != base);
  const std::vector<test::Cell> changes = {int64_t{3}, std::string("c"), -1.0, int64_t{7}, false};
  for (size_t c = 0; c < changes.size(); ++c) {
    auto changed = rows;
    changed[0][c] = changes[c];
    CHECK_MESSAGE(hash_of(changed) != base, "column " << c);
    changed[0][c] = std::monostate{};
    CHECK_MESSAGE(hash_of(changed) != base, "null in column " << c);
  }
  // Moving text between neighbouring columns must show.
  const SchemaRef two = MakeSchema({{"a", TypeId::kString}, {"b", TypeId::kString}});
  RowHash left;
  RowHash right;
  left.Add(MakeBatch(two, {{std::string("xy"), std::string("")}}));
  right.Add(MakeBatch(two, {{std::string("x"), std::string("y")}}));
  CHECK(left.value() != right.value());
}

}  // namespace
}  // namespace freshet
