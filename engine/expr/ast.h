#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/expr/value.h"

namespace freshet::expr_internal {

struct Node;
using NodeRef = std::shared_ptr<const Node>;

/// A node of the syntax tree. Offsets are bytes into the expression's text.
struct Node {
  enum class Form : uint8_t {
    kLiteral,   ///< `literal`
    kColumn,    ///< `name`
    kCall,      ///< `name`(args), lower case
    kOperator,  ///< `name` is "+", "and", "not", "neg", "is null", "is true", "is false", "in", "between", "like", "=",
                ///< …
    kCase,      ///< args: [operand] (when, then)… [else]
    kCast,      ///< `name` is the type as written
  };
  Form form = Form::kLiteral;
  bool quoted = false;       ///< kColumn: written in double quotes, so never an enum word
  bool star = false;         ///< kCall: `count(*)`
  bool distinct = false;     ///< kCall: `count(distinct x)`
  bool has_operand = false;  ///< kCase
  bool has_else = false;     ///< kCase
  bool try_cast = false;     ///< kCast
  int32_t offset = 0;
  int32_t length = 0;
  int32_t name_offset = 0;
  int32_t name_length = 0;
  int32_t depth = 1;
  std::string name;
  Value literal;
  std::vector<NodeRef> args;
  NodeRef filter;  ///< kCall: `filter (where …)`
};

/// Canonical text: lower-case keywords, one space around operators, parentheses around every nested operation.
std::string ToString(const Node& node);
/// Appends the column names of the tree, each once, in order of appearance.
void CollectColumns(const Node& node, std::vector<std::string>* names);

}  // namespace freshet::expr_internal
