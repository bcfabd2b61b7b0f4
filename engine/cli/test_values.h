#pragma once

#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/batch/batch.h"
#include "engine/batch/column_builder.h"
#include "engine/plan/pipeline_tests.h"

namespace freshet::cli {

/// Appends a value as it stands in a test to a column: "1", true, 2024-05-01T12:00:00Z, [1, 2], null. What does not fit
/// the type is InvalidArgument.
Status AppendTestValue(const ConfigValue& value, ColumnBuilder* column);
/// Compares one cell with what a test expects. Floats are equal within a relative 1e-9.
bool SameAsTestValue(const ConfigValue& expected, const Column& column, int32_t row);
/// As a person would write it: 12, "text", null.
std::string TestValueText(const ConfigValue& value);

}  // namespace freshet::cli
