#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/expr/expr.h"
#include "engine/flow/descriptor.h"
#include "operators/outlier/severity.h"

namespace freshet {

/// The columns that every detector adds, in this order: score, p_value, is_anomaly, severity, why; before them, where
/// the detector predicts, expected, lower, upper; after them, where it knows, direction, alarm_score, rule, alarm_rate.
/// With `as: PREFIX` they are PREFIX_score …. Until warm: null, null, false, null, null.
struct DetectorColumnsOptions {
  bool predicts = false;
  bool has_direction = false;
  bool has_alarm_score = false;
  bool has_rule = false;
  bool has_alarm_rate = false;
};

/// The input's schema and these columns, which the option `as` renames. A name that exists is an error (FR3501) that
/// names the option.
std::optional<Schema> WithAddedColumns(const OptionsNode& options, const BindContext& bind, const Schema& input,
                                       std::vector<Field> added);
/// The same for the detector's columns.
std::optional<Schema> DetectorSchema(const OptionsNode& options, const BindContext& bind, const Schema& input,
                                     const DetectorColumnsOptions& columns);

/// An expression that gives a number; `what` begins the sentence if it does not ("a feature").
std::optional<BoundExpr> BindNumber(const SpannedText& text, const Schema& input, const BindContext& bind,
                                    const char* code, const char* what);
/// Adds the options common to detectors: key, state_ttl, max_p, as.
void AddDetectorOptions(NodeDescriptor* descriptor);
OptionSpec DetectorOption(const char* name, OptionKind kind, const char* doc, const char* fallback = "",
                          StateEffect state = StateEffect::kBreaking);

/// Builds the rows' values; one Add per row.
class DetectorColumns {
 public:
  struct Row {
    double score = 0;  ///< NaN: none
    std::optional<double> p_value;
    bool is_anomaly = false;
    std::string why;  ///< "" is null
    double expected = 0, lower = 0, upper = 0;
    int direction = 0;  ///< 1 up, -1 down, 0 null
    double alarm_score = 0;
    const char* rule = nullptr;        ///< null: none is broken
    double alarm_rate = 0;             ///< NaN: none
    std::optional<Severity> severity;  ///< absent: by p_value alone
  };
  DetectorColumns(const DetectorColumnsOptions& options, int32_t rows);
  void Add(const Row& row);
  std::vector<Column> Finish();

 private:
  const DetectorColumnsOptions options_;
  std::vector<ColumnBuilder> builders_;
};

/// The value of a numeric column as a double; NaN for null.
double NumberAt(const Column& column, int32_t row);

}  // namespace freshet
