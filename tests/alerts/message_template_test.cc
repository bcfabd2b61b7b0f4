// Messages for people: columns in braces.
#include "operators/alert/message_template.h"

#include <doctest/doctest.h>

#include "tests/operators/test_rows.h"

namespace freshet::testing {
namespace {

const Schema kSchema({{"id", TypeId::kString},
                      {"n", TypeId::kInt64},
                      {"x", TypeId::kFloat64},
                      {"ok", TypeId::kBool},
                      {"at", TypeId::kTimestamp},
                      {"a:.1f", TypeId::kString}});

std::string Render(const std::string& text, std::vector<TestCell> cells) {
  Diagnostics diagnostics;
  const auto message = MessageTemplate::Parse({text, {}, {}}, kSchema, &diagnostics);
  REQUIRE_MESSAGE(message.has_value(), diagnostics.Render());
  return message->Render(MakeRows(kSchema, {{.time_us = 0, .cells = std::move(cells)}}), 0);
}
std::vector<TestCell> Sample(TestCell x = 1.5) {
  return {"v1", 42, std::move(x), true, int64_t{1442018818771000}, "odd"};
}

std::string Faults(const std::string& text) {
  Diagnostics diagnostics;
  CHECK_FALSE(MessageTemplate::Parse({text, {}, {}}, kSchema, &diagnostics));
  return diagnostics.Render();
}

TEST_CASE("Message_Values_AreWrittenForPeople") {
  CHECK(Render("{id} has {n} at {at}: {ok}", Sample()) == "v1 has 42 at 2015-09-12T00:46:58.771Z: true");
  CHECK(Render("{x}|{x:.0f}|{x:.3f}|{n:.2f}", Sample(2.5)) == "2.5|2|2.500|42.00");
  CHECK(Render("{id}{n}{x}{ok}{at}", {nullptr, nullptr, nullptr, nullptr, nullptr, nullptr}) == "-----");
  CHECK(Render("nothing", Sample()) == "nothing");
  CHECK(Render("", Sample()) == "");
  CHECK(Render("{a:.1f}", Sample()) == "odd");  // a column's own name goes first
}

TEST_CASE("Message_Numbers_SixDigitsAndNoExponentBelowAQuadrillion") {
  CHECK(Render("{x}", Sample(0.1 + 0.2)) == "0.3");
  CHECK(Render("{x}", Sample(123456.7)) == "123457");
  CHECK(Render("{x}", Sample(1234567.8)) == "1234568");
  CHECK(Render("{x}", Sample(-98765432109.4)) == "-98765432109");
  CHECK(Render("{x}", Sample(1e300)) == "1e+300");
  CHECK(Render("{x}", Sample(1e-9)) == "1e-09");
}

TEST_CASE("Message_LargestDoubleWithAllDecimals_IsWrittenWhole") {
  const std::string text = Render("{x:.17f}", Sample(-1.7976931348623157e308));
  CHECK(text.size() == 1 + 309 + 1 + 17);
  CHECK(text.substr(0, 5) == "-1797");
  CHECK(text.substr(text.size() - 18) == ".00000000000000000");
}

TEST_CASE("Message_DoubledBraces_AreBraces") { CHECK(Render("{{{n}}} {{}} aabb", Sample()) == "{42} {} aabb"); }

TEST_CASE("Message_Mistakes_AreNamedAtTheirPlace") {
  const std::string unknown = Faults("{idd} and {m}");
  CHECK(unknown.find("FR3401") != std::string::npos);
  CHECK(unknown.find("no column `idd`") != std::string::npos);
  CHECK(unknown.find("did you mean `id`?") != std::string::npos);
  CHECK(unknown.find("no column `m`") != std::string::npos);
  CHECK(Faults("{id").find("FR3402") != std::string::npos);
  CHECK(Faults("id}").find("FR3402") != std::string::npos);
  CHECK(Faults("{}").find("FR3401") != std::string::npos);
  for (const char* form : {"{x:.2}", "{x:2f}", "{x:.f}", "{x:.18f}", "{x:.-1f}", "{x:}", "{x:>5}"}) {
    CAPTURE(std::string(form));
    const std::string fault = Faults(form);
    CHECK(fault.find("FR3405") != std::string::npos);
    CHECK(fault.find("FR3401") == std::string::npos);
  }
}

}  // namespace
}  // namespace freshet::testing
