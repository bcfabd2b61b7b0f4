#include "engine/batch/schema.h"

#include "engine/base/units.h"

namespace freshet {
namespace {
struct NamedType {
  TypeId type;
  const char* name;
};
constexpr NamedType kTypes[] = {
    {TypeId::kBool, "bool"},     {TypeId::kInt64, "int64"},         {TypeId::kFloat64, "float64"},
    {TypeId::kString, "string"}, {TypeId::kTimestamp, "timestamp"}, {TypeId::kListFloat64, "list<float64>"},
    {TypeId::kJson, "json"}};
}  // namespace

const char* TypeName(TypeId type) {
  for (const NamedType& t : kTypes)
    if (t.type == type) return t.name;
  return "unknown";
}

std::optional<TypeId> ParseTypeName(std::string_view name) {
  for (const NamedType& t : kTypes)
    if (name == t.name) return t.type;
  return std::nullopt;
}

std::optional<int> Schema::Find(std::string_view name) const {
  for (int i = 0; i < size(); ++i)
    if (field(i).name == name) return i;
  return std::nullopt;
}

Schema Schema::With(const std::vector<Field>& more) const {
  std::vector<Field> fields = fields_;
  fields.insert(fields.end(), more.begin(), more.end());
  return Schema(std::move(fields));
}

std::string Schema::Nearest(std::string_view name) const {
  std::vector<std::string> names;
  for (const Field& f : fields_) names.push_back(f.name);
  return NearestName(name, names.data(), names.size());
}

std::string Schema::ToString() const {
  std::string out;
  for (const Field& f : fields_) {
    if (!out.empty()) out += ", ";
    out += f.name;
    out += ": ";
    out += TypeName(f.type);
  }
  return out;
}

}  // namespace freshet
