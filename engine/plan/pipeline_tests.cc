#include "engine/plan/pipeline_tests.h"

#include <algorithm>

#include "engine/base/units.h"
#include "engine/options/parse_time.h"

namespace freshet {
namespace {

const std::string kTestKeys[] = {"name", "feed", "expect"};

bool IsSingle(const ConfigValue& value, std::string_view key) {
  return value.is_map() && value.entries.size() == 1 && value.entries[0].key.value == key;
}

class TestReader {
 public:
  explicit TestReader(Diagnostics* diagnostics) : diagnostics_(diagnostics) {}

  PipelineTest Read(const ConfigValue& value) {
    PipelineTest test;
    test.span = value.span();
    for (const ConfigValue::Entry& entry : value.entries) {
      const std::string& key = entry.key.value;
      if (key == "name" && entry.value.is_scalar())
        test.name = entry.value.text();
      else if (key == "feed")
        ReadFeed(entry, &test);
      else if (key == "expect")
        ReadExpect(entry, &test);
      else if (key != "name")
        ReportUnknown(entry.key);
    }
    Require(value, "name", "a test has a `name`: what is it that must hold?");
    Require(value, "feed", "a test has a `feed`: rows for one or more sources");
    Require(value, "expect", "a test without `expect` proves nothing");
    return test;
  }

 private:
  void Error(const SourceSpan& span, std::string message, std::string suggestion = {}) {
    diagnostics_->Error("FR2301", span, std::move(message), std::move(suggestion));
  }

  void ReportUnknown(const SpannedText& key) {
    const std::string near = NearestName(key.value, kTestKeys, std::size(kTestKeys));
    Error(key.span, "a test has no `" + key.value + "`",
          near.empty() ? "a test has name, feed and expect" : "did you mean `" + near + "`?");
  }

  void Require(const ConfigValue& value, std::string_view key, const char* message) {
    const ConfigValue* const found = value.Find(key);
    if (found == nullptr || found->is_null()) Error(value.span(), message);
  }

  void ReadFeed(const ConfigValue::Entry& entry, PipelineTest* test) {
    if (entry.value.is_null()) return;
    if (!entry.value.is_map()) return Error(entry.value.span(), "`feed` wants {SOURCE: [rows]}");
    for (const ConfigValue::Entry& source : entry.value.entries) {
      TestFeed feed;
      feed.source = source.key;
      if (!source.value.is_sequence()) {
        Error(source.key.span, "a source is fed a list of rows", "write `- {column: value, …}` lines");
        continue;
      }
      for (const ConfigValue& item : source.value.items) {
        if (std::optional<TestStep> step = ReadStep(item)) feed.steps.push_back(std::move(*step));
      }
      test->feed.push_back(std::move(feed));
    }
  }

  std::optional<TestStep> ReadStep(const ConfigValue& item) {
    TestStep step;
    step.span = item.span();
    if (IsSingle(item, "advance")) {
      const ConfigValue& to = item.entries[0].value;
      const Result<EventTime> time = to.is_scalar() ? ParseTimeText(to.text()) : Status::InvalidArgument("");
      if (!time.ok()) {
        Error(to.span().known() ? to.span() : item.span(), "`advance` wants the time to which the watermark moves",
              "write a time such as 2024-05-01T12:30:00Z");
        return std::nullopt;
      }
      step.kind = TestStep::Kind::kAdvance;
      step.advance = *time;
      return step;
    }
    if (IsSingle(item, "idle")) {
      step.kind = TestStep::Kind::kIdle;
      return step;
    }
    std::optional<TestRow> row = ReadRow(item);
    if (!row) return std::nullopt;
    step.row = std::move(*row);
    return step;
  }

  std::optional<TestRow> ReadRow(const ConfigValue& item) {
    if (!item.is_map()) {
      Error(item.span(), "a row is a map of `column: value`");
      return std::nullopt;
    }
    return TestRow{item.span(), item.entries};
  }

  void ReadExpect(const ConfigValue::Entry& entry, PipelineTest* test) {
    if (entry.value.is_null()) return;
    if (!entry.value.is_map() || entry.value.entries.empty()) {
      return Error(entry.key.span, "`expect` wants {NODE: [rows]} or {NODE: {never: true}}");
    }
    for (const ConfigValue::Entry& target : entry.value.entries) {
      TestExpectation expectation;
      expectation.target = target.key;
      const size_t dot = target.key.value.find('.');
      expectation.node = target.key.value.substr(0, dot);
      if (dot != std::string::npos) expectation.output = target.key.value.substr(dot + 1);
      if (!ReadRows(target, &expectation.rows)) continue;
      test->expect.push_back(std::move(expectation));
    }
  }

  bool ReadRows(const ConfigValue::Entry& target, std::vector<TestRow>* rows) {
    const ConfigValue& value = target.value;
    if (IsSingle(value, "never")) return true;
    if (!value.is_sequence()) {
      Error(target.key.span, "`" + target.key.value + "` wants a list of rows, or {never: true}");
      return false;
    }
    for (const ConfigValue& item : value.items) {
      if (IsSingle(item, "never") && value.items.size() == 1) return true;
      if (std::optional<TestRow> row = ReadRow(item)) rows->push_back(std::move(*row));
    }
    return true;
  }

  Diagnostics* diagnostics_;
};

}  // namespace

std::vector<PipelineTest> ReadTests(const ConfigValue& section, Diagnostics* diagnostics) {
  std::vector<PipelineTest> tests;
  if (section.is_null() || section.broken) return tests;
  if (!section.is_sequence()) {
    diagnostics->Error("FR2301", section.span(), "`tests` wants a list", "write `- name: …` for each test");
    return tests;
  }
  for (const ConfigValue& item : section.items) {
    if (item.is_map())
      tests.push_back(TestReader(diagnostics).Read(item));
    else
      diagnostics->Error("FR2301", item.span(), "a test is a map of name, feed and expect");
  }
  return tests;
}

}  // namespace freshet
