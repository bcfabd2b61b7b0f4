// Any text as an expression: refused with a place, or bound and evaluated.
#include <cstdint>

#include "engine/batch/column_builder.h"
#include "engine/expr/expr.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace freshet;
  static const auto schema = std::make_shared<const Schema>(std::vector<Field>{
      {"i", TypeId::kInt64}, {"x", TypeId::kFloat64}, {"s", TypeId::kString}, {"t", TypeId::kTimestamp}});
  ColumnBuilder i(TypeId::kInt64), x(TypeId::kFloat64), s(TypeId::kString), t(TypeId::kTimestamp);
  i.AppendInt64(7);
  x.AppendNull();
  s.AppendString("a\xc3\xa9");
  t.AppendInt64(1700000000000000);
  const Batch batch(schema, {i.Finish(), x.Finish(), s.Finish(), t.Finish()}, 1, RowMeta());
  SpannedText text;
  text.value.assign(reinterpret_cast<const char*>(data), size);
  Diagnostics diagnostics;
  const auto parsed = ParsedExpr::Parse(text, &diagnostics);
  if (!parsed) return 0;
  if (const auto bound = BoundExpr::Bind(*parsed, *schema, &diagnostics)) (void)bound->Evaluate(batch);
  return 0;
}
