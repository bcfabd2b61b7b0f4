#include <doctest/doctest.h>

#include "connectors/format/dom_record_decoder.h"
#include "connectors/format/speculative_decoder.h"
#include "engine/base/rng.h"
#include "tests/format/decode_support.h"

namespace freshet::testing {
namespace {

const std::vector<Col> kColumns = {{"s", TypeId::kString},
                                   {"u", TypeId::kString, {}, false},
                                   {"i", TypeId::kInt64},
                                   {"d", TypeId::kFloat64},
                                   {"b", TypeId::kBool},
                                   {"t", TypeId::kTimestamp},
                                   {"j", TypeId::kJson},
                                   {"n", TypeId::kInt64, {"o", "p", "n"}},
                                   {"m", TypeId::kString, {"o", "m"}}};

const char* Pick(Rng& rng, std::initializer_list<const char*> choices) {
  return choices.begin()[rng.Below(choices.size())];
}

std::string RandomString(Rng& rng) {
  if (rng.Below(6) == 0)
    return Pick(rng,
                {"\"\"", "\"\\u00e9\"", "\"a\\\"b\"", "\"\xc3\xa9\xe2\x82\xac\"", "\"\\ud800\"", "\"\x7f\"", "\"null\"",
                 "\"{[,]}:\"", "\"tab\\t\"", "\"2015-09-12T00:46:58Z\"", "\"\\\\\"", "\"a\\/b\"", "\"\\x\""});
  std::string text = "\"";
  for (uint64_t n = rng.Below(40); n > 0; --n) text.push_back(static_cast<char>('a' + rng.Below(26)));
  return text + "\"";
}

std::string RandomNumber(Rng& rng) {
  switch (rng.Below(8)) {
    case 0:
      return Pick(rng, {"0",
                        "-0",
                        "-0.0",
                        "1.0",
                        "1e3",
                        "1E+2",
                        "12e-1",
                        "0.1",
                        "-1.5e10",
                        "9223372036854775807",
                        "9223372036854775808",
                        "-9223372036854775808",
                        "18446744073709551615",
                        "18446744073709551616",
                        "123456789012345678",
                        "1e308",
                        "1e309",
                        "1e-400",
                        "0e99",
                        "0.000000000000000001",
                        "999999999999999999",
                        "1.7976931348623157e308"});
    case 1:
      return Pick(rng, {"01", "-", "+1", ".5", "1.", "1e", "1e+", "--1", "0x1", "1.2.3", "NaN", "Infinity", "-01", "00",
                        "1_0"});
    case 2: {
      std::string digits;
      for (uint64_t n = 1 + rng.Below(19); n > 0; --n) digits.push_back(static_cast<char>('1' + rng.Below(9)));
      return digits + "." + std::to_string(rng.Below(1000000));
    }
    default:
      return std::to_string(static_cast<int64_t>(rng.Next() >> (1 + rng.Below(60))) * (rng.Below(2) == 0 ? 1 : -1));
  }
}

std::string RandomValue(Rng& rng, int depth) {
  switch (rng.Below(depth > 2 ? 5 : 8)) {
    case 0:
    case 1:
      return RandomString(rng);
    case 2:
      return RandomNumber(rng);
    case 3:
      return Pick(rng, {"true", "false", "null", "tru", "nul", "falsey", "True"});
    case 4:
      return Pick(
          rng, {"{}", "[]", "[ ]", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "[[[[]]]]", "{\"a\":1,}", "[1 2]", "]", "}"});
    case 5: {
      std::string text = "[";
      for (uint64_t n = rng.Below(4); n > 0; --n)
        text += RandomValue(rng, depth + 1) + (n > 1 ? Pick(rng, {",", ", ", " ,"}) : "");
      return text + "]";
    }
    default: {
      std::string text = "{";
      for (uint64_t n = rng.Below(3); n > 0; --n)
        text += "\"" + std::string(Pick(rng, {"m", "n", "x", "p"})) + "\":" + RandomValue(rng, depth + 1) +
                (n > 1 ? "," : "");
      return text + "}";
    }
  }
}

/// Mostly what the schema expects, sometimes anything.
std::string ValueFor(Rng& rng, char key) {
  if (rng.Below(60) == 0) return RandomValue(rng, 0);
  if (rng.Below(15) == 0) return "null";
  switch (key) {
    case 's':
    case 'u':
      return RandomString(rng);
    case 'i':
      return rng.Below(10) == 0 ? RandomNumber(rng) : std::to_string(rng.Below(1000000));
    case 'd':
      return RandomNumber(rng);
    case 'b':
      return rng.Below(2) == 0 ? "true" : "false";
    case 't':
      return rng.Below(2) == 0 ? std::to_string(1442018818000 + static_cast<int64_t>(rng.Below(1000000)))
                               : Pick(rng, {"\"2015-09-12T00:46:58.771Z\"", "\"2015-09-12\"", "\"soon\"",
                                            "\"2015-02-30\"", "1442018818.5"});
    case 'o':
      return "{\"p\":{\"n\":" + std::to_string(rng.Below(100)) + "},\"m\":" + RandomString(rng) + "}";
    default:
      return RandomValue(rng, 0);
  }
}

std::string RandomRecord(Rng& rng, const std::string& keys) {
  const char* const colon = rng.Below(30) == 0 ? " : " : ":";
  std::string text = rng.Below(60) == 0 ? " {" : "{";
  for (size_t i = 0; i < keys.size(); ++i) {
    text += (i > 0 ? "," : "") + std::string("\"") + keys[i] + "\"" + colon + ValueFor(rng, keys[i]);
  }
  text += "}";
  if (rng.Below(12) == 0) {  // break it
    const auto at = static_cast<size_t>(rng.Below(text.size()));
    switch (rng.Below(5)) {
      case 0:
        text.erase(at, 1 + rng.Below(3));
        break;
      case 1:
        text.insert(at, 1, "\"{}[]:,\\ 0-e.\t\x01\xff\r"[rng.Below(17)]);
        break;
      case 2:
        text[at] = static_cast<char>(rng.Below(256));
        break;
      case 3:
        text.resize(at);
        break;
      default:
        text += Pick(rng, {"}", " ", "\r", ",", "{}", "x"});
        break;
    }
    for (char& c : text)
      if (c == '\n') c = ' ';
  }
  return text;
}

TEST_CASE("Speculative_RandomAndBrokenRecords_AgreeWithTheDom") {
  const char* const seed_text = std::getenv("FRESHET_TEST_SEED");
  const uint64_t seed = seed_text != nullptr ? std::strtoull(seed_text, nullptr, 10) : 20261123;
  MESSAGE("seed " << seed);
  Rng rng(seed);
  const SourceFormat fast = NdjsonFormat(kColumns, 400);
  const SourceFormat slow = NdjsonFormat(kColumns, 400, false);
  const std::unique_ptr<Decoder> fast_decoder = fast.make_decoder();  // one, so that its layouts come and go
  const std::string shapes[] = {"suidbtjo", "suidbtjo", "suidbtjo", "sidbtj", "ous", "bdtis", "xsyizu", "ss", "iujdd"};
  int64_t rows = 0;
  int64_t dead = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string bytes;
    for (uint64_t n = 1 + rng.Below(24); n > 0; --n) {
      const std::string& shape = shapes[rng.Below(rng.Below(3) == 0 ? 9 : 4)];
      bytes += RandomRecord(rng, shape);
      if (n > 1 || rng.Below(2) == 0) bytes += rng.Below(20) == 0 ? "\r\n" : "\n";
    }
    Transcript a(fast.schema);
    Transcript b(slow.schema);
    DecodedBlock block;
    fast_decoder->Decode(ChunkOf(bytes), &block);
    a.Add(block);
    const DecodedBlock expected = DecodeAll(slow, bytes);
    b.Add(expected);
    rows += block.row_count;
    dead += static_cast<int64_t>(block.dead.size());
    if (a.text() == b.text()) continue;
    CAPTURE(seed);
    CAPTURE(round);
    CAPTURE(bytes);
    REQUIRE(a.text() == b.text());
  }
  CHECK(rows > 5000);
  CHECK(dead > 1000);
}

/// A record of the shape that a run is made of; `broken` ones differ in what only a closer look can tell.
std::string RunRecord(Rng& rng, int broken) {
  const auto text = [&](uint64_t longest) {
    std::string s;
    for (uint64_t n = rng.Below(longest); n > 0; --n) s.push_back(static_cast<char>('a' + rng.Below(26)));
    return s;
  };
  std::string number = std::to_string(rng.Below(uint64_t{1} << (1 + rng.Below(60))));
  if (rng.Below(3) == 0) number = "-" + number;
  std::string decimal = std::to_string(rng.Below(uint64_t{1} << rng.Below(40)));
  if (rng.Below(4) != 0) decimal += "." + std::to_string(rng.Below(1000000));
  std::string s = "\"" + text(rng.Below(20) == 0 ? 60 : 14) + "\"";
  std::string u = "\"" + text(9) + "\"";
  std::string b = rng.Below(2) == 0 ? "true" : "false";
  std::string t = std::to_string(1442018818000 + static_cast<int64_t>(rng.Below(1000000)));
  std::string x = std::to_string(rng.Below(600));
  std::string end = "}";
  switch (broken) {
    case 1:
      s = Pick(rng,
               {"null", "7", "\"\\u00e9\"", "\"a\\\"b\"", "\"tab\there\"", "\"\xff\"", "\"\xc3\xa9\"", "[]", "\"a\" "});
      break;
    case 2:
      number = Pick(rng, {"null", "1.0", "1e2", "01", "-", "", "--1", "1234567890123456789", "9223372036854775808",
                          "12 ", " 12", "1_2", "12345678x", "-0", "\"1\"", "nul", "nulls", "+5", "0x1"});
      break;
    case 3:
      decimal = Pick(rng, {"null", "1.", ".5", "00.5", "01.5", "1..5", "1.5.2", "-1.5", "1e3", "1.5e-3", "1e",
                           "12345.6789012", "123456789012345678.5", "1.5 ", "-", "1.-5", "1.5x", "true"});
      break;
    case 4:
      u = Pick(rng, {"null", "12", "{}", "[1, 2]", "\"\\n\"", "true", "-1.5e3", "01", "tru"});
      break;
    case 5:
      b = Pick(rng, {"null", "True", "1", "\"true\"", "tru", "falsey"});
      break;
    case 6:
      t = Pick(rng, {"null", "\"2015-09-12T00:46:58Z\"", "\"soon\"", "1442018818.5", "-1", "99999999999999999", "x"});
      break;
    case 7:
      x = Pick(rng, {"null", "01", "\"text\"", "{\"a\": 1}", "-", "1.5", "true", "tru", "[", "5 "});
      break;
    case 8:
      end = Pick(rng, {"} ", "}\r", ",\"z\":1}", "", "}}", ",}", "}x"});
      break;
    case 9:
      end = "";
      b += Pick(rng, {"\n", ""});
      break;
    default:
      break;
  }
  return std::string(broken == 10 ? " " : "") + "{\"s\":" + s + ",\"a rather long key\":\"k\",\"i\":" + number +
         ",\"d\":" + decimal + ",\"x\":" + x + ",\"u\":" + u + ",\"b\":" + b + ",\"t\":" + t +
         (broken == 11 ? ",\"s\":\"again\"" : "") + end;
}

TEST_CASE("Speculative_LongRunsWithFewOddRecords_AgreeWithTheDom") {
  const char* const seed_text = std::getenv("FRESHET_TEST_SEED");
  const uint64_t seed = seed_text != nullptr ? std::strtoull(seed_text, nullptr, 10) : 20261124;
  MESSAGE("seed " << seed);
  Rng rng(seed);
  const SourceFormat fast = NdjsonFormat(kColumns, 260);
  const SourceFormat slow = NdjsonFormat(kColumns, 260, false);
  const std::unique_ptr<Decoder> decoder = fast.make_decoder();
  for (int round = 0; round < 150; ++round) {
    const uint64_t odd_one_in = uint64_t{1} << rng.Below(10);
    std::string bytes;
    for (uint64_t n = 1 + rng.Below(round % 10 == 0 ? 1200 : 250); n > 0; --n) {
      bytes += RunRecord(rng, rng.Below(odd_one_in) == 0 ? 1 + static_cast<int>(rng.Below(11)) : 0);
      if (n > 1 || rng.Below(2) == 0) bytes += "\n";
      if (rng.Below(odd_one_in * 4) == 0) bytes += Pick(rng, {"\n", " \n", "\r\n", "x\n"});
    }
    Transcript a(fast.schema);
    DecodedBlock block;
    decoder->Decode(ChunkOf(bytes, round % 7 == 0), &block);
    a.Add(block);
    if (a.text() == TranscriptOf(slow, bytes, round % 7 == 0)) continue;
    CAPTURE(seed);
    CAPTURE(round);
    CAPTURE(bytes);
    REQUIRE(a.text() == TranscriptOf(slow, bytes, round % 7 == 0));
  }
}

TEST_CASE("Speculative_LikeRecords_AreTakenInRuns") {
  const auto schema = SchemaOf(kColumns);
  const JsonFieldTree tree(*schema);
  DomRecordDecoder dom(schema.get(), &tree);
  SpeculativeDecoder speculative(schema.get(), &tree);
  Rng rng(3);
  std::string text;
  std::vector<size_t> lines;  // where they begin
  for (int i = 0; i < 400; ++i) {
    lines.push_back(text.size());
    text += RunRecord(rng, i == 300 ? 2 : 0) + "\n";
  }
  const RawChunk chunk = ChunkOf(text);
  const char* const begin = chunk.bytes.as<const char>();
  RowColumns rows;
  rows.Start(*schema->columns, 10);
  std::string reason;
  REQUIRE(dom.Decode(begin, static_cast<int64_t>(lines[1]) - 1, &rows, &reason) == RecordOutcome::kRow);
  CHECK(speculative.Prepare(begin, begin + text.size()));
  CHECK(speculative.Decode(begin, &rows) == nullptr);
  speculative.Learn(begin, begin + lines[1] - 1);
  const char* p = begin + lines[1];
  size_t line = 1;
  int runs = 0;
  while (line < 300) {
    const int32_t run = speculative.DecodeRun(&p, 1000, &rows);
    REQUIRE(run > 0);
    rows.CommitRows(run);
    line += static_cast<size_t>(run);
    CHECK(p == begin + lines[line]);
    ++runs;
  }
  CHECK(line == 300);
  CHECK(runs <= 8);  // 4, 8, 16, … 128, and what is left before the odd one
  CHECK(speculative.DecodeRun(&p, 1000, &rows) == 0);
}

TEST_CASE("Speculative_LikeRecords_TakeTheFastPath") {
  const auto schema = SchemaOf(kColumns);
  const JsonFieldTree tree(*schema);
  DomRecordDecoder dom(schema.get(), &tree);
  SpeculativeDecoder speculative(schema.get(), &tree);
  RowColumns rows;
  rows.Start(*schema->columns, 100);
  std::string reason;
  const auto fast = [&](const std::string& line) {
    const RawChunk chunk = ChunkOf(line + "\n");
    const char* const p = chunk.bytes.as<const char>();
    CHECK(speculative.Prepare(p, p + chunk.size));
    const char* const end = speculative.Decode(p, &rows);
    if (end != nullptr) {
      CHECK(end == p + line.size());
      return true;
    }
    if (dom.Decode(p, static_cast<int64_t>(line.size()), &rows, &reason) == RecordOutcome::kRow)
      speculative.Learn(p, p + line.size());
    return false;
  };
  CHECK_FALSE(fast(R"({"s": "a", "i": 1, "o": {"p": {"n": 2}, "m": null}, "x": [1, {"y": 2}]})"));
  CHECK(fast(
      R"({"s": "a longer text than sixteen bytes", "i": -1234567890123, "o": {"p": {"n": 2}, "m": "z"}, "x": {}})"));
  CHECK_FALSE(fast(R"({"s": "a", "i": 1})"));
  CHECK(fast(R"({"s": null, "i": 123456789012345678})"));
  CHECK(fast(R"({"s": "a", "i": 1, "o": {"p": {"n": 2}, "m": null}, "x": null})"));
  CHECK_FALSE(fast(R"({"s": "\n", "i": 1})"));   // an escape
  CHECK_FALSE(fast(R"({"s": "a", "i": "1"})"));  // another type
  CHECK_FALSE(fast(R"({"s": "a", "i": 01})"));   // not JSON
  CHECK(speculative.layout_count() == 2);
  for (const char* line : {R"({"a":1})", R"({"b":1})", R"({"c":1})", R"({"d":1})"}) CHECK_FALSE(fast(line));
  CHECK(speculative.layout_count() == 4);
}

}  // namespace
}  // namespace freshet::testing
