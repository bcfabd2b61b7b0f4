#include "engine/expr/expr.h"

#include <algorithm>
#include <cassert>

#include "engine/expr/binder.h"
#include "engine/expr/kernels/bits.h"
#include "engine/expr/parser.h"

namespace freshet {

using expr_internal::EvalContext;
using expr_internal::Node;

std::optional<ParsedExpr> ParsedExpr::Parse(const SpannedText& text, Diagnostics* diagnostics) {
  ParsedExpr expr;
  expr.text_ = text;
  expr.root_ = expr_internal::ParseExpression(text, diagnostics);
  if (expr.root_ == nullptr) return std::nullopt;
  return expr;
}

std::optional<std::string> ParsedExpr::AsColumnName() const {
  if (root_->form != Node::Form::kColumn) return std::nullopt;
  return root_->name;
}

std::vector<std::string> ParsedExpr::ColumnNames() const {
  std::vector<std::string> names;
  expr_internal::CollectColumns(*root_, &names);
  return names;
}

std::optional<ParsedExpr::Call> ParsedExpr::AsCall() const {
  if (root_->form != Node::Form::kCall) return std::nullopt;
  const auto part = [this](const expr_internal::NodeRef& node) {
    ParsedExpr expr;
    expr.text_ = text_;
    expr.root_ = node;
    return expr;
  };
  Call call;
  call.function = root_->name;
  call.star = root_->star;
  call.distinct = root_->distinct;
  for (const expr_internal::NodeRef& arg : root_->args) call.arguments.push_back(part(arg));
  if (root_->filter) call.filter.push_back(part(root_->filter));
  call.function_span = text_.At(root_->name_offset, root_->name_length);
  return call;
}

std::optional<BoundExpr> BoundExpr::Bind(const ParsedExpr& expr, const Schema& schema, Diagnostics* diagnostics,
                                         const Options& options) {
  auto root = expr_internal::Binder(expr, schema, options, diagnostics).Run();
  if (root == nullptr) return std::nullopt;
  return BoundExpr(std::move(root));
}

std::optional<BoundExpr> BoundExpr::Bind(const ParsedExpr& expr, const Schema& schema, Diagnostics* diagnostics) {
  return Bind(expr, schema, diagnostics, Options());
}

TypeId BoundExpr::type() const { return root_->type; }
const std::vector<int>& BoundExpr::columns_read() const { return root_->columns; }
std::optional<int> BoundExpr::AsColumn() const {
  if (root_->column < 0) return std::nullopt;
  return root_->column;
}
std::string BoundExpr::ToString() const { return root_->text; }

namespace {

/// The selection as bytes, or no buffer when all rows are selected.
BufferRef ActiveRows(const Batch& batch) {
  if (!batch.has_selection()) return {};
  BufferRef active = AllocateBuffer(std::max(batch.physical_row_count(), 1));
  expr_kernels::IndicesToMask(batch.selection().indices.as<int32_t>(), batch.selection().count,
                              batch.physical_row_count(), active->data());
  return active;
}

}  // namespace

Column BoundExpr::Evaluate(const Batch& batch, int64_t* nulled) const {
  if (root_->column >= 0) return batch.column(root_->column);
  const BufferRef active = ActiveRows(batch);
  EvalContext context{&batch, batch.physical_row_count(), active ? active->data() : nullptr, nulled};
  return expr_internal::ColumnFromVec(root_->root->Evaluate(context), context.count);
}

Selection BoundExpr::Filter(const Batch& batch) const {
  assert(type() == TypeId::kBool);
  const int32_t count = batch.physical_row_count();
  BufferRef mask = ActiveRows(batch);
  if (!mask) {
    mask = AllocateBuffer(std::max(count, 1));
    std::memset(mask->data(), 1, static_cast<size_t>(count));
  }
  EvalContext context{&batch, count, nullptr, nullptr};
  root_->root->Narrow(context, mask->data());
  Selection selection;
  // MaskToIndices writes one place past what it keeps, at most eight.
  selection.indices = AllocateBuffer(int64_t{4} * (count + 8));
  selection.count = expr_kernels::MaskToIndices(mask->data(), count, selection.indices.as<int32_t>());
  return selection;
}

}  // namespace freshet
