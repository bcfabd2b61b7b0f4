#include "engine/plan/reference.h"

#include <algorithm>
#include <cmath>

#include "engine/base/units.h"
#include "engine/plan/common_options.h"
#include "engine/plan/json_text.h"

namespace freshet {
namespace {

constexpr size_t kHelpWidth = 100;

const char* KindName(OptionKind kind) {
  switch (kind) {
    case OptionKind::kString:
      return "text";
    case OptionKind::kName:
      return "column";
    case OptionKind::kInt:
      return "int";
    case OptionKind::kFloat:
      return "number";
    case OptionKind::kBool:
      return "true|false";
    case OptionKind::kDuration:
      return "duration";
    case OptionKind::kSize:
      return "size";
    case OptionKind::kTime:
      return "time";
    case OptionKind::kEnum:
      return "word";
    case OptionKind::kExpr:
      return "expression";
    case OptionKind::kNameList:
      return "columns";
    case OptionKind::kExprList:
      return "list of expressions";
    case OptionKind::kExprMap:
      return "map of name: expression";
    case OptionKind::kPath:
      return "path";
    case OptionKind::kPathList:
      return "path or paths";
    case OptionKind::kSecret:
      return "{secret: env:NAME}";
    case OptionKind::kSchema:
      return "map of column: type";
    case OptionKind::kObject:
      return "options";
    case OptionKind::kStringMap:
      return "map of name: text";
    case OptionKind::kAny:
      break;
  }
  return "value";
}

const char* NounOf(NodeKind kind) {
  switch (kind) {
    case NodeKind::kSource:
      return "source";
    case NodeKind::kOperator:
      return "operator";
    case NodeKind::kSink:
      break;
  }
  return "sink";
}

std::string Number(double value, OptionKind kind) {
  if (kind == OptionKind::kDuration) return FormatDuration(Duration{static_cast<int64_t>(value)});
  if (kind == OptionKind::kSize) return FormatSize(static_cast<int64_t>(value));
  return JsonNumber(value);
}

/// Joins the lines of each paragraph; a line that is indented or an item of a list stays where it is.
std::string Paragraphs(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = i + 1 < text.size() ? text[i + 1] : '\n';
    const bool joins = text[i] == '\n' && i > 0 && text[i - 1] != '\n' && next != '\n' && next != ' ' && next != '-';
    out += joins ? ' ' : text[i];
  }
  return out;
}

/// Breaks text at spaces; lines after the first are indented. Newlines stay.
std::string Wrap(const std::string& text, size_t indent) {
  std::string out;
  size_t column = indent;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find_first_of(" \n", at), text.size());
    if (column + (end - at) > kHelpWidth && column > indent) {
      while (!out.empty() && out.back() == ' ') out.pop_back();
      out += "\n" + std::string(indent, ' ');
      column = indent;
    }
    out += text.substr(at, end - at);
    column += end - at;
    if (end < text.size() && text[end] == '\n') {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (end < text.size()) {
      out += ' ';
      ++column;
    }
    at = end + 1;
  }
  return out;
}

std::string TypeOf(const OptionSpec& spec) {
  if (spec.kind != OptionKind::kEnum) return KindName(spec.kind);
  std::string words;
  for (const std::string& word : spec.enum_values) words += (words.empty() ? "" : "|") + word;
  return words;
}

std::string RangeOf(const OptionSpec& spec) {
  const bool low = std::isfinite(spec.min);
  const bool high = std::isfinite(spec.max);
  if (low && high) return Number(spec.min, spec.kind) + " to " + Number(spec.max, spec.kind);
  if (low) return "at least " + Number(spec.min, spec.kind);
  return high ? "at most " + Number(spec.max, spec.kind) : "";
}

void AppendOption(const OptionSpec& spec, size_t indent, std::string* out) {
  *out += std::string(indent, ' ') + spec.name + ": " + TypeOf(spec);
  std::string notes;
  const auto note = [&](const std::string& text) { notes += (notes.empty() ? "" : ", ") + text; };
  if (spec.required) note("required");
  if (!spec.default_text.empty() && spec.kind != OptionKind::kSecret) note("default " + spec.default_text);
  if (const std::string range = RangeOf(spec); !range.empty()) note(range);
  if (spec.state == StateEffect::kBreaking) note("a change needs a new state");
  if (!notes.empty()) *out += "  (" + notes + ")";
  *out += "\n";
  if (!spec.doc.empty()) *out += std::string(indent + 4, ' ') + Wrap(spec.doc, indent + 4) + "\n";
  for (const OptionSpec& field : spec.fields) AppendOption(field, indent + 4, out);
}

void AppendHelp(const NodeDescriptor& d, std::string* out) {
  *out += d.type + " (" + NounOf(d.kind) + "): " + d.summary + "\n";
  if (!d.doc.empty()) *out += "\n" + Wrap(Paragraphs(d.doc), 0) + "\n";
  if (!d.options.empty()) *out += "\nOptions\n";
  for (const OptionSpec& spec : d.options) AppendOption(spec, 2, out);
  if (d.kind == NodeKind::kSource) {
    *out += "\nOptions of every source\n";
    for (const OptionSpec& spec : AllOptions(d)) {
      const bool own =
          std::any_of(d.options.begin(), d.options.end(), [&](const OptionSpec& o) { return o.name == spec.name; });
      if (!own) AppendOption(spec, 2, out);
    }
  }
  std::string outputs = d.kind == NodeKind::kSource ? "dead_letter" : "";
  for (const std::string& name : d.output_names) outputs += (outputs.empty() ? "" : ", ") + name;
  if (!outputs.empty() && d.kind != NodeKind::kSink) *out += "\nOutputs beside the main one: " + outputs + "\n";
  if (!d.example.empty()) {
    *out += "\nExample\n  ";
    for (const char c : d.example) *out += c == '\n' ? std::string("\n  ") : std::string(1, c);
    *out += "\n";
  }
}

// ---- JSON Schema

/// One option's value. Variables may stand for any scalar, so numbers are also allowed as "${NAME}".
std::string ValueSchema(const OptionSpec& spec);

std::string Described(const OptionSpec& spec, const std::string& body) {
  std::string out = "{";
  if (!spec.doc.empty()) out += "\"description\":" + JsonQuote(spec.doc) + ",";
  if (!spec.default_text.empty() && spec.kind != OptionKind::kSecret)
    out += "\"default\":" + JsonQuote(spec.default_text) + ",";
  return out + body + "}";
}

std::string PropertiesOf(const std::vector<OptionSpec>& specs, std::string* required) {
  std::string out;
  for (const OptionSpec& spec : specs) {
    out += (out.empty() ? "" : ",") + JsonQuote(spec.name) + ":" + ValueSchema(spec);
    if (spec.required) *required += (required->empty() ? "" : ",") + JsonQuote(spec.name);
  }
  return out;
}

std::string ObjectSchema(const std::vector<OptionSpec>& specs) {
  std::string required;
  const std::string properties = PropertiesOf(specs, &required);
  std::string out = "\"type\":\"object\",\"additionalProperties\":false,\"properties\":{" + properties + "}";
  if (!required.empty()) out += ",\"required\":[" + required + "]";
  return out;
}

std::string NumberSchema(const OptionSpec& spec, const char* type) {
  std::string out = std::string("\"anyOf\":[{\"type\":\"") + type + "\"";
  if (std::isfinite(spec.min)) out += ",\"minimum\":" + JsonNumber(spec.min);
  if (std::isfinite(spec.max)) out += ",\"maximum\":" + JsonNumber(spec.max);
  return out + "},{\"$ref\":\"#/$defs/variable\"}]";
}

std::string ValueSchema(const OptionSpec& spec) {
  const std::string scalar = "{\"$ref\":\"#/$defs/scalar\"}";
  switch (spec.kind) {
    case OptionKind::kInt:
      return Described(spec, NumberSchema(spec, "integer"));
    case OptionKind::kFloat:
      return Described(spec, NumberSchema(spec, "number"));
    case OptionKind::kBool:
      return Described(spec, "\"anyOf\":[{\"type\":\"boolean\"},{\"$ref\":\"#/$defs/variable\"}]");
    case OptionKind::kEnum: {
      std::string words;
      for (const std::string& word : spec.enum_values) words += (words.empty() ? "" : ",") + JsonQuote(word);
      return Described(spec, "\"anyOf\":[{\"enum\":[" + words + "]},{\"$ref\":\"#/$defs/variable\"}]");
    }
    case OptionKind::kNameList:
    case OptionKind::kPathList:
      return Described(spec, "\"anyOf\":[" + scalar + ",{\"type\":\"array\",\"items\":" + scalar + "}]");
    case OptionKind::kExprList:
      return Described(spec, "\"anyOf\":[" + scalar + ",{\"type\":\"array\",\"items\":" + scalar + "}]");
    case OptionKind::kExprMap:
    case OptionKind::kStringMap:
      return Described(spec, "\"type\":\"object\",\"additionalProperties\":" + scalar);
    case OptionKind::kSecret:
      return Described(spec, "\"$ref\":\"#/$defs/secret\"");
    case OptionKind::kSchema:
      return Described(spec, "\"type\":\"object\"");
    case OptionKind::kObject:
      return Described(spec, ObjectSchema(spec.fields));
    case OptionKind::kAny:
      return Described(spec, "\"$comment\":\"see `freshet help`\"");
    default:
      return Described(spec, "\"$ref\":\"#/$defs/scalar\"");
  }
}

std::string NodeSchema(const NodeDescriptor& d) {
  std::string required = "\"type\"";
  std::string properties =
      "\"type\":{\"const\":" + JsonQuote(d.type) + ",\"description\":" + JsonQuote(d.summary) + "}";
  properties += ",\"include\":{\"$ref\":\"#/$defs/include\"},\"<<\":{}";
  if (d.kind != NodeKind::kSource) {
    properties += ",\"inputs\":{\"$ref\":\"#/$defs/inputs\"}";
    required += ",\"inputs\"";
  }
  std::string more;
  const std::string options = PropertiesOf(AllOptions(d), &more);
  if (!options.empty()) properties += "," + options;
  if (!more.empty()) required += "," + more;
  return "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{" + properties + "},\"required\":[" +
         required + "]}";
}

/// A map of nodes: each is told apart by its `type`, so that an editor reports against that type only.
std::string SectionSchema(const Registry& registry, NodeKind kind) {
  std::string types;
  std::string cases;
  for (const NodeDescriptor& d : registry.descriptors()) {
    if (d.kind != kind) continue;
    types += (types.empty() ? "" : ",") + JsonQuote(d.type);
    cases += std::string(cases.empty() ? "" : ",") +
             "{\"if\":{\"properties\":{\"type\":{\"const\":" + JsonQuote(d.type) +
             "}},\"required\":[\"type\"]},\"then\":" + NodeSchema(d) + "}";
  }
  std::string node =
      "{\"type\":\"object\",\"properties\":{\"type\":{\"enum\":[" + types + "]}},\"required\":[\"type\"]";
  if (!cases.empty()) node += ",\"allOf\":[" + cases + "]";
  return "{\"type\":\"object\",\"properties\":{\"include\":{\"$ref\":\"#/$defs/include\"}},\"additionalProperties\":" +
         node + "}}";
}

}  // namespace

std::string PipelineJsonSchema(const Registry& registry) {
  const std::string scalar = R"({"type":["string","number","boolean"]})";
  const std::string secret =
      R"({"anyOf":[{"type":"object","properties":{"secret":{"type":"string","pattern":"^(env|file):."}},"required":["secret"],"additionalProperties":false},{"$ref":"#/$defs/variable"}]})";
  const std::string inputs = R"({"anyOf":[{"type":"string"},{"type":"array","items":{"type":"string"},"minItems":1}]})";
  const std::string include = R"({"anyOf":[{"type":"string"},{"type":"array","items":{"type":"string"}}]})";
  const std::string test =
      R"({"type":"object","additionalProperties":false,"required":["name","feed","expect"],"properties":{"name":{"type":"string"},"feed":{"type":"object","additionalProperties":{"type":"array","items":{"type":"object"}}},"expect":{"type":"object","minProperties":1,"additionalProperties":{"anyOf":[{"type":"array","items":{"type":"object"}},{"type":"object"}]}}}})";
  std::string out =
      R"({"$schema":"https://json-schema.org/draft/2020-12/schema","title":"Freshet pipeline","type":"object",)";
  out +=
      R"("additionalProperties":false,"required":["sources"],"$defs":{"variable":{"type":"string","pattern":"\\$\\{"},"scalar":{"anyOf":[)" +
      scalar + R"(,{"$ref":"#/$defs/secret"}]},"secret":)" + secret + ",\"inputs\":" + inputs +
      ",\"include\":" + include + "},";
  out +=
      R"("properties":{"name":{"type":"string","pattern":"^[A-Za-z_][A-Za-z0-9_-]*$"},"description":{"type":"string"},"include":{"$ref":"#/$defs/include"},)";
  out += "\"settings\":{" + ObjectSchema(SettingsOptions()) + "},";
  out += "\"sources\":" + SectionSchema(registry, NodeKind::kSource) + ",";
  out += "\"operators\":" + SectionSchema(registry, NodeKind::kOperator) + ",";
  out += "\"sinks\":" + SectionSchema(registry, NodeKind::kSink) + ",";
  out += "\"tests\":{\"type\":\"array\",\"items\":" + test + "}}}";
  return JsonIndent(out);
}

std::string HelpOverview(const Registry& registry) {
  std::string out;
  for (const NodeKind kind : {NodeKind::kSource, NodeKind::kOperator, NodeKind::kSink}) {
    out += std::string(out.empty() ? "" : "\n") + NounOf(kind) + "s\n";
    size_t width = 0;
    for (const NodeDescriptor& d : registry.descriptors()) {
      if (d.kind == kind) width = std::max(width, d.type.size());
    }
    for (const NodeDescriptor& d : registry.descriptors()) {
      if (d.kind == kind) out += "  " + d.type + std::string(width + 2 - d.type.size(), ' ') + d.summary + "\n";
    }
  }
  return out;
}

std::string HelpType(const Registry& registry, const std::string& type) {
  std::string out;
  for (const NodeDescriptor& d : registry.descriptors()) {
    if (d.type != type) continue;
    if (!out.empty()) out += "\n";
    AppendHelp(d, &out);
  }
  if (!out.empty()) return out;
  if (type == "settings") {
    out = "settings: options of the whole pipeline\n\n";
    for (const OptionSpec& spec : SettingsOptions()) AppendOption(spec, 2, &out);
  } else if (type == "time") {
    out = "time: when a row of a source happened\n\n";
    for (const OptionSpec& spec : SourceOptions()[0].fields) AppendOption(spec, 2, &out);
  }
  return out;
}

std::string NearestType(const Registry& registry, const std::string& type) {
  std::vector<std::string> names = {"settings", "time"};
  for (const NodeDescriptor& d : registry.descriptors()) names.push_back(d.type);
  return NearestName(type, names.data(), names.size());
}

}  // namespace freshet
