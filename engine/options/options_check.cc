// OptionsNode::Make: what a file says against what a node type declares, with every problem at its place.
#include <algorithm>
#include <cassert>
#include <charconv>
#include <cmath>

#include "engine/base/units.h"
#include "engine/options/option_values.h"
#include "engine/options/options_node.h"
#include "engine/options/parse_time.h"

namespace freshet {

std::optional<int64_t> ParseInt(std::string_view text) {
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    // 1_000_000 reads as a number, as in C++'s 1'000'000; the underscore stands between digits only.
    const bool between = i > 0 && i + 1 < text.size() && text[i - 1] != '_' && text[i - 1] != '-';
    if (text[i] == '_' && between) continue;
    digits += text[i];
  }
  int64_t value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::optional<double> ParseFloat(std::string_view text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

namespace {

const char* WhatIsExpected(OptionKind kind) {
  switch (kind) {
    case OptionKind::kString:
      return "text";
    case OptionKind::kName:
      return "the name of a column";
    case OptionKind::kInt:
      return "a whole number";
    case OptionKind::kFloat:
      return "a number";
    case OptionKind::kBool:
      return "true or false";
    case OptionKind::kDuration:
      return "a duration such as 10s, 5m or 1h";
    case OptionKind::kSize:
      return "a size such as 64KiB or 8MiB";
    case OptionKind::kTime:
      return "a time such as 2024-05-01 or 2024-05-01T12:30:00Z";
    case OptionKind::kEnum:
      return "one word";
    case OptionKind::kExpr:
      return "an expression";
    case OptionKind::kNameList:
      return "a name or a list of names";
    case OptionKind::kExprList:
      return "a list of expressions";
    case OptionKind::kExprMap:
      return "a map of `name: expression`";
    case OptionKind::kPath:
      return "a path";
    case OptionKind::kPathList:
      return "a path or a list of paths";
    case OptionKind::kSecret:
      return "{secret: env:NAME} or {secret: file:PATH}";
    case OptionKind::kSchema:
      return "a map of `column: type`";
    case OptionKind::kObject:
      return "a map of options";
    case OptionKind::kStringMap:
      return "a map of `name: text`";
    case OptionKind::kAny:
      break;
  }
  return "a value";
}

const char* WhatIsFound(const ConfigValue& value) {
  switch (value.kind) {
    case ConfigValue::Kind::kNull:
      return "nothing";
    case ConfigValue::Kind::kSequence:
      return "a list";
    case ConfigValue::Kind::kMap:
      return "a map";
    case ConfigValue::Kind::kScalar:
      break;
  }
  return value.text().empty() ? "empty text" : "text";
}

/// Numbers as they were probably written: 65536 rather than 65536.000000.
std::string ShowNumber(double value, OptionKind kind) {
  if (kind == OptionKind::kDuration) return FormatDuration(Duration{static_cast<int64_t>(value)});
  if (kind == OptionKind::kSize) return FormatSize(static_cast<int64_t>(value));
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  return error == std::errc() ? std::string(text, end) : std::string("?");
}

/// Checks one written value against its declaration; says whether it may be used.
class Checker {
 public:
  Checker(const OptionSpec& spec, Diagnostics* diagnostics) : spec_(spec), diagnostics_(diagnostics) {}

  bool Check(const ConfigValue& value) {
    if (value.broken) return false;
    switch (spec_.kind) {
      case OptionKind::kAny:
        return true;
      case OptionKind::kSchema:
        return value.is_map() || WrongType(value);
      case OptionKind::kObject:
        return CheckObject(value);
      case OptionKind::kNameList:
      case OptionKind::kExprList:
      case OptionKind::kPathList:
        return CheckList(value);
      case OptionKind::kExprMap:
      case OptionKind::kStringMap:
        return CheckMap(value);
      default:
        return CheckScalar(value);
    }
  }

 private:
  bool WrongType(const ConfigValue& value, std::string suggestion = {}) {
    Error("FR2002", value, "`" + spec_.name + "` wants " + WhatIsExpected(spec_.kind) + ", not " + WhatIsFound(value),
          std::move(suggestion));
    return false;
  }
  bool BadValue(const ConfigValue& value, std::string message, std::string suggestion = {}) {
    if (value.secret) message = "the value from {secret: …} is not " + std::string(WhatIsExpected(spec_.kind));
    Error("FR2003", value, "`" + spec_.name + "`: " + message, std::move(suggestion));
    return false;
  }
  void Error(const char* code, const ConfigValue& value, std::string message, std::string suggestion) {
    if (diagnostics_ != nullptr) {
      diagnostics_->Error(code, value.span(), std::move(message), std::move(suggestion));
    }
  }
  std::string Quoted(const ConfigValue& value) const { return "`" + value.text() + "`"; }

  bool CheckObject(const ConfigValue& value) {
    if (!value.is_map()) return WrongType(value);
    if (diagnostics_ != nullptr) (void)OptionsNode::Make(&value, &spec_.fields, {}, diagnostics_);
    return true;
  }

  bool CheckList(const ConfigValue& value) {
    if (value.is_scalar()) return CheckItem(value);
    if (!value.is_sequence()) return WrongType(value);
    bool ok = true;
    if (value.items.empty()) {
      Error("FR2003", value, "`" + spec_.name + "` is empty", {});
      ok = false;
    }
    for (const ConfigValue& item : value.items) ok = CheckItem(item) && ok;
    return ok;
  }

  bool CheckItem(const ConfigValue& item) {
    if (item.broken) return false;
    if (item.is_scalar() && !item.text().empty()) return true;
    if (item.is_map() && spec_.kind == OptionKind::kExprList) {
      return WrongType(item, "quote the expression: a colon and a space make a map");
    }
    return WrongType(item);
  }

  bool CheckMap(const ConfigValue& value) {
    if (!value.is_map()) return WrongType(value);
    bool ok = true;
    for (const ConfigValue::Entry& entry : value.entries) {
      if (entry.value.broken)
        ok = false;
      else if (!entry.value.is_scalar() || (spec_.kind == OptionKind::kExprMap && entry.value.text().empty())) {
        const char* const what = spec_.kind == OptionKind::kExprMap ? "an expression" : "text";
        Error("FR2002", entry.value.is_null() ? Placed(entry) : entry.value,
              "`" + entry.key.value + "` in `" + spec_.name + "` wants " + what + ", not " + WhatIsFound(entry.value),
              {});
        ok = false;
      }
    }
    return ok;
  }
  static ConfigValue Placed(const ConfigValue::Entry& entry) {
    ConfigValue value;
    value.scalar.span = entry.key.span;
    return value;
  }

  bool CheckScalar(const ConfigValue& value) {
    if (!value.is_scalar()) return WrongType(value);
    const std::string& text = value.text();
    const bool may_be_empty = spec_.kind == OptionKind::kString || spec_.kind == OptionKind::kSecret;
    if (text.empty() && !may_be_empty) return WrongType(value);
    switch (spec_.kind) {
      case OptionKind::kString:
      case OptionKind::kPath:
        WarnOfUserInfo(value);
        return true;
      case OptionKind::kSecret:
        WarnOfPlainSecret(value);
        return true;
      case OptionKind::kInt:
        return CheckInt(value);
      case OptionKind::kFloat:
        return CheckFloat(value);
      case OptionKind::kBool:
        return CheckBool(value);
      case OptionKind::kEnum:
        return CheckEnum(value);
      case OptionKind::kDuration:
        return CheckParsed(value, ParseDuration(text), [](Duration d) { return d.us; });
      case OptionKind::kSize:
        return CheckParsed(value, ParseSize(text), [](int64_t n) { return n; });
      case OptionKind::kTime: {
        const Result<EventTime> time = ParseTimeText(text);
        return time.ok() || BadValue(value, time.status().message());
      }
      default:
        return true;
    }
  }

  bool CheckInt(const ConfigValue& value) {
    if (value.quoted) return QuotedNumber(value);
    const std::optional<int64_t> number = ParseInt(value.text());
    if (!number) return BadValue(value, Quoted(value) + " is not a whole number");
    return InRange(value, static_cast<double>(*number));
  }
  bool CheckFloat(const ConfigValue& value) {
    if (value.quoted) return QuotedNumber(value);
    const std::optional<double> number = ParseFloat(value.text());
    if (!number) return BadValue(value, Quoted(value) + " is not a number");
    return InRange(value, *number);
  }
  bool QuotedNumber(const ConfigValue& value) {
    const bool number = ParseFloat(value.text()).has_value();
    return BadValue(value, "text in quotes is not a number", number ? "remove the quotes" : "");
  }
  bool CheckBool(const ConfigValue& value) {
    const std::string& text = value.text();
    if (!value.quoted && (text == "true" || text == "false")) return true;
    std::string lower;
    for (const char c : text) lower += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    const bool yes = lower == "yes" || lower == "on" || lower == "true" || lower == "1";
    const bool no = lower == "no" || lower == "off" || lower == "false" || lower == "0";
    return BadValue(value, Quoted(value) + " is neither true nor false",
                    yes  ? "did you mean `true`?"
                    : no ? "did you mean `false`?"
                         : "");
  }
  bool CheckEnum(const ConfigValue& value) {
    const std::vector<std::string>& words = spec_.enum_values;
    if (std::find(words.begin(), words.end(), value.text()) != words.end()) return true;
    std::string known;
    for (const std::string& word : words) known += (known.empty() ? "" : ", ") + word;
    const std::string near = NearestName(value.text(), words.data(), words.size());
    const std::string found = value.secret ? "the secret" : Quoted(value);
    Error("FR2005", value, "`" + spec_.name + "` cannot be " + found + "; it is one of " + known,
          near.empty() ? "" : "did you mean `" + near + "`?");
    return false;
  }
  template <class T, class Number>
  bool CheckParsed(const ConfigValue& value, const Result<T>& parsed, Number number) {
    if (!parsed.ok()) {
      const bool bare = ParseFloat(value.text()).has_value() && spec_.kind == OptionKind::kDuration;
      return BadValue(value, parsed.status().message(), bare ? "did you mean `" + value.text() + "s`?" : "");
    }
    return InRange(value, static_cast<double>(number(*parsed)));
  }
  bool InRange(const ConfigValue& value, double number) {
    if (number >= spec_.min && number <= spec_.max) return true;
    const bool low = number < spec_.min;
    Error("FR2004", value,
          "`" + spec_.name + "` must be " + (low ? "at least " : "at most ") +
              ShowNumber(low ? spec_.min : spec_.max, spec_.kind) + (value.secret ? "" : ", not " + value.text()),
          {});
    return false;
  }

  void WarnOfPlainSecret(const ConfigValue& value) {
    if (value.secret || value.text().empty() || diagnostics_ == nullptr) return;
    diagnostics_->Conceal(value.span());
    diagnostics_->Warning("FR2008", value.span(), "`" + spec_.name + "` stands here in plain text",
                          "write {secret: env:NAME} or {secret: file:PATH}");
  }
  void WarnOfUserInfo(const ConfigValue& value) {
    if (value.secret || diagnostics_ == nullptr) return;
    const std::string& text = value.text();
    const size_t scheme = text.find("://");
    if (scheme == std::string::npos) return;
    const size_t begin = scheme + 3;
    const size_t end = std::min(text.find_first_of("/?#", begin), text.size());
    const size_t at = text.rfind('@', end == 0 ? 0 : end - 1);
    const size_t colon = text.find(':', begin);
    if (at == std::string::npos || at < begin || colon == std::string::npos || colon >= at) return;
    const SourceSpan span = value.scalar.At(static_cast<int32_t>(colon + 1), static_cast<int32_t>(at - colon - 1));
    diagnostics_->Conceal(span);
    diagnostics_->Warning("FR2008", span, "a password stands in `" + spec_.name + "` in plain text",
                          "take the whole address from {secret: env:NAME}");
  }

  const OptionSpec& spec_;
  Diagnostics* diagnostics_;
};

void ReportUnknown(const ConfigValue::Entry& entry, const std::vector<OptionSpec>& specs,
                   const std::vector<std::string>& ignored, Diagnostics* diagnostics) {
  std::vector<std::string> names = ignored;
  for (const OptionSpec& spec : specs) names.push_back(spec.name);
  const std::string near = NearestName(entry.key.value, names.data(), names.size());
  std::string suggestion;
  if (!near.empty()) {
    suggestion = "did you mean `" + near + "`?";
  } else if (names.empty()) {
    suggestion = "there are no options here";
  } else {
    suggestion = "known here:";
    for (size_t i = 0; i < names.size(); ++i) suggestion += (i == 0 ? " " : ", ") + names[i];
  }
  diagnostics->Error("FR2001", entry.key.span, "there is no option `" + entry.key.value + "`", std::move(suggestion));
}

}  // namespace

bool CheckOptionValue(const OptionSpec& spec, const ConfigValue& value, Diagnostics* diagnostics) {
  return Checker(spec, diagnostics).Check(value);
}

OptionsNode OptionsNode::Make(const ConfigValue* value, const std::vector<OptionSpec>* specs,
                              const std::vector<std::string>& ignored, Diagnostics* diagnostics) {
  OptionsNode node;
  node.value_ = value;
  node.specs_ = specs;
  if (value != nullptr && !value->is_map() && !value->is_null() && !value->broken) {
    diagnostics->Error("FR2002", value->span(),
                       std::string("a map of options is wanted here, not ") + WhatIsFound(*value));
    return node;
  }
  const ConfigValue* const map = AsMap(value);
  if (map != nullptr) {
    for (const ConfigValue::Entry& entry : map->entries) {
      const OptionSpec* spec = node.FindSpec(entry.key.value);
      if (spec == nullptr) {
        if (std::find(ignored.begin(), ignored.end(), entry.key.value) == ignored.end()) {
          ReportUnknown(entry, *specs, ignored, diagnostics);
        }
        continue;
      }
      if (entry.value.is_null() && !entry.value.broken && spec->kind != OptionKind::kAny) {
        diagnostics->Error("FR2002", entry.key.span,
                           "`" + spec->name + "` has no value; it wants " + WhatIsExpected(spec->kind));
        continue;
      }
      (void)CheckOptionValue(*spec, entry.value, diagnostics);
    }
  }
  if (value != nullptr && value->broken) return node;
  for (const OptionSpec& spec : *specs) {
    if (!spec.required || (map != nullptr && map->Find(spec.name) != nullptr)) continue;
    diagnostics->Error("FR2006", node.span(), "`" + spec.name + "` is missing",
                       std::string("add `") + spec.name + ":`, " + WhatIsExpected(spec.kind));
  }
  return node;
}

}  // namespace freshet
