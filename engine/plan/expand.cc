#include "engine/plan/expand.h"

#include <algorithm>
#include <utility>

#include "engine/base/units.h"
#include "engine/plan/yaml_reader.h"

namespace freshet {
namespace {

constexpr int kIncludeDepthMax = 8;
// Stands for a secret that is not needed now: it must pass for a token as well as for an address.
constexpr const char* kPlaceholder = "https://secret.invalid/";
constexpr const char* kNodeSections[] = {"sources", "operators", "sinks"};

bool IsNameByte(char c, bool first) {
  if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_') return true;
  return !first && c >= '0' && c <= '9';
}

bool IsName(std::string_view name) {
  for (size_t i = 0; i < name.size(); ++i) {
    if (!IsNameByte(name[i], i == 0)) return false;
  }
  return !name.empty();
}

/// Expands the variables of one scalar; where value and file run apart a new piece begins.
class VariableExpander {
 public:
  VariableExpander(ConfigValue* value, Env* env, Diagnostics* diagnostics)
      : value_(value), text_(value->scalar), env_(env), diagnostics_(diagnostics) {}

  void Run() {
    const std::string& in = text_.value;
    AddPiece(0);
    for (size_t at = 0; at < in.size();) {
      if (in.compare(at, 2, "$$") == 0) {
        out_ += '$';
        at += 2;
        AddPiece(at);
      } else if (in.compare(at, 2, "${") == 0) {
        at = Variable(at);
        AddPiece(at);
      } else {
        out_ += in[at++];
        TakeOverPieces(at);
      }
    }
    value_->scalar.value = std::move(out_);
    value_->scalar.line_starts = std::move(pieces_);
  }

 private:
  void AddPiece(size_t offset) {
    const SourceSpan place = text_.At(static_cast<int32_t>(offset), 1);
    const auto at = static_cast<int32_t>(out_.size());
    if (!pieces_.empty() && pieces_.back().value_offset == at) pieces_.pop_back();
    pieces_.push_back({at, place.line, place.column});
  }

  void TakeOverPieces(size_t offset) {
    for (const SpannedText::LineStart& piece : text_.line_starts) {
      if (piece.value_offset == static_cast<int32_t>(offset)) AddPiece(offset);
    }
  }

  void Fail(const char* code, size_t at, size_t length, std::string message, std::string suggestion) {
    diagnostics_->Error(code, text_.At(static_cast<int32_t>(at), static_cast<int32_t>(length)), std::move(message),
                        std::move(suggestion));
    value_->broken = true;
  }

  /// The variable at `at`; returns the offset after it.
  size_t Variable(size_t at) {
    const std::string& in = text_.value;
    const size_t close = in.find('}', at);
    if (close == std::string::npos) {
      Fail("FR1012", at, in.size() - at, "the variable is not closed", "write ${NAME}, or $$ for a dollar sign");
      return in.size();
    }
    std::string name = in.substr(at + 2, close - at - 2);
    std::optional<std::string> fallback;
    if (const size_t mark = name.find(":-"); mark != std::string::npos) {
      fallback = name.substr(mark + 2);
      name.resize(mark);
    }
    const size_t length = close + 1 - at;
    if (!IsName(name)) {
      Fail("FR1012", at, length, "`" + name + "` cannot be the name of a variable",
           "write ${NAME} or ${NAME:-default}, or $$ for a dollar sign");
      return close + 1;
    }
    const std::optional<std::string> found = env_->Variable(name);
    if (!found && !fallback) {
      Fail("FR1011", at, length, "the variable `" + name + "` is not set",
           "set it, or give a default: ${" + name + ":-…}");
    }
    if (found && at == 0) value_->from_environment = true;
    out_ += found ? *found : fallback.value_or("");
    return close + 1;
  }

  ConfigValue* value_;
  const SpannedText text_;
  Env* env_;
  Diagnostics* diagnostics_;
  std::string out_;
  std::vector<SpannedText::LineStart> pieces_;
};

/// Entries of `from` whose keys `into` does not have.
void MergeInto(ConfigValue* into, ConfigValue from) {
  for (ConfigValue::Entry& entry : from.entries) {
    if (entry.key.value != "include" && into->Find(entry.key.value) == nullptr)
      into->entries.push_back(std::move(entry));
  }
}

ConfigValue* FindMutable(ConfigValue* map, std::string_view key) {
  for (ConfigValue::Entry& entry : map->entries) {
    if (entry.key.value == key) return &entry.value;
  }
  return nullptr;
}

class TreeReader {
 public:
  TreeReader(Env* env, Diagnostics* diagnostics, std::vector<std::string>* files)
      : env_(env), diagnostics_(diagnostics), files_(files) {}

  std::optional<ConfigValue> Read(std::shared_ptr<const SourceText> text) {
    open_.push_back(text->name);
    if (files_ != nullptr) files_->push_back(text->name);
    std::optional<ConfigValue> root = ReadOne(text);
    open_.pop_back();
    return root;
  }

 private:
  std::optional<ConfigValue> ReadOne(const std::shared_ptr<const SourceText>& text) {
    std::optional<ConfigValue> root = ReadYaml(text, diagnostics_);
    if (!root) return std::nullopt;
    if (!root->is_map()) {
      const bool empty = root->is_null();
      diagnostics_->Error("FR1010", empty ? SourceSpan{text, 0, 0, 1, {}} : root->span(),
                          empty ? "the file is empty" : "a map is wanted here: `name:`, `sources:`, …");
      return std::nullopt;
    }
    ExpandVariables(&*root, env_, diagnostics_);
    IncludeTop(&*root);
    for (const char* section : kNodeSections) {
      ConfigValue* const nodes = FindMutable(&*root, section);
      if (nodes == nullptr || !nodes->is_map()) continue;
      IncludeMap(nodes);
      for (ConfigValue::Entry& node : nodes->entries) {
        if (node.value.is_map()) IncludeMap(&node.value);
      }
    }
    return root;
  }

  /// The files an `include` key names, read; the key is taken out of the map.
  std::vector<ConfigValue> TakeIncludes(ConfigValue* map) {
    std::vector<ConfigValue> included;
    const auto entry = std::find_if(map->entries.begin(), map->entries.end(),
                                    [](const ConfigValue::Entry& e) { return e.key.value == "include"; });
    if (entry == map->entries.end()) return included;
    const ConfigValue value = std::move(entry->value);
    const SourceSpan key = entry->key.span;
    map->entries.erase(entry);
    if (value.broken) return included;
    std::vector<ConfigValue> paths = value.is_sequence() ? value.items : std::vector<ConfigValue>{value};
    for (const ConfigValue& path : paths) {
      if (!path.is_scalar() || path.text().empty()) {
        diagnostics_->Error("FR1013", path.span().known() ? path.span() : key,
                            "`include` wants a path or a list of paths");
        continue;
      }
      if (std::optional<ConfigValue> file = Include(path)) included.push_back(std::move(*file));
    }
    return included;
  }

  std::optional<ConfigValue> Include(const ConfigValue& path) {
    const std::string directory = path.from_environment ? "" : DirectoryOfSpan(path.span());
    auto text = std::make_shared<SourceText>();
    text->name = ResolvePath(directory, path.text());
    if (std::find(open_.begin(), open_.end(), text->name) != open_.end() || open_.size() > kIncludeDepthMax) {
      diagnostics_->Error("FR1013", path.span(),
                          "`" + path.text() + "` includes itself, or files include each other too deep");
      return std::nullopt;
    }
    Result<std::string> bytes = env_->ReadFile(text->name);
    if (!bytes.ok()) {
      diagnostics_->Error("FR1013", path.span(), "the included file cannot be read: " + bytes.status().message(),
                          "paths are relative to this file");
      return std::nullopt;
    }
    text->bytes = std::move(*bytes);
    std::optional<ConfigValue> tree = Read(text);
    if (tree) MarkUsed(&*tree, std::make_shared<const SourceSpan>(path.span()));
    return tree;
  }

  void IncludeTop(ConfigValue* root) {
    for (ConfigValue& file : TakeIncludes(root)) {
      for (ConfigValue::Entry& entry : file.entries) {
        ConfigValue* const mine = FindMutable(root, entry.key.value);
        if (mine == nullptr) {
          root->entries.push_back(std::move(entry));
        } else if (mine->is_map() && entry.value.is_map()) {
          MergeInto(mine, std::move(entry.value));
        } else if (mine->is_sequence() && entry.value.is_sequence()) {
          for (ConfigValue& item : entry.value.items) mine->items.push_back(std::move(item));
        }
      }
    }
  }
  void IncludeMap(ConfigValue* map) {
    for (ConfigValue& file : TakeIncludes(map)) MergeInto(map, std::move(file));
  }

  Env* env_;
  Diagnostics* diagnostics_;
  std::vector<std::string>* files_;
  std::vector<std::string> open_;  // names of the files being read, outermost first
};

void Resolve(ConfigValue* value, Env* env, bool required, Diagnostics* diagnostics) {
  const ConfigValue source = std::move(value->entries[0].value);
  ConfigValue secret;
  secret.kind = ConfigValue::Kind::kScalar;
  secret.scalar.span = source.span().known() ? source.span() : value->span();
  secret.quoted = true;
  secret.secret = true;
  const std::string text = source.is_scalar() ? source.text() : "";
  const std::string rest = text.substr(std::min(text.find(':') + 1, text.size()));
  std::string problem;
  if (source.broken) {
    secret.broken = true;
  } else if (text.rfind("env:", 0) == 0 && IsName(rest)) {
    const std::optional<std::string> found = env->Variable(rest);
    if (found)
      secret.scalar.value = *found;
    else
      problem = "the variable `" + rest + "` of this secret is not set";
  } else if (text.rfind("file:", 0) == 0 && !rest.empty()) {
    Result<std::string> bytes = env->ReadFile(ResolvePath(DirectoryOfSpan(source.span()), rest));
    if (bytes.ok())
      secret.scalar.value = bytes->substr(0, bytes->find_last_not_of("\r\n") + 1);
    else
      problem = "the file of this secret cannot be read: " + bytes.status().message();
  } else {
    diagnostics->Conceal(source.span());
    diagnostics->Error("FR1014", secret.span(), "a secret names where it is kept",
                       "write {secret: env:NAME} or {secret: file:PATH}");
    secret.broken = true;
  }
  if (!problem.empty()) {
    secret.broken = required;
    secret.scalar.value = kPlaceholder;
    if (required) diagnostics->Error("FR1015", secret.span(), std::move(problem));
  }
  *value = std::move(secret);
}

std::vector<std::string> SplitPath(std::string_view path) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= path.size();) {
    const size_t dot = std::min(path.find('.', at), path.size());
    parts.emplace_back(path.substr(at, dot - at));
    at = dot + 1;
  }
  return parts;
}

bool IsNodeSection(const std::string& name) {
  return std::find(std::begin(kNodeSections), std::end(kNodeSections), name) != std::end(kNodeSections);
}

/// Says why the path leads nowhere: nodes must exist, everything else may be added.
bool CheckSetPath(const std::vector<std::string>& path, const ConfigValue& root, const SourceSpan& span,
                  Diagnostics* diagnostics) {
  if (!IsNodeSection(path[0])) return true;
  const ConfigValue* const nodes = root.Find(path[0]);
  if (path.size() > 1 && nodes != nullptr && nodes->Find(path[1]) != nullptr) return true;
  std::vector<std::string> names;
  if (nodes != nullptr) {
    for (const ConfigValue::Entry& entry : nodes->entries) names.push_back(entry.key.value);
  }
  const std::string id = path.size() > 1 ? path[1] : "";
  const std::string near = NearestName(id, names.data(), names.size());
  diagnostics->Error("FR1016", span, "`" + path[0] + "` has no node `" + id + "`",
                     near.empty() ? "" : "did you mean `" + near + "`?");
  return false;
}

}  // namespace

std::string DirectoryOfSpan(const SourceSpan& span) {
  if (span.text == nullptr || span.text->name.rfind("--", 0) == 0) return "";
  return DirectoryOf(span.text->name);
}

std::optional<ConfigValue> ReadTree(std::shared_ptr<const SourceText> text, Env* env, Diagnostics* diagnostics,
                                    std::vector<std::string>* files) {
  return TreeReader(env, diagnostics, files).Read(std::move(text));
}

void ExpandVariables(ConfigValue* value, Env* env, Diagnostics* diagnostics) {
  if (value->is_scalar() && value->text().find('$') != std::string::npos)
    VariableExpander(value, env, diagnostics).Run();
  for (ConfigValue& item : value->items) ExpandVariables(&item, env, diagnostics);
  for (ConfigValue::Entry& entry : value->entries) ExpandVariables(&entry.value, env, diagnostics);
}

void ApplySet(const std::string& argument, ConfigValue* root, Diagnostics* diagnostics) {
  auto text = std::make_shared<SourceText>(SourceText{"--set", argument});
  const size_t equals = argument.find('=');
  const size_t key_length = std::min(equals, argument.size());
  const SourceSpan key_span{text, 1, 1, static_cast<int32_t>(std::max<size_t>(key_length, 1)), {}};
  const std::vector<std::string> path = SplitPath(std::string_view(argument).substr(0, key_length));
  if (equals == std::string::npos || std::find(path.begin(), path.end(), "") != path.end()) {
    diagnostics->Error("FR1016", key_span, "`--set` wants path.to.option=value",
                       "for example --set sources.edits.path=edits.ndjson");
    return;
  }
  if (!CheckSetPath(path, *root, key_span, diagnostics)) return;
  std::optional<ConfigValue> value = ReadYaml(text, diagnostics, equals + 1);
  if (!value) return;
  ConfigValue* at = root;
  for (size_t i = 0; i < path.size(); ++i) {
    if (at->is_sequence()) {
      const bool index = path[i].size() < 6 && path[i].find_first_not_of("0123456789") == std::string::npos;
      if (!index || std::stoul(path[i]) >= at->items.size()) {
        diagnostics->Error("FR1016", key_span,
                           "`" + path[i] + "` is not the number of an item of this list (the first is 0)");
        return;
      }
      at = &at->items[std::stoul(path[i])];
      continue;
    }
    if (at->is_null()) at->kind = ConfigValue::Kind::kMap;
    if (!at->is_map()) {
      diagnostics->Error("FR1016", key_span, "there are no options below `" + path[i - 1] + "`: it holds text");
      return;
    }
    ConfigValue* next = FindMutable(at, path[i]);
    if (next == nullptr) {
      at->entries.push_back({{path[i], key_span, {}}, {}});
      next = &at->entries.back().value;
      next->scalar.span = key_span;
    }
    at = next;
  }
  *at = std::move(*value);
}

void ResolveSecrets(ConfigValue* value, Env* env, bool required, Diagnostics* diagnostics) {
  if (value->is_map() && value->entries.size() == 1 && value->entries[0].key.value == "secret") {
    Resolve(value, env, required, diagnostics);
    return;
  }
  for (ConfigValue& item : value->items) ResolveSecrets(&item, env, required, diagnostics);
  for (ConfigValue::Entry& entry : value->entries) ResolveSecrets(&entry.value, env, required, diagnostics);
}

}  // namespace freshet
