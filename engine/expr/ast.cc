#include "engine/expr/ast.h"

#include <algorithm>

namespace freshet::expr_internal {
namespace {

bool IsPlainName(const std::string& name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  for (const char c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) return false;
  return true;
}

std::string ColumnText(const Node& node) {
  if (!node.quoted && IsPlainName(node.name)) return node.name;
  std::string out = "\"";
  for (const char c : node.name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

std::string Nested(const Node& node) {
  std::string text = ToString(node);
  return node.form == Node::Form::kOperator ? "(" + text + ")" : text;
}

std::string List(const std::vector<NodeRef>& args, size_t from) {
  std::string out;
  for (size_t i = from; i < args.size(); ++i) {
    if (i > from) out += ", ";
    out += ToString(*args[i]);
  }
  return out;
}

std::string OperatorText(const Node& node) {
  const auto& a = node.args;
  if (node.name == "not") return "not " + Nested(*a[0]);
  if (node.name == "neg") return "-" + Nested(*a[0]);
  if (node.name == "in") return Nested(*a[0]) + " in (" + List(a, 1) + ")";
  if (node.name == "between") return Nested(*a[0]) + " between " + Nested(*a[1]) + " and " + Nested(*a[2]);
  if (a.size() == 1) return Nested(*a[0]) + " " + node.name;
  std::string out = Nested(*a[0]);
  for (size_t i = 1; i < a.size(); ++i) out += " " + node.name + " " + Nested(*a[i]);
  return out;
}

std::string CaseText(const Node& node) {
  std::string out = "case";
  size_t i = 0;
  if (node.has_operand) out += " " + ToString(*node.args[i++]);
  const size_t end = node.args.size() - (node.has_else ? 1 : 0);
  for (; i < end; i += 2) out += " when " + ToString(*node.args[i]) + " then " + ToString(*node.args[i + 1]);
  if (node.has_else) out += " else " + ToString(*node.args[end]);
  return out + " end";
}

}  // namespace

std::string ToString(const Node& node) {
  switch (node.form) {
    case Node::Form::kLiteral:
      return node.literal.ToString();
    case Node::Form::kColumn:
      return ColumnText(node);
    case Node::Form::kOperator:
      return OperatorText(node);
    case Node::Form::kCase:
      return CaseText(node);
    case Node::Form::kCast:
      return std::string(node.try_cast ? "try_cast(" : "cast(") + ToString(*node.args[0]) + " as " + node.name + ")";
    case Node::Form::kCall:
      break;
  }
  std::string out =
      node.name + "(" + (node.star ? "*" : "") + (node.distinct ? "distinct " : "") + List(node.args, 0) + ")";
  if (node.filter) out += " filter (where " + ToString(*node.filter) + ")";
  return out;
}

void CollectColumns(const Node& node, std::vector<std::string>* names) {
  if (node.form == Node::Form::kColumn && std::find(names->begin(), names->end(), node.name) == names->end())
    names->push_back(node.name);
  for (const NodeRef& arg : node.args) CollectColumns(*arg, names);
  if (node.filter) CollectColumns(*node.filter, names);
}

}  // namespace freshet::expr_internal
