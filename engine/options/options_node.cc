#include "engine/options/options_node.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "engine/base/units.h"
#include "engine/options/option_values.h"
#include "engine/options/parse_time.h"

namespace freshet {
namespace {

[[maybe_unused]] bool IsList(OptionKind kind) {
  return kind == OptionKind::kNameList || kind == OptionKind::kExprList || kind == OptionKind::kPathList;
}
[[maybe_unused]] bool IsTextMap(OptionKind kind) {
  return kind == OptionKind::kExprMap || kind == OptionKind::kStringMap;
}

/// Default texts of list options: "[a, b]" or "a".
std::vector<std::string> SplitDefault(std::string_view text) {
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    std::string_view part = text.substr(0, comma);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    if (!part.empty()) parts.emplace_back(part);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

}  // namespace

const OptionSpec* OptionsNode::FindSpec(std::string_view name) const {
  if (specs_ == nullptr) return nullptr;
  for (const OptionSpec& spec : *specs_) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

const ConfigValue* OptionsNode::Usable(const OptionSpec& spec) const {
  const ConfigValue* const map = AsMap(value_);
  const ConfigValue* const value = map == nullptr ? nullptr : map->Find(spec.name);
  if (value == nullptr || (value->is_null() && spec.kind != OptionKind::kAny)) return nullptr;
  return CheckOptionValue(spec, *value, nullptr) ? value : nullptr;
}

bool OptionsNode::Has(std::string_view name) const {
  const ConfigValue* const map = AsMap(value_);
  return map != nullptr && map->Find(name) != nullptr;
}

SourceSpan OptionsNode::span(std::string_view name) const {
  const ConfigValue* const map = AsMap(value_);
  const ConfigValue::Entry* const entry = map == nullptr ? nullptr : map->FindEntry(name);
  if (entry == nullptr) return span();
  return entry->value.span().known() ? entry->value.span() : entry->key.span;
}

SourceSpan OptionsNode::span() const { return value_ == nullptr ? SourceSpan() : value_->span(); }

std::optional<std::string> OptionsNode::FindText(std::string_view name) const {
  const OptionSpec* const spec = FindSpec(name);
  assert(spec != nullptr && "an option that is not declared was asked for");
  if (spec == nullptr) return std::nullopt;
  if (const ConfigValue* value = Usable(*spec); value != nullptr && value->is_scalar()) return value->text();
  if (!spec->default_text.empty()) return spec->default_text;
  return std::nullopt;
}

std::string OptionsNode::GetString(std::string_view name) const { return FindText(name).value_or(""); }
std::optional<std::string> OptionsNode::FindString(std::string_view name) const { return FindText(name); }

int64_t OptionsNode::GetInt(std::string_view name) const { return FindInt(name).value_or(0); }
std::optional<int64_t> OptionsNode::FindInt(std::string_view name) const {
  const std::optional<std::string> text = FindText(name);
  if (!text) return std::nullopt;
  if (FindSpec(name)->kind == OptionKind::kSize) {
    const Result<int64_t> size = ParseSize(*text);
    return size.ok() ? std::optional<int64_t>(*size) : std::nullopt;
  }
  return ParseInt(*text);
}

double OptionsNode::GetFloat(std::string_view name) const { return FindFloat(name).value_or(0); }
std::optional<double> OptionsNode::FindFloat(std::string_view name) const {
  const std::optional<std::string> text = FindText(name);
  return text ? ParseFloat(*text) : std::nullopt;
}

bool OptionsNode::GetBool(std::string_view name) const { return FindText(name).value_or("false") == "true"; }

Duration OptionsNode::GetDuration(std::string_view name) const { return FindDuration(name).value_or(Duration{}); }
std::optional<Duration> OptionsNode::FindDuration(std::string_view name) const {
  const std::optional<std::string> text = FindText(name);
  if (!text) return std::nullopt;
  const Result<Duration> duration = ParseDuration(*text);
  return duration.ok() ? std::optional<Duration>(*duration) : std::nullopt;
}

std::optional<EventTime> OptionsNode::FindTime(std::string_view name) const {
  const std::optional<std::string> text = FindText(name);
  if (!text) return std::nullopt;
  const Result<EventTime> time = ParseTimeText(*text);
  return time.ok() ? std::optional<EventTime>(*time) : std::nullopt;
}

std::optional<SpannedText> OptionsNode::FindExpr(std::string_view name) const {
  const OptionSpec* const spec = FindSpec(name);
  assert(spec != nullptr && "an option that is not declared was asked for");
  if (spec == nullptr) return std::nullopt;
  if (const ConfigValue* value = Usable(*spec); value != nullptr && value->is_scalar()) return value->scalar;
  if (spec->default_text.empty()) return std::nullopt;
  return SpannedText{spec->default_text, span(), {}};
}

std::vector<SpannedText> OptionsNode::GetList(std::string_view name) const {
  const OptionSpec* const spec = FindSpec(name);
  assert(spec != nullptr && IsList(spec->kind) && "not a list, or not declared");
  std::vector<SpannedText> list;
  if (spec == nullptr) return list;
  if (const ConfigValue* value = Usable(*spec); value != nullptr) {
    if (value->is_scalar()) return {value->scalar};
    for (const ConfigValue& item : value->items) list.push_back(item.scalar);
    return list;
  }
  for (std::string& part : SplitDefault(spec->default_text)) list.push_back({std::move(part), span(), {}});
  return list;
}

std::vector<std::pair<SpannedText, SpannedText>> OptionsNode::GetMap(std::string_view name) const {
  const OptionSpec* const spec = FindSpec(name);
  assert(spec != nullptr && IsTextMap(spec->kind) && "not a map of texts, or not declared");
  std::vector<std::pair<SpannedText, SpannedText>> map;
  if (spec == nullptr) return map;
  const ConfigValue* const value = Usable(*spec);
  if (value == nullptr) return map;
  for (const ConfigValue::Entry& entry : value->entries) map.emplace_back(entry.key, entry.value.scalar);
  return map;
}

OptionsNode OptionsNode::GetObject(std::string_view name) const {
  const OptionSpec* const spec = FindSpec(name);
  assert(spec != nullptr && spec->kind == OptionKind::kObject && "not an object, or not declared");
  OptionsNode node;
  if (spec == nullptr) return node;
  node.specs_ = &spec->fields;
  node.value_ = Usable(*spec);
  return node;
}

const ConfigValue* OptionsNode::Raw(std::string_view name) const {
  const OptionSpec* const spec = FindSpec(name);
  assert(spec != nullptr && "an option that is not declared was asked for");
  return spec == nullptr ? nullptr : Usable(*spec);
}

}  // namespace freshet
