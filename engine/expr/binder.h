#pragma once

#include <string>
#include <vector>

#include "engine/expr/ast.h"
#include "engine/expr/expr.h"
#include "engine/expr/functions.h"

namespace freshet::expr_internal {

/// What a BoundExpr points to.
struct BoundNode {
  EvalRef root;
  TypeId type = TypeId::kBool;
  std::vector<int> columns;  ///< of the schema, ascending
  int column = -1;           ///< if it is just a column of the schema
  std::string text;
};

/// Type-checks one expression against one schema. Every method gives null after reporting what is wrong, and siblings
/// of a bad operand are checked all the same, so that one run names all mistakes.
class Binder {
 public:
  Binder(const ParsedExpr& expr, const Schema& schema, const BoundExpr::Options& options, Diagnostics* diagnostics)
      : expr_(expr), schema_(schema), options_(options), diagnostics_(diagnostics) {}
  /// For a keyed function's argument, where another keyed function would be nested.
  void set_inside_keyed_call() { inside_keyed_call_ = true; }
  std::shared_ptr<const BoundNode> Run();

 private:
  EvalRef Bind(const Node& node);
  EvalRef BindColumn(const Node& node);
  EvalRef BindOperator(const Node& node);
  EvalRef BindArithmetic(const Node& node, EvalRef left, EvalRef right);
  EvalRef BindTimeArithmetic(const Node& node, EvalRef left, EvalRef right);
  EvalRef BindNegation(const Node& node, EvalRef operand);
  EvalRef BindComparison(const Node& node);
  EvalRef BindLogic(const Node& node);
  EvalRef BindMembership(const Node& node);
  EvalRef BindCase(const Node& node);
  EvalRef BindCast(const Node& node);
  EvalRef BindCall(const Node& node);
  /// Functions with their own typing rules; sets *handled.
  EvalRef BindSpecial(const Node& node, bool* handled);
  EvalRef BindIf(const Node& node);
  EvalRef BindNullIf(const Node& node);
  EvalRef BindKeyed(const Node& node);
  EvalRef UnknownFunction(const Node& node);
  EvalRef Mismatch(const Node& node, const std::vector<EvalRef>& args, const std::vector<const Function*>& overloads);

  /// All arguments from `from` on; false if any is bad.
  bool BindAll(const Node& node, std::vector<EvalRef>* out, size_t from = 0);
  bool CheckArity(const Node& node, size_t least, size_t most);
  /// The operand as `to`, if it may become that silently; reports otherwise when `what` is given.
  EvalRef Coerce(EvalRef operand, Kind to, const Node& node, const char* what);
  /// Brings operands to one kind. `compare`: a whole float64 constant joins int64 columns as int64. Reports FR3009 at
  /// `at`.
  bool Unify(std::vector<EvalRef>* operands, const std::vector<const Node*>& nodes, const Node& at, bool compare);
  EvalRef AsBool(EvalRef operand, const Node& node, const char* where);
  EvalRef Fold(const Node& node, EvalRef bound, bool all_constant);
  EvalRef Error(const Node& node, const char* code, std::string message, std::string suggestion = {});
  EvalRef NameError(const Node& node, const char* code, std::string message, std::string suggestion = {});
  ParsedExpr Part(const NodeRef& node) const;

  const ParsedExpr& expr_;
  const Schema& schema_;
  const BoundExpr::Options& options_;
  Diagnostics* diagnostics_;
  std::vector<int> columns_;
  bool inside_keyed_call_ = false;
};

}  // namespace freshet::expr_internal
