#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/expr/expr.h"
#include "engine/flow/descriptor.h"

namespace freshet {

/// What operators ask of their pipeline file in the same words. All report to `bind.diagnostics` and return nothing
/// then.

/// The one schema of all inputs. FR3201 when they differ.
const Schema* CommonInput(const BindContext& bind);
/// The index of a column. FR3202 with the nearest name when there is none.
std::optional<int> FindColumn(const Schema& schema, const SpannedText& name, Diagnostics* diagnostics);
/// The key columns of an option of kind kNameList: each once (FR3204), none of them a list (FR3203).
std::optional<std::vector<int>> FindKey(const Schema& schema, const OptionsNode& options, std::string_view option,
                                        Diagnostics* diagnostics);
/// Parses and binds an expression that must be a condition. FR3205 when it is not bool.
std::optional<BoundExpr> BindCondition(const SpannedText& text, const Schema& schema, Diagnostics* diagnostics);
/// Adds the names of the schema's columns that an expression reads, each once. Indices past the schema are skipped.
void AddColumnsRead(const BoundExpr& expr, const Schema& schema, std::vector<std::string>* names);
void AddName(const std::string& name, std::vector<std::string>* names);
/// `name`, with underscores behind it until the schema has no such column.
std::string FreeName(const Schema& schema, std::string name);

}  // namespace freshet
