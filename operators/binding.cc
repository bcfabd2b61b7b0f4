#include "operators/binding.h"

#include <algorithm>

namespace freshet {

const Schema* CommonInput(const BindContext& bind) {
  const Schema* first = bind.inputs.empty() ? nullptr : bind.inputs[0];
  for (size_t i = 1; i < bind.inputs.size(); ++i) {
    if (*bind.inputs[i] == *first) continue;
    const std::string& name = i < bind.input_names.size() ? bind.input_names[i] : std::string("input");
    bind.diagnostics->Error("FR3201", bind.node_span,
                            "the inputs have different columns: `" + name + "` has " + bind.inputs[i]->ToString(),
                            "make them equal with `select` first: " + first->ToString());
    return nullptr;
  }
  return first;
}

std::optional<int> FindColumn(const Schema& schema, const SpannedText& name, Diagnostics* diagnostics) {
  const auto index = schema.Find(name.value);
  if (index) return index;
  const std::string nearest = schema.Nearest(name.value);
  diagnostics->Error("FR3202", name.span, "there is no column `" + name.value + "`",
                     nearest.empty() ? "the columns are " + schema.ToString() : "did you mean `" + nearest + "`?");
  return std::nullopt;
}

std::optional<std::vector<int>> FindKey(const Schema& schema, const OptionsNode& options, std::string_view option,
                                        Diagnostics* diagnostics) {
  std::vector<int> key;
  bool ok = true;
  for (const SpannedText& name : options.GetList(option)) {
    const auto index = FindColumn(schema, name, diagnostics);
    if (!index) {
      ok = false;
    } else if (schema.field(*index).type == TypeId::kListFloat64) {
      diagnostics->Error("FR3203", name.span, "`" + name.value + "` is a list, which cannot be a key");
      ok = false;
    } else if (std::find(key.begin(), key.end(), *index) != key.end()) {
      diagnostics->Error("FR3204", name.span, "`" + name.value + "` stands twice in the key");
      ok = false;
    } else {
      key.push_back(*index);
    }
  }
  if (!ok) return std::nullopt;
  return key;
}

std::optional<BoundExpr> BindCondition(const SpannedText& text, const Schema& schema, Diagnostics* diagnostics) {
  const auto parsed = ParsedExpr::Parse(text, diagnostics);
  if (!parsed) return std::nullopt;
  auto bound = BoundExpr::Bind(*parsed, schema, diagnostics);
  if (bound && bound->type() != TypeId::kBool) {
    diagnostics->Error("FR3205", text.span,
                       std::string("a condition is needed here, but this is ") + TypeName(bound->type()),
                       "compare it with something, as in `x > 0`");
    return std::nullopt;
  }
  return bound;
}

void AddName(const std::string& name, std::vector<std::string>* names) {
  if (std::find(names->begin(), names->end(), name) == names->end()) names->push_back(name);
}

void AddColumnsRead(const BoundExpr& expr, const Schema& schema, std::vector<std::string>* names) {
  for (int column : expr.columns_read())
    if (column < schema.size()) AddName(schema.field(column).name, names);
}

std::string FreeName(const Schema& schema, std::string name) {
  while (schema.Find(name)) name += '_';
  return name;
}

}  // namespace freshet
