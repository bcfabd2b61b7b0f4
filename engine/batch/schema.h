#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/batch/type.h"

namespace freshet {

struct Field {
  std::string name;
  TypeId type = TypeId::kInt64;
  bool operator==(const Field&) const = default;
};

/// Names and types of columns, in order; names are unique. Immutable once shared.
class Schema {
 public:
  Schema() = default;
  explicit Schema(std::vector<Field> fields) : fields_(std::move(fields)) {}
  int size() const { return static_cast<int>(fields_.size()); }
  const Field& field(int index) const { return fields_[static_cast<size_t>(index)]; }
  const std::vector<Field>& fields() const { return fields_; }
  std::optional<int> Find(std::string_view name) const;
  /// This schema with more fields at its end. REQUIRES: new names.
  Schema With(const std::vector<Field>& more) const;
  /// The name nearest to a misspelt one, or empty.
  std::string Nearest(std::string_view name) const;
  /// "video_id: string, views: int64"
  std::string ToString() const;
  bool operator==(const Schema&) const = default;

 private:
  std::vector<Field> fields_;
};
using SchemaRef = std::shared_ptr<const Schema>;

}  // namespace freshet
