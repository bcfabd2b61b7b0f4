#include <doctest/doctest.h>

#include "tests/format/decode_support.h"

namespace freshet::testing {
namespace {

const std::vector<Col> kColumns = {{"s", TypeId::kString}, {"i", TypeId::kInt64},     {"d", TypeId::kFloat64},
                                   {"b", TypeId::kBool},   {"t", TypeId::kTimestamp}, {"j", TypeId::kJson}};

std::string Decoded(const std::vector<Col>& columns, std::string_view bytes) {
  const std::string fast = TranscriptOf(NdjsonFormat(columns), bytes);
  const std::string slow = TranscriptOf(NdjsonFormat(columns, kRecordBytesMaxDefault, false), bytes);
  CHECK(fast == slow);
  return slow;
}

TEST_CASE("Ndjson_AllTypes_DecodeToColumns") {
  CHECK(Decoded(kColumns,
                R"({"s":"x\u00e9","i":-7,"d":2.5,"b":true,"t":"2015-09-12T00:46:58.771Z","j":{"a": [1, 2.0]}})"
                "\n") ==
        "0@1 s=[xé] i=-7 d=2.5 b=true t=1442018818771000 j=[{\"a\": [1, 2.0]}]\nrecords 1 lines 1 skipped 0\n");
}

TEST_CASE("Ndjson_AbsentAndNull_AreNull") {
  CHECK(Decoded(kColumns, "{}\n{\"s\":null,\"j\":null,\"i\":null}") ==
        "0@1 s=null i=null d=null b=null t=null j=null\n1@2 s=null i=null d=null b=null t=null j=null\nrecords 2 lines "
        "1 skipped 0\n");
}

TEST_CASE("Ndjson_IntegralDouble_IsInt64") {
  CHECK(
      Decoded({{"i", TypeId::kInt64}},
              "{\"i\":1e3}\n{\"i\":5.0}\n{\"i\":5.5}\n{\"i\":18446744073709551615}\n{\"i\":-9223372036854775808}\n") ==
      "0@1 i=1000\n1@2 i=5\n2@3 dead wrong_type: i: expected int64, found number | {\"i\":5.5}\n"
      "3@4 dead wrong_type: i: expected int64, found number | {\"i\":18446744073709551615}\n4@5 "
      "i=-9223372036854775808\n"
      "records 5 lines 5 skipped 0\n");
}

TEST_CASE("Ndjson_FirstDuplicateKey_Wins") {
  CHECK(Decoded({{"i", TypeId::kInt64}, {"j", TypeId::kJson}},
                "{\"i\":1,\"i\":\"no\",\"j\":[1],\"j\":2}\n{\"i\":1,\"i\":2,\"j\":3,\"j\":4}\n") ==
        "0@1 i=1 j=[[1]]\n1@2 i=1 j=[3]\nrecords 2 lines 2 skipped 0\n");
}

TEST_CASE("Ndjson_NestedPath_ReachesIn") {
  const std::vector<Col> columns = {{"title", TypeId::kString, {"snippet", "title"}},
                                    {"views", TypeId::kInt64, {"stats", "v", "n"}},
                                    {"raw", TypeId::kJson, {"stats"}}};
  CHECK(Decoded(columns, R"({"snippet":{"title":"a","x":1},"stats":{"v":{"n":3}}})"
                         "\n"
                         R"({"snippet":null,"stats":{"v":{}}})"
                         "\n"
                         R"({"snippet":"text"})") ==
        "0@1 title=[a] views=3 raw=[{\"v\":{\"n\":3}}]\n1@2 title=null views=null raw=[{\"v\":{}}]\n"
        "2@3 dead wrong_type: title: expected object at `snippet`, found string | {\"snippet\":\"text\"}\nrecords 3 "
        "lines 2 skipped 0\n");
}

TEST_CASE("Ndjson_EachBadRecord_IsDeadAloneWithItsLine") {
  const std::string bytes =
      "{\"i\":1}\n"
      "{\"i\":\n"
      "\n"
      "  \r\n"
      "{\"i\":\"7\"}\r\n"
      "{\"i\":1,\"s\":\"\xff\"}\n"
      "[1]\n"
      "{\"i\":2}{\"i\":3}\n"
      "{\"t\":\"yesterday\"}\n"
      "{\"i\":01}\n"
      "{\"i\":4}";
  const std::string expected =
      "0@1 i=1 s=null t=null\n"
      "1@2 dead torn_json: the line is not one whole JSON value | {\"i\":\n"
      "4@5 dead wrong_type: i: expected int64, found string | {\"i\":\"7\"}\r\n"
      "5@6 dead invalid_utf8: the line is not UTF-8 text | {\"i\":1,\"s\":\"\xff\"}\n"
      "6@7 dead wrong_type: record: expected object, found array | [1]\n"
      "7@8 dead torn_json: the line is not one whole JSON value | {\"i\":2}{\"i\":3}\n"
      "8@9 dead wrong_type: t: expected timestamp, found \"yesterday\" | {\"t\":\"yesterday\"}\n"
      "9@10 dead torn_json: the line is not one whole JSON value | {\"i\":01}\n"
      "10@11 i=4 s=null t=null\n"
      "records 11 lines 10 skipped 2\n";
  CHECK(Decoded({{"i", TypeId::kInt64}, {"s", TypeId::kString}, {"t", TypeId::kTimestamp}}, bytes) == expected);
}

TEST_CASE("Ndjson_PushDown_DoesNotChangeWhichRecordsDie") {
  std::vector<Col> columns = kColumns;
  const std::string bytes =
      "{\"s\":1}\n{\"i\":\"x\"}\n{\"d\":true}\n{\"b\":0}\n{\"t\":\"?\"}\n{\"s\":\"ok\",\"i\":1}\n";
  const DecodedBlock all = DecodeAll(NdjsonFormat(columns), bytes);
  for (Col& c : columns) c.read = c.name == "i";
  const DecodedBlock few = DecodeAll(NdjsonFormat(columns), bytes);
  REQUIRE(all.dead.size() == 5);
  REQUIRE(few.dead.size() == 5);
  CHECK(few.columns.size() == 1);
  for (size_t i = 0; i < 5; ++i) CHECK(all.dead[i].reason == few.dead[i].reason);
}

TEST_CASE("Ndjson_LineBeyondTheLimit_IsDead") {
  const SourceFormat format = NdjsonFormat({{"s", TypeId::kString}}, 20);
  CHECK(TranscriptOf(format, "{\"s\":\"0123456789ab\"}\n{\"s\":\"0123456789abc\"}\n") ==
        "0@1 s=[0123456789ab]\n1@2 dead line_too_long: 21 bytes, at most 20 (`max_record_bytes`) | "
        "{\"s\":\"0123456789abc\"\nrecords 2 lines 2 skipped 0\n");
}

TEST_CASE("Ndjson_ByteOrderMark_IsSkippedAtTheStartOfAFileOnly") {
  const SourceFormat format = NdjsonFormat({{"i", TypeId::kInt64}});
  CHECK(TranscriptOf(format, "\xef\xbb\xbf{\"i\":1}\n", true) == "0@1 i=1\nrecords 1 lines 1 skipped 0\n");
  CHECK(TranscriptOf(format, "\xef\xbb\xbf{\"i\":1}\n", false).find("dead torn_json") != std::string::npos);
}

TEST_CASE("Ndjson_ListOfNumbers_IsAList") {
  CHECK(Decoded({{"l", TypeId::kListFloat64}}, "{\"l\":[1,2.5]}\n{\"l\":[]}\n{\"l\":[null]}\n") ==
        "0@1 l=<1.000000;2.500000;>\n1@2 l=<>\n2@3 dead wrong_type: l: expected list<float64>, found array | "
        "{\"l\":[null]}\nrecords 3 lines 3 skipped 0\n");
}

TEST_CASE("Ndjson_ManyRowsAndLateNulls_GrowColumns") {
  std::string bytes;
  for (int i = 0; i < 5000; ++i)
    bytes += i % 97 == 96
                 ? "{\"i\":null}\n"
                 : "{\"i\":" + std::to_string(i) + ",\"s\":\"" + std::string(static_cast<size_t>(i % 50), 'x') +
                       "\",\"b\":" + (i % 3 ? "true" : "false") + "}\n";
  const DecodedBlock block = DecodeAll(NdjsonFormat(kColumns), bytes);
  REQUIRE(block.row_count == 5000);
  for (int i = 0; i < 5000; ++i) {
    const auto& c = block.columns;
    if (i % 97 == 96) {
      CHECK(c[1].IsNull(i));
      continue;
    }
    REQUIRE(c[1].IsValid(i));
    CHECK(c[1].int64s()[i] == i);
    CHECK(c[0].StringAt(i).size() == static_cast<size_t>(i % 50));
    CHECK(c[3].BoolAt(i) == (i % 3 != 0));
  }
}

}  // namespace
}  // namespace freshet::testing
