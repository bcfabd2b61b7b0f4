#include "engine/plan/yaml_reader.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <set>
#include <sstream>
#include <tuple>
#include <utility>

#include "engine/base/limits.h"
#include "engine/plan/scalar_places.h"

namespace freshet {
namespace {

/// Ends the parse from inside a callback; never leaves this file.
struct StopReading {};

/// How many parentheses a piece of an expression leaves open; text in single quotes does not count.
int OpenParentheses(std::string_view text) {
  int open = 0;
  bool in_text = false;
  for (const char c : text) {
    if (c == '\'') in_text = !in_text;
    if (!in_text && c == '(') ++open;
    if (!in_text && c == ')') --open;
  }
  return open;
}

void MarkSpan(SourceSpan* span, const std::shared_ptr<const SourceSpan>& use) {
  if (!span->known()) return;
  if (span->used_at == nullptr) {
    span->used_at = use;
    return;
  }
  auto outer = std::make_shared<SourceSpan>(*span->used_at);
  MarkSpan(outer.get(), use);
  span->used_at = std::move(outer);
}

int NodeCount(const ConfigValue& value) {
  int count = 1;
  for (const ConfigValue& item : value.items) count += NodeCount(item);
  for (const ConfigValue::Entry& entry : value.entries) count += NodeCount(entry.value) + 1;
  return count;
}

class Reader final : public YAML::EventHandler {
 public:
  Reader(std::shared_ptr<const SourceText> text, Diagnostics* diagnostics)
      : text_(std::move(text)), lines_(text_->bytes), diagnostics_(diagnostics) {}

  std::optional<ConfigValue> Take() {
    if (!root_) return std::nullopt;
    return std::move(root_);
  }

  SourceSpan SpanOf(size_t begin, size_t end) const {
    const LineTable::Place place = lines_.At(begin);
    const size_t last = std::min(std::max(end, begin + 1), std::max(lines_.LineEnd(begin), begin + 1));
    return {text_, place.line, place.column, static_cast<int32_t>(last - begin), {}};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++document_count_ != 2) return;
    diagnostics_->Error("FR1010", SpanOf(Offset(mark), 0),
                        "a pipeline file holds one document, and a second begins here",
                        "remove the `---`, or make two files");
    throw StopReading();
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Count(1);
    Item item;
    // An empty value's mark is that of whatever follows: no place at all is better.
    const std::string_view rest = std::string_view(text_->bytes).substr(Offset(mark));
    if (rest.starts_with("~") || rest.starts_with("null") || rest.starts_with("Null") || rest.starts_with("NULL")) {
      item.begin = Offset(mark);
      item.end = item.begin + (rest[0] == '~' ? 1 : 4);
      item.value.scalar.span = SpanOf(item.begin, item.end);
    }
    Finish(std::move(item), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const size_t begin = Offset(mark);
    size_t end = begin;
    while (end < text_->bytes.size() &&
           std::string_view(" \t\r\n,]}:").find(text_->bytes[end]) == std::string_view::npos)
      ++end;
    Item item;
    item.begin = begin;
    item.end = end;
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      diagnostics_->Error("FR1005", SpanOf(begin, end),
                          "`" + text_->bytes.substr(begin, end - begin) + "` stands inside what it names");
      item.value.broken = true;
    } else {
      Count(NodeCount(found->second));
      item.value = found->second;
      MarkUsed(&item.value, std::make_shared<const SourceSpan>(SpanOf(begin, end)));
    }
    Finish(std::move(item), 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    Count(1);
    const ScalarPlaces places = LocateScalar(text_->bytes, Offset(mark), text, lines_);
    Item item;
    item.begin = places.begin;
    item.end = places.end;
    item.value.kind = ConfigValue::Kind::kScalar;
    item.value.scalar.value = text;
    item.value.scalar.span = SpanOf(places.begin, places.end);
    item.value.scalar.line_starts = places.pieces;
    item.value.quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    CheckTag(tag, mark);
    Finish(std::move(item), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    Open(ConfigValue::Kind::kSequence, mark, tag, anchor, style);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    Open(ConfigValue::Kind::kMap, mark, tag, anchor, style);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapEnd() override { Close(); }

 private:
  struct Item {
    ConfigValue value;
    size_t begin = 0;
    size_t end = 0;
    bool plain() const { return value.is_scalar() && !value.quoted; }
  };
  struct Pair {
    Item key;
    Item value;
  };
  struct Frame {
    ConfigValue::Kind kind = ConfigValue::Kind::kMap;
    bool flow = false;
    size_t begin = 0;
    YAML::anchor_t anchor = 0;
    std::vector<Item> items;
    std::vector<Pair> pairs;
    std::optional<Item> key;  // read, its value is next
  };

  static size_t Offset(const YAML::Mark& mark) { return static_cast<size_t>(std::max(mark.pos, 0)); }

  void Count(int nodes) {
    node_count_ += nodes;
    if (node_count_ <= kYamlNodeCountMax) return;
    diagnostics_->Error("FR1004", {text_, 0, 0, 1, {}},
                        "the file holds more than " + std::to_string(kYamlNodeCountMax) + " values, aliases counted");
    throw StopReading();
  }

  void CheckTag(const std::string& tag, const YAML::Mark& mark) {
    if (tag.empty() || tag == "?" || tag == "!" || tag.rfind("tag:yaml.org,2002:", 0) == 0) return;
    diagnostics_->Error("FR1008", SpanOf(Offset(mark), Offset(mark) + tag.size()),
                        "YAML tags such as `" + tag + "` have no meaning here",
                        "quote the value if it begins with `!`");
  }

  void Open(ConfigValue::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YAML::EmitterStyle::value style) {
    Count(1);
    CheckTag(tag, mark);
    if (static_cast<int>(stack_.size()) >= kYamlDepthMax) {
      diagnostics_->Error("FR1004", SpanOf(Offset(mark), 0),
                          "values are nested deeper than " + std::to_string(kYamlDepthMax) + " levels");
      throw StopReading();
    }
    Frame frame;
    frame.kind = kind;
    frame.flow = style == YAML::EmitterStyle::Flow;
    frame.begin = Offset(mark);
    frame.anchor = anchor;
    stack_.push_back(std::move(frame));
  }

  void Close() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    Item item;
    item.begin = frame.begin;
    item.end = frame.begin + 1;
    item.value.kind = frame.kind;
    item.value.scalar.span = SpanOf(item.begin, item.end);
    if (frame.kind == ConfigValue::Kind::kSequence) {
      if (frame.flow) JoinItems(&frame.items);
      for (Item& i : frame.items) item.value.items.push_back(std::move(i.value));
    } else {
      if (frame.flow) JoinPairs(&frame.pairs);
      item.value.entries = Entries(std::move(frame.pairs));
    }
    Finish(std::move(item), frame.anchor);
  }

  void Finish(Item item, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = item.value;
    if (stack_.empty()) {
      root_ = std::move(item.value);
      return;
    }
    Frame& frame = stack_.back();
    if (frame.kind == ConfigValue::Kind::kSequence) {
      frame.items.push_back(std::move(item));
    } else if (!frame.key) {
      frame.key = std::move(item);
    } else {
      frame.pairs.push_back({std::move(*frame.key), std::move(item)});
      frame.key.reset();
    }
  }

  void ReportCut(const Item& first, size_t end) {
    diagnostics_->Error("FR1009", SpanOf(first.begin, end), "the expression is cut at a comma",
                        "quote it, or use one line per item");
  }

  /// The file's bytes from the beginning of `item` to `end`, as one plain scalar.
  void Extend(Item* item, size_t end) {
    item->end = end;
    const std::string value = text_->bytes.substr(item->begin, end - item->begin);
    item->value.scalar.line_starts = LocateScalar(text_->bytes, item->begin, value, lines_).pieces;
    item->value.scalar.span = SpanOf(item->begin, end);
    item->value.scalar.value = value;
  }

  /// `[round(x, 2), log1p(y)]` comes as three items: puts the first two together again.
  void JoinItems(std::vector<Item>* items) {
    std::vector<Item> joined;
    for (size_t i = 0; i < items->size(); ++i) {
      Item item = std::move((*items)[i]);
      int open = item.plain() ? OpenParentheses(item.value.text()) : 0;
      if (open > 0) {
        while (open > 0 && i + 1 < items->size() && (*items)[i + 1].plain()) {
          open += OpenParentheses((*items)[i + 1].value.text());
          Extend(&item, (*items)[++i].end);
        }
        ReportCut(item, item.end);
        item.value.broken = open != 0;
      }
      joined.push_back(std::move(item));
    }
    *items = std::move(joined);
  }

  /// `{p99: quantile(lat, 0.99)}` comes with a key `0.99)` that has no value.
  void JoinPairs(std::vector<Pair>* pairs) {
    std::vector<Pair> joined;
    for (size_t i = 0; i < pairs->size(); ++i) {
      Pair pair = std::move((*pairs)[i]);
      int open = pair.value.plain() ? OpenParentheses(pair.value.value.text()) : 0;
      if (open > 0) {
        while (open > 0 && i + 1 < pairs->size() && (*pairs)[i + 1].value.value.is_null() &&
               (*pairs)[i + 1].key.plain()) {
          const Item& next = (*pairs)[++i].key;
          open += OpenParentheses(next.value.text());
          Extend(&pair.value, next.end);
        }
        ReportCut(pair.value, pair.value.end);
        pair.value.value.broken = open != 0;
      }
      joined.push_back(std::move(pair));
    }
    *pairs = std::move(joined);
  }

  std::vector<ConfigValue::Entry> Entries(std::vector<Pair> pairs) {
    std::vector<ConfigValue::Entry> entries;
    std::vector<ConfigValue> merged;
    std::map<std::string, int> lines;
    for (Pair& pair : pairs) {
      const ConfigValue& key = pair.key.value;
      if (!key.is_scalar()) {
        if (!key.broken)
          diagnostics_->Error("FR1007", key.is_null() ? SpanOf(pair.key.begin, 0) : key.span(), "a key must be text");
        continue;
      }
      if (key.text() == "<<" && !key.quoted) {
        AddMerged(std::move(pair.value.value), key.span(), &merged);
        continue;
      }
      const auto [first, is_new] = lines.emplace(key.text(), key.span().line);
      if (!is_new) {
        diagnostics_->Error("FR1003", key.span(), "`" + key.text() + "` is given twice",
                            "the first is on line " + std::to_string(first->second));
        continue;
      }
      entries.push_back({key.scalar, std::move(pair.value.value)});
    }
    for (ConfigValue& map : merged) {
      for (ConfigValue::Entry& entry : map.entries) {
        if (lines.emplace(entry.key.value, 0).second) entries.push_back(std::move(entry));
      }
    }
    return entries;
  }

  void AddMerged(ConfigValue value, const SourceSpan& span, std::vector<ConfigValue>* merged) {
    if (value.broken) return;
    if (value.is_map()) {
      merged->push_back(std::move(value));
      return;
    }
    bool maps = value.is_sequence();
    for (const ConfigValue& item : value.items) maps = maps && item.is_map();
    if (!maps) {
      diagnostics_->Error("FR1006", span, "`<<` merges a map, or a list of maps",
                          "write `<<: *name`, where `&name` marks a map");
      return;
    }
    for (ConfigValue& item : value.items) merged->push_back(std::move(item));
  }

  std::shared_ptr<const SourceText> text_;
  LineTable lines_;
  Diagnostics* diagnostics_;
  std::vector<Frame> stack_;
  std::map<YAML::anchor_t, ConfigValue> anchors_;  // finished ones; an alias to one still open is a cycle
  std::optional<ConfigValue> root_;
  int node_count_ = 0;
  int document_count_ = 0;
};

/// yaml-cpp's words, said for people who write pipelines.
std::pair<std::string, std::string> Explain(const std::string& message) {
  namespace m = YAML::ErrorMsg;
  if (message == m::END_OF_MAP)
    return {"this line does not fit the map above it", "check its indentation, and that every key has its `:`"};
  if (message == m::END_OF_SEQ) return {"this line does not fit the list above it", "check its indentation"};
  if (message == m::END_OF_MAP_FLOW) return {"a `{` is not closed", "write `}`, or a comma between entries"};
  if (message == m::END_OF_SEQ_FLOW) return {"a `[` is not closed", "write `]`, or a comma between items"};
  if (message == m::TAB_IN_INDENTATION) return {"a tab stands in the indentation", "use spaces"};
  if (message == m::UNKNOWN_ANCHOR)
    return {"the alias names no anchor", "an anchor `&name` must stand before its alias `*name`"};
  if (message == m::EOF_IN_SCALAR) return {"a quote is not closed", ""};
  if (message == m::MAP_VALUE) return {"a `:` may not stand here", "quote the value if the colon is part of it"};
  if (message == m::MAP_KEY) return {"a key may not stand here", "check the indentation"};
  if (message == m::BLOCK_ENTRY) return {"a `-` may not stand here", "check the indentation"};
  if (message == m::FLOW_END) return {"a `]` or `}` closes nothing", ""};
  if (message == m::UNKNOWN_TOKEN) return {"a value may not begin with this character", "quote the value"};
  if (message == m::DOC_IN_SCALAR) return {"`---` or `...` stands inside a quoted text", ""};
  if (message.rfind(m::INVALID_ESCAPE, 0) == 0)
    return {message, "in double quotes write \\\\ for a backslash, or use single quotes"};
  return {"the YAML cannot be read: " + message, ""};
}

std::string_view Trimmed(std::string_view line) {
  while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
  while (!line.empty() && (line.back() == ' ' || line.back() == '\t' || line.back() == '\r')) line.remove_suffix(1);
  return line;
}

/// Where a syntax error really is and what it is called: a tab in front of the line, or a line before it that has no
/// colon, make yaml-cpp stumble later over something innocent.
struct SyntaxError {
  size_t begin;
  size_t end;
  std::string code = "FR1002";
  std::string message;
  std::string suggestion;
};

SyntaxError FindMistake(std::string_view bytes, size_t at, const std::string& message) {
  SyntaxError error{at, at + 1, "FR1002", {}, {}};
  if (at < bytes.size() && bytes[at] == ')') {  // [coalesce(x, 'none'), y]: the text 'none' was taken for an item
    error.code = "FR1009";
    error.message = "the expression is cut at a comma";
    error.suggestion = "quote it, or use one line per item";
    return error;
  }
  const size_t line = at == 0 ? 0 : bytes.rfind('\n', at - 1) + 1;
  const size_t text = bytes.find_first_not_of(" \t", line);
  const size_t tab = bytes.find('\t', line);
  if (tab < text) {
    error.begin = tab;
    error.end = tab + 1;
    std::tie(error.message, error.suggestion) = Explain(YAML::ErrorMsg::TAB_IN_INDENTATION);
    return error;
  }
  std::tie(error.message, error.suggestion) = Explain(message);
  if (message != YAML::ErrorMsg::MAP_VALUE || line == 0) return error;
  const size_t before = line == 1 ? 0 : bytes.rfind('\n', line - 2) + 1;
  const std::string_view previous = Trimmed(bytes.substr(before, line - 1 - before));
  const bool word = !previous.empty() && std::string_view("#-?[{\"'|>").find(previous[0]) == std::string_view::npos;
  if (word && previous.find(':') == std::string_view::npos) {
    error.begin = before + bytes.substr(before).find(previous);
    error.end = error.begin + previous.size();
    error.message = "a `:` is missing in this line";
    error.suggestion = "write `key: value`, with a space after the colon";
  }
  return error;
}

}  // namespace

void MarkUsed(ConfigValue* value, const std::shared_ptr<const SourceSpan>& use) {
  MarkSpan(&value->scalar.span, use);
  for (ConfigValue& item : value->items) MarkUsed(&item, use);
  for (ConfigValue::Entry& entry : value->entries) {
    MarkSpan(&entry.key.span, use);
    MarkUsed(&entry.value, use);
  }
}

std::optional<ConfigValue> ReadYaml(std::shared_ptr<const SourceText> text, Diagnostics* diagnostics, size_t begin) {
  Reader reader(text, diagnostics);
  std::string bytes = text->bytes;
  std::fill(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(std::min(begin, bytes.size())), ' ');
  try {
    std::istringstream in(bytes);
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(reader)) {
    }
  } catch (const YAML::Exception& error) {
    const size_t at = error.mark.is_null() ? 0 : std::min(static_cast<size_t>(error.mark.pos), bytes.size());
    const SyntaxError found = FindMistake(bytes, at, error.msg);
    diagnostics->Error(found.code, reader.SpanOf(found.begin, found.end), found.message, found.suggestion);
    return std::nullopt;
  } catch (const StopReading&) {
    return std::nullopt;
  }
  std::optional<ConfigValue> root = reader.Take();
  if (!root) root.emplace();
  return root;
}

}  // namespace freshet
