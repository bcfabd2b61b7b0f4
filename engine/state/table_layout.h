#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/batch/batch_codec.h"
#include "engine/state/keyed_table.h"

namespace freshet {

/// What else a StateContext is where rows of a checkpoint may be of another layout than the operator's own. One thread.
class TableLayouts {
 public:
  virtual ~TableLayouts() = default;
  /// The fingerprint under which the table's rows stand in the checkpoint; none if it has none there.
  virtual std::optional<std::string> StoredFingerprint(const std::string& table) const = 0;
  /// The operator reads these rows. It makes all of them anew, changed, before its Open returns: they are brought into
  /// memory for it. Before the table is opened.
  virtual void TakeStored(const std::string& table) = 0;
};

/// Reads what EncodeBatch wrote under another schema. Columns are found by their names: those that are new are null,
/// those that are no more are dropped. A column that gave its name to a new one and is `row_NAME` since, as alerts do,
/// is found there.
class StoredColumns {
 public:
  /// None if a column has another type than before, as values of it cannot be read.
  static std::optional<StoredColumns> Match(Schema stored, SchemaRef now);
  /// False if the bytes are not such rows.
  bool Decode(ByteSource& source, Batch* batch) const;
  /// The same rows as EncodeBatch writes them now; none if the bytes are no such rows.
  std::optional<std::string> Rewrite(std::string_view bytes) const;

 private:
  SchemaRef stored_;
  SchemaRef now_;
  std::vector<int> from_;  ///< per column of `now_`; -1: new
};

/// Schemas as Schema::ToString gives them, with "; " between; none if the text is something else.
std::optional<std::vector<Schema>> ParseSchemas(std::string_view text);

/// Of a table that keeps whole rows: its fingerprint is the columns of these rows between two texts of the operator's.
struct RowLayout {
  std::string before;
  std::vector<SchemaRef> rows;  ///< per input that it keeps rows of
  std::string after;
  std::string Fingerprint() const;
};

/// How to read the table's rows, per input, if they stand in the checkpoint with other columns; the operator has to
/// make them anew then (TableLayouts::TakeStored). Empty: they are as they are now, or there are none, or they do not
/// fit, which opening the table reports. Before the table is opened.
std::vector<StoredColumns> TakeStoredRows(StateContext& state, const std::string& table, const RowLayout& now);

}  // namespace freshet
