#include <doctest/doctest.h>

#include "engine/base/rng.h"
#include "tests/format/decode_support.h"

namespace freshet::testing {
namespace {

const std::vector<Col> kColumns = {{"id", TypeId::kInt64}, {"text", TypeId::kString}, {"x", TypeId::kFloat64}};

TEST_CASE("Csv_QuotesAndLineFeedsInFields_AreOneRecord") {
  const std::string bytes =
      "\xef\xbb\xbfid,text,x\r\n1,\"a, \"\"b\"\"\r\nc\",2.5\r\n2,plain \"quotes\",\r\n\r\n3,\"\",-1e3";
  CHECK(TranscriptOf(CsvFormat(kColumns), bytes) ==
        "1@2 id=1 text=[a, \"b\"\r\nc] x=2.5\n2@4 id=2 text=[plain \"quotes\"] x=null\n4@6 id=3 text=[] "
        "x=-1000\nrecords 5 lines 5 skipped 2\n");
}

TEST_CASE("Csv_HeaderOrderAndNames_MapColumns") {
  const std::vector<Col> columns = {{"id", TypeId::kInt64, {"Video ID"}}, {"gone", TypeId::kString}};
  CHECK(TranscriptOf(CsvFormat(columns), "extra,\"Video ID\"\nfoo,7\n") ==
        "1@2 id=7 gone=null\nrecords 2 lines 2 skipped 1\n");
}

TEST_CASE("Csv_WithoutHeader_ColumnsComeInOrder") {
  CHECK(TranscriptOf(CsvFormat(kColumns, kRecordBytesMaxDefault, false, ';'), "1;a;2\n") ==
        "0@1 id=1 text=[a] x=2\nrecords 1 lines 1 skipped 0\n");
}

TEST_CASE("Csv_EachBadRecord_IsDeadAlone") {
  const std::string bytes =
      "id,text,x\n"
      "1,a\n"
      "2,b,3,4\n"
      "x,c,1\n"
      "3,\"d\"e,1\n"
      "4,\xff,1\n"
      "5,ok,nan\n"
      "6,fine,+7\n";
  CHECK(TranscriptOf(CsvFormat(kColumns), bytes) ==
        "1@2 dead missing: expected 3 fields, found 2 | 1,a\n"
        "2@3 dead extra: expected 3 fields, found 4 | 2,b,3,4\n"
        "3@4 dead wrong_type: id: expected int64, found \"x\" | x,c,1\n"
        "4@5 dead torn_csv: text follows a closing quote | 3,\"d\"e,1\n"
        "5@6 dead invalid_utf8: the record is not UTF-8 text | 4,\xff,1\n"
        "6@7 dead wrong_type: x: expected float64, found \"nan\" | 5,ok,nan\n"
        "7@8 id=6 text=[fine] x=7\n"
        "records 8 lines 8 skipped 1\n");
}

TEST_CASE("Csv_QuoteOpenAtTheEnd_IsOneTornRecord") {
  CHECK(TranscriptOf(CsvFormat(kColumns), "id,text,x\n1,a,1\n2,\"open,1\n2,b,2\n") ==
        "1@2 id=1 text=[a] x=1\n2@3 dead torn_csv: a quote is opened and not closed | 2,\"open,1\n2,b,2\n"
        "records 3 lines 4 skipped 1\n");
}

TEST_CASE("Csv_QuoteThatSwallowsTooMuch_CostsOneLine") {
  CHECK(
      TranscriptOf(CsvFormat(kColumns, 20), "id,text,x\n1,\"open,1\n2,b,2\n3,c,3\n4,d,4\n") ==
      "1@2 dead torn_csv: a quote is opened and not closed | 1,\"open,1\n2@3 id=2 text=[b] x=2\n3@4 id=3 text=[c] x=3\n"
      "4@5 id=4 text=[d] x=4\nrecords 5 lines 5 skipped 1\n");
}

TEST_CASE("Csv_Types_ReadWhatPeopleWrite") {
  const std::vector<Col> columns = {
      {"b", TypeId::kBool},        {"i", TypeId::kInt64},
      {"t", TypeId::kTimestamp},   {"d", TypeId::kTimestamp, {}, true, "%d.%m.%Y", "Europe/Berlin"},
      {"l", TypeId::kListFloat64}, {"j", TypeId::kJson}};
  CHECK(TranscriptOf(CsvFormat(columns),
                     "b,i,t,d,l,j\nTrue, 12 ,1500000000,01.07.2017,\"[1, 2]\",\"{\"\"a\"\":1}\"\nno,5.0,2017-07-14 "
                     "02:40:00,1.1.2017,[],7\n") ==
        "1@2 b=true i=12 t=1500000000000000 d=1498860000000000 l=<1.000000;2.000000;> j=[{\"a\":1}]\n"
        "2@3 b=false i=5 t=1500000000000000 d=1483225200000000 l=<> j=[7]\nrecords 3 lines 3 skipped 1\n");
}

/// Reads csv one character at a time.
std::vector<std::vector<std::string>> OracleRecords(const std::string& bytes) {
  std::vector<std::vector<std::string>> records;
  std::vector<std::string> record{""};
  bool quoted = false, started = false;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (quoted) {
      if (c != '"')
        record.back() += c;
      else if (i + 1 < bytes.size() && bytes[i + 1] == '"')
        record.back() += bytes[++i];
      else
        quoted = false;
    } else if (c == '"' && !started) {
      quoted = true;
    } else if (c == ',') {
      record.emplace_back();
      started = false;
      continue;
    } else if (c == '\n') {
      records.push_back(record);
      record = {""};
      started = false;
      continue;
    } else if (c != '\r') {
      record.back() += c;
    }
    started = true;
  }
  if (record.size() > 1 || !record[0].empty()) records.push_back(record);
  return records;
}

TEST_CASE("Csv_RandomRecords_RoundTripAgainstAnOracle") {
  const uint64_t seed = 7;
  MESSAGE("seed " << seed);
  Rng rng(seed);
  const SourceFormat format = CsvFormat({{"a", TypeId::kString}, {"b", TypeId::kString}});
  for (int round = 0; round < 300; ++round) {
    std::string bytes = "a,b\n";
    std::vector<std::pair<std::string, std::string>> expected;
    for (uint64_t n = rng.Below(12); n > 0; --n) {
      std::string values[2];
      for (std::string& value : values) {
        value = "v";
        for (uint64_t k = rng.Below(8); k > 0; --k) value += "ab,\"\n x"[rng.Below(7)];
        std::string quoted = "\"";
        for (const char c : value) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
        const bool plain = value.find_first_of(",\"\n") == std::string::npos && rng.Below(2) == 0;
        bytes += (plain ? value : quoted + "\"") + (&value == values ? "," : rng.Below(2) == 0 ? "\n" : "\r\n");
      }
      expected.emplace_back(values[0], values[1]);
    }
    const DecodedBlock block = DecodeAll(format, bytes);
    const auto oracle = OracleRecords(bytes);
    CAPTURE(bytes);
    REQUIRE(block.dead.empty());
    REQUIRE(block.row_count == static_cast<int32_t>(expected.size()));
    REQUIRE(oracle.size() == expected.size() + 1);
    for (int32_t i = 0; i < block.row_count; ++i) {
      CHECK(block.columns[0].StringAt(i) == expected[static_cast<size_t>(i)].first);
      CHECK(block.columns[1].StringAt(i) == expected[static_cast<size_t>(i)].second);
      CHECK(block.columns[0].StringAt(i) == oracle[static_cast<size_t>(i) + 1][0]);
    }
  }
}

}  // namespace
}  // namespace freshet::testing
