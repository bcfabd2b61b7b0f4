#include "engine/expr/parser.h"

#include <algorithm>

#include "engine/base/units.h"
#include "engine/expr/lexer.h"

namespace freshet::expr_internal {
namespace {

/// Binding strength, weakest first. `not` stands between `and` and comparisons, unary minus above `*`.
enum Precedence : int { kLowest = 0, kOr, kAnd, kNot, kCompare, kConcat, kAdd, kMultiply, kUnary };

/// Words that cannot be a column name without double quotes.
constexpr std::string_view kReserved[] = {"and",  "or",    "not",     "null", "true", "false", "in",   "is",
                                          "like", "ilike", "between", "case", "when", "then",  "else", "end"};

bool IsReserved(const std::string& word) {
  return std::find(std::begin(kReserved), std::end(kReserved), word) != std::end(kReserved);
}

using NodePtr = std::shared_ptr<Node>;

class Parser {
 public:
  Parser(const SpannedText& text, const std::vector<Token>& tokens, Diagnostics* diagnostics)
      : text_(text), tokens_(tokens), diagnostics_(diagnostics) {}

  NodeRef Run() {
    if (Peek().type == Token::Type::kEnd) return Fail("an expression is missing");
    NodeRef node = Expression(kLowest);
    if (node == nullptr) return nullptr;
    if (Peek().type != Token::Type::kEnd) return Unexpected("the end of the expression or an operator");
    return node;
  }

 private:
  const Token& Peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token& Next() { return tokens_[std::min(at_++, tokens_.size() - 1)]; }
  bool IsSymbol(std::string_view symbol, size_t ahead = 0) const {
    return Peek(ahead).type == Token::Type::kSymbol && Peek(ahead).text == symbol;
  }
  bool IsWord(std::string_view word, size_t ahead = 0) const {
    return Peek(ahead).type == Token::Type::kWord && Peek(ahead).lower == word;
  }
  bool TakeSymbol(std::string_view symbol) { return IsSymbol(symbol) ? (++at_, true) : false; }
  bool TakeWord(std::string_view word) { return IsWord(word) ? (++at_, true) : false; }

  std::nullptr_t FailAt(const Token& token, std::string message, std::string suggestion = {},
                        const char* code = "FR3001") {
    const int32_t size = static_cast<int32_t>(text_.value.size());
    const int32_t offset = token.type == Token::Type::kEnd && size > 0 ? size - 1 : token.offset;
    diagnostics_->Error(code, text_.At(offset, std::max(token.length, 1)), std::move(message), std::move(suggestion));
    return nullptr;
  }
  std::nullptr_t Fail(std::string message) { return FailAt(Peek(), std::move(message)); }
  std::nullptr_t Unexpected(const std::string& wanted) {
    const Token& token = Peek();
    if (token.type == Token::Type::kEnd) return FailAt(token, "the expression ends where " + wanted + " should stand");
    const std::string found = text_.value.substr(static_cast<size_t>(token.offset), static_cast<size_t>(token.length));
    return FailAt(token, "`" + found + "` stands where " + wanted + " should");
  }
  bool Expect(std::string_view symbol) {
    if (TakeSymbol(symbol)) return true;
    Unexpected("`" + std::string(symbol) + "`");
    return false;
  }
  bool ExpectWord(std::string_view word) {
    if (TakeWord(word)) return true;
    Unexpected("`" + std::string(word) + "`");
    return false;
  }

  NodePtr New(Node::Form form, std::string name, size_t first_token) {
    auto node = std::make_shared<Node>();
    node->form = form;
    node->name = std::move(name);
    node->offset = tokens_[first_token].offset;
    node->name_offset = tokens_[first_token].offset;
    node->name_length = tokens_[first_token].length;
    return node;
  }
  /// Sets the extent up to the last token taken, and the depth.
  NodeRef Close(NodePtr node) {
    const Token& last = tokens_[at_ - 1];
    node->length = last.offset + last.length - node->offset;
    for (const NodeRef& arg : node->args) node->depth = std::max(node->depth, arg->depth + 1);
    if (node->depth > kExprDepthMax)
      return FailAt(last, "the expression is nested too deep (more than 400 levels)", {}, "FR3004");
    return node;
  }
  NodeRef Operator(std::string name, std::vector<NodeRef> args, size_t operator_token) {
    NodePtr node = New(Node::Form::kOperator, std::move(name), operator_token);
    node->offset = std::min(args[0]->offset, node->offset);
    node->args = std::move(args);
    return Close(std::move(node));
  }

  NodeRef Expression(int weakest) {
    if (++nesting_ > kExprDepthMax)
      return FailAt(Peek(), "the expression is nested too deep (more than 400 levels)", {}, "FR3004");
    NodeRef left = IsWord("not") && weakest <= kNot ? Not() : Unary();
    while (left != nullptr) {
      const size_t before = at_;
      left = Infix(std::move(left), weakest);
      if (at_ == before) break;
    }
    --nesting_;
    return left;
  }

  NodeRef Not() {
    const size_t token = at_++;
    NodeRef operand = Expression(kNot);
    return operand ? Operator("not", {operand}, token) : nullptr;
  }

  /// Extends `left` by one operator that binds stronger than `weakest`, or gives it back untouched.
  NodeRef Infix(NodeRef left, int weakest) {
    const size_t token = at_;
    const Token& next = Peek();
    if (next.type == Token::Type::kSymbol) {
      static const std::pair<std::string_view, int> kBinary[] = {
          {"+", kAdd},     {"-", kAdd},      {"*", kMultiply}, {"/", kMultiply}, {"%", kMultiply},
          {"||", kConcat}, {"=", kCompare},  {"==", kCompare}, {"!=", kCompare}, {"<>", kCompare},
          {"<", kCompare}, {"<=", kCompare}, {">", kCompare},  {">=", kCompare}};
      for (const auto& [symbol, strength] : kBinary) {
        if (next.text != symbol || strength <= weakest) continue;
        ++at_;
        NodeRef right = Expression(strength);
        if (right == nullptr) return nullptr;
        std::string name = next.text == "==" ? "=" : next.text == "<>" ? "!=" : next.text;
        return Operator(std::move(name), {left, right}, token);
      }
      return left;
    }
    if (next.type != Token::Type::kWord) return left;
    if (next.lower == "div" && kMultiply > weakest) {
      ++at_;
      NodeRef right = Expression(kMultiply);
      return right ? Operator("div", {left, right}, token) : nullptr;
    }
    if (next.lower == "and" && kAnd > weakest) return Chain(std::move(left), "and", kAnd);
    if (next.lower == "or" && kOr > weakest) return Chain(std::move(left), "or", kOr);
    if (kCompare > weakest) return Predicate(std::move(left));
    return left;
  }

  NodeRef Chain(NodeRef left, const char* word, int strength) {
    const size_t token = at_;
    std::vector<NodeRef> args = {std::move(left)};
    while (TakeWord(word)) {
      args.push_back(Expression(strength));
      if (args.back() == nullptr) return nullptr;
    }
    return Operator(word, std::move(args), token);
  }

  /// is …, [not] in, [not] between, [not] like.
  NodeRef Predicate(NodeRef left) {
    const size_t token = at_;
    if (TakeWord("is")) {
      const bool negated = TakeWord("not");
      for (const char* word : {"null", "true", "false"}) {
        if (!TakeWord(word)) continue;
        NodeRef node = Operator("is " + std::string(word), {left}, token);
        return negated && node ? Operator("not", {node}, token) : node;
      }
      return Unexpected("`null`, `true` or `false`");
    }
    const bool negated =
        IsWord("not") && (IsWord("in", 1) || IsWord("between", 1) || IsWord("like", 1) || IsWord("ilike", 1));
    if (negated) ++at_;
    const size_t word = at_;
    std::vector<NodeRef> args = {left};
    if (TakeWord("in")) {
      if (!Expect("(") || !Arguments(&args)) return nullptr;
      if (args.size() == 1) return FailAt(tokens_[word], "`in ()` has no values");
    } else if (TakeWord("between")) {
      args.push_back(Expression(kCompare));
      if (args.back() == nullptr || !ExpectWord("and")) return nullptr;
      args.push_back(Expression(kCompare));
    } else if (TakeWord("like") || TakeWord("ilike")) {
      args.push_back(Expression(kCompare));
    } else {
      return left;
    }
    if (args.back() == nullptr) return nullptr;
    NodeRef node = Operator(tokens_[word].lower, std::move(args), word);
    return negated && node ? Operator("not", {node}, token) : node;
  }

  NodeRef Unary() {
    if (IsSymbol("-") || IsSymbol("+")) {
      const size_t token = at_++;
      const bool minus = tokens_[token].text == "-";
      if (minus && Peek().type == Token::Type::kLiteral && Peek().literal.kind == Kind::kInt64 && Peek().literal.null &&
          Peek().text == "9223372036854775808") {
        NodePtr node = New(Node::Form::kLiteral, "", token);
        node->literal = Value::Integer(Kind::kInt64, INT64_MIN);
        ++at_;
        return Close(std::move(node));
      }
      NodeRef operand = Expression(kUnary);
      if (operand == nullptr || !minus) return operand;
      const Value& v = operand->literal;
      if (operand->form == Node::Form::kLiteral && !v.null && (IsNumber(v.kind) || v.kind == Kind::kDuration) &&
          v.integer != INT64_MIN) {
        NodePtr node = New(Node::Form::kLiteral, "", token);
        node->literal = v;
        node->literal.integer = -v.integer;
        node->literal.number = -v.number;
        return Close(std::move(node));
      }
      return Operator("neg", {operand}, token);
    }
    NodeRef node = Primary();
    while (node != nullptr && IsSymbol("::")) {
      const size_t token = at_++;
      NodePtr cast = New(Node::Form::kCast, "", token);
      cast->offset = node->offset;
      cast->args = {node};
      if (!TypeWord(cast.get())) return nullptr;
      node = Close(std::move(cast));
    }
    return node;
  }

  bool TypeWord(Node* cast) {
    if (Peek().type != Token::Type::kWord) {
      Unexpected("a type");
      return false;
    }
    const Token& type = Next();
    cast->name = type.lower;
    cast->name_offset = type.offset;
    cast->name_length = type.length;
    if (cast->name == "double" && TakeWord("precision")) cast->name = "double";
    return true;
  }

  NodeRef Primary() {
    const Token& token = Peek();
    const size_t first = at_;
    switch (token.type) {
      case Token::Type::kLiteral: {
        if (token.literal.null)
          return FailAt(token, "`" + token.text + "` does not fit into int64",
                        "write " + token.text + ".0 for a float64", "FR3003");
        NodePtr node = New(Node::Form::kLiteral, "", first);
        node->literal = token.literal;
        ++at_;
        return Close(std::move(node));
      }
      case Token::Type::kQuotedName: {
        NodePtr node = New(Node::Form::kColumn, token.text, first);
        node->quoted = true;
        ++at_;
        return Close(std::move(node));
      }
      case Token::Type::kSymbol:
        if (TakeSymbol("(")) return Parenthesised(first);
        return Unexpected("a value");
      case Token::Type::kWord:
        return Word();
      case Token::Type::kEnd:
        break;
    }
    return Unexpected("a value");
  }

  NodeRef Parenthesised(size_t first) {
    NodeRef inner = Expression(kLowest);
    if (inner == nullptr || !Expect(")")) return nullptr;
    // The same node with its parentheses as extent, so that a message underlines all of it.
    auto node = std::make_shared<Node>(*inner);
    node->offset = tokens_[first].offset;
    return Close(std::move(node));
  }

  NodeRef Word() {
    const size_t first = at_;
    const std::string& word = Peek().lower;
    if (word == "true" || word == "false" || word == "null") {
      NodePtr node = New(Node::Form::kLiteral, "", first);
      if (word != "null") node->literal = Value::Bool(word == "true");
      ++at_;
      return Close(std::move(node));
    }
    if (word == "case") return Case();
    if ((word == "interval" || word == "timestamp") && Peek(1).type == Token::Type::kLiteral &&
        Peek(1).literal.kind == Kind::kString)
      return TypedLiteral(word == "interval");
    if (IsSymbol("(", 1) && !IsReserved(word)) {
      if (word == "cast" || word == "try_cast") return Cast();
      return Call();
    }
    if (IsReserved(word)) return Unexpected("a value");
    ++at_;
    return Close(New(Node::Form::kColumn, tokens_[first].text, first));
  }

  NodeRef TypedLiteral(bool interval) {
    const size_t first = at_;
    at_ += 2;
    const Token& text = tokens_[first + 1];
    if (!interval) {
      NodePtr cast = New(Node::Form::kCast, "timestamp", first);
      NodePtr literal = New(Node::Form::kLiteral, "", first + 1);
      literal->literal = text.literal;
      cast->args = {Close(std::move(literal))};
      return Close(std::move(cast));
    }
    // `interval '1 hour'` is SQL's spelling; ours is `1h`.
    auto duration = ParseDuration(text.text);
    if (!duration.ok()) return FailAt(text, duration.status().message(), {}, "FR3003");
    NodePtr node = New(Node::Form::kLiteral, "", first);
    node->literal = Value::Integer(Kind::kDuration, duration->us);
    return Close(std::move(node));
  }

  NodeRef Case() {
    NodePtr node = New(Node::Form::kCase, "case", at_++);
    if (!IsWord("when")) {
      node->has_operand = true;
      node->args.push_back(Expression(kLowest));
      if (node->args.back() == nullptr) return nullptr;
    }
    if (!IsWord("when")) return Unexpected("`when`");
    while (TakeWord("when")) {
      node->args.push_back(Expression(kLowest));
      if (node->args.back() == nullptr || !ExpectWord("then")) return nullptr;
      node->args.push_back(Expression(kLowest));
      if (node->args.back() == nullptr) return nullptr;
    }
    if (TakeWord("else")) {
      node->has_else = true;
      node->args.push_back(Expression(kLowest));
      if (node->args.back() == nullptr) return nullptr;
    }
    if (!ExpectWord("end")) return nullptr;
    return Close(std::move(node));
  }

  NodeRef Cast() {
    NodePtr node = New(Node::Form::kCast, "", at_);
    node->try_cast = Next().lower == "try_cast";
    if (!Expect("(")) return nullptr;
    node->args.push_back(Expression(kLowest));
    if (node->args.back() == nullptr || !ExpectWord("as") || !TypeWord(node.get()) || !Expect(")")) return nullptr;
    return Close(std::move(node));
  }

  /// Arguments up to and with the closing parenthesis.
  bool Arguments(std::vector<NodeRef>* args) {
    if (TakeSymbol(")")) return true;
    do {
      args->push_back(Expression(kLowest));
      if (args->back() == nullptr) return false;
    } while (TakeSymbol(","));
    if (TakeSymbol(")")) return true;
    Unexpected("`,` or `)`");
    return false;
  }

  NodeRef Call() {
    NodePtr node = New(Node::Form::kCall, Peek().lower, at_);
    at_ += 2;
    if (node->name == "extract" && Peek().type == Token::Type::kWord && IsWord("from", 1)) {
      NodePtr unit = New(Node::Form::kLiteral, "", at_);
      unit->literal = Value::Text(Next().lower);
      node->args.push_back(Close(std::move(unit)));
      ++at_;
      node->args.push_back(Expression(kLowest));
      if (node->args.back() == nullptr || !Expect(")")) return nullptr;
    } else if (IsSymbol("*") && IsSymbol(")", 1)) {
      node->star = true;
      at_ += 2;
    } else {
      node->distinct = IsWord("distinct") && !IsSymbol(")", 1) && !IsSymbol(",", 1) && TakeWord("distinct");
      if (node->name == "position" && !IsSymbol(")")) {
        // `position(a in b)`: the first operand ends before `in`.
        node->args.push_back(Expression(kCompare));
        if (node->args.back() == nullptr) return nullptr;
        if (!TakeWord("in") && !TakeSymbol(",")) return Unexpected("`in`");
      }
      if (!Arguments(&node->args)) return nullptr;
    }
    if (IsWord("filter") && IsSymbol("(", 1)) {
      at_ += 2;
      if (!ExpectWord("where")) return nullptr;
      node->filter = Expression(kLowest);
      if (node->filter == nullptr || !Expect(")")) return nullptr;
    }
    return Close(std::move(node));
  }

  const SpannedText& text_;
  const std::vector<Token>& tokens_;
  Diagnostics* diagnostics_;
  size_t at_ = 0;
  int nesting_ = 0;
};

}  // namespace

NodeRef ParseExpression(const SpannedText& text, Diagnostics* diagnostics) {
  std::vector<Token> tokens;
  if (!Tokenize(text, diagnostics, &tokens)) return nullptr;
  return Parser(text, tokens, diagnostics).Run();
}

}  // namespace freshet::expr_internal
