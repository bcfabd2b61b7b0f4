#include "tests/serve/prometheus_text.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <set>

namespace freshet::testing {
namespace {

bool IsName(const std::string& name, bool metric) {
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) != 0) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || (metric && c == ':');
  });
}

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

class Reader {
 public:
  PrometheusText Read(const std::string& text) {
    if (!text.empty() && text.back() != '\n') Complain("the last line has no end");
    size_t from = 0;
    while (from < text.size()) {
      const size_t end = text.find('\n', from);
      line_ = text.substr(from, end - from);
      ++number_;
      from = end == std::string::npos ? text.size() : end + 1;
      if (line_.empty()) continue;
      if (line_[0] == '#')
        ReadComment();
      else
        ReadSample();
    }
    for (const auto& [name, family] : out_.families) Finish(name, family);
    return std::move(out_);
  }

 private:
  void Complain(const std::string& what) {
    out_.problems.push_back("line " + std::to_string(number_) + ": " + what + ": " + line_);
  }

  void ReadComment() {
    const bool help = line_.rfind("# HELP ", 0) == 0;
    if (!help && line_.rfind("# TYPE ", 0) != 0) return Complain("neither # HELP nor # TYPE");
    const size_t space = line_.find(' ', 7);
    if (space == std::string::npos) return Complain("nothing behind the name");
    const std::string name = line_.substr(7, space - 7);
    const std::string rest = line_.substr(space + 1);
    if (!IsName(name, true)) return Complain("bad metric name");
    if (name != current_ && !seen_.insert(name).second) Complain("the family comes in two pieces");
    current_ = name;
    PrometheusFamily& family = out_.families[name];
    if (!family.samples.empty()) Complain("a comment behind samples");
    std::string& field = help ? family.help : family.type;
    if (!field.empty()) Complain("said twice");
    field = rest;
    static const std::set<std::string> kTypes = {"counter", "gauge", "histogram", "summary", "untyped"};
    if (!help && kTypes.count(rest) == 0) Complain("no such type");
  }

  bool ReadLabels(size_t* at, std::map<std::string, std::string>* labels) {
    while (*at < line_.size() && line_[*at] != '}') {
      const size_t equal = line_.find('=', *at);
      if (equal == std::string::npos || equal + 1 >= line_.size() || line_[equal + 1] != '"') return false;
      const std::string name = line_.substr(*at, equal - *at);
      if (!IsName(name, false) || name.rfind("__", 0) == 0) return false;
      std::string value;
      size_t i = equal + 2;
      for (; i < line_.size() && line_[i] != '"'; ++i) {
        if (line_[i] != '\\') {
          value += line_[i];
          continue;
        }
        if (++i >= line_.size()) return false;
        if (line_[i] == 'n')
          value += '\n';
        else if (line_[i] == '\\' || line_[i] == '"')
          value += line_[i];
        else
          return false;
      }
      if (i >= line_.size() || !labels->emplace(name, value).second) return false;
      *at = i + 1;
      if (*at < line_.size() && line_[*at] == ',') ++*at;
    }
    if (*at >= line_.size()) return false;
    ++*at;
    return true;
  }

  void ReadSample() {
    PrometheusSample sample;
    size_t at = line_.find_first_of("{ ");
    if (at == std::string::npos) return Complain("no value");
    sample.name = line_.substr(0, at);
    if (!IsName(sample.name, true)) Complain("bad metric name");
    if (line_[at] == '{' && !ReadLabels(&++at, &sample.labels)) return Complain("bad labels");
    if (at >= line_.size() || line_[at] != ' ') return Complain("no value");
    const std::string value = line_.substr(at + 1);
    char* end = nullptr;
    sample.value = value == "+Inf" ? std::numeric_limits<double>::infinity() : std::strtod(value.c_str(), &end);
    if (end != nullptr && (end == value.c_str() || *end != 0)) Complain("no number");
    std::string family = sample.name;
    if (out_.families.count(family) == 0 || out_.families[family].type == "histogram")
      for (const char* suffix : {"_bucket", "_sum", "_count"})
        if (EndsWith(sample.name, suffix) && sample.name == current_ + suffix) family = current_;
    if (family != current_) return Complain("outside its family");
    std::string identity = sample.name;
    for (const auto& [name, text] : sample.labels) identity += "\n" + name + "=" + text;
    if (!identities_.insert(identity).second) Complain("a duplicate");
    out_.families[family].samples.push_back(std::move(sample));
  }

  void Finish(const std::string& name, const PrometheusFamily& family) {
    line_ = name;
    if (family.help.empty()) Complain("no # HELP");
    if (family.type.empty()) Complain("no # TYPE");
    if (family.samples.empty()) Complain("no samples");
    if (family.type == "counter" && !EndsWith(name, "_total")) Complain("a counter's name ends in _total");
    if (family.type != "counter" && EndsWith(name, "_total")) Complain("only a counter's name ends in _total");
    for (const PrometheusSample& s : family.samples)
      if (family.type == "counter" && !(s.value >= 0)) Complain("a counter below 0");
    if (family.type == "histogram") FinishHistogram(family);
  }

  void FinishHistogram(const PrometheusFamily& family) {
    struct Series {
      double last_bound = -std::numeric_limits<double>::infinity();
      double last_count = 0;
      bool has_sum = false;
      double count = -1;
    };
    std::map<std::map<std::string, std::string>, Series> all;
    for (const PrometheusSample& sample : family.samples) {
      std::map<std::string, std::string> labels = sample.labels;
      const std::string bound = labels["le"];
      labels.erase("le");
      Series& series = all[labels];
      if (EndsWith(sample.name, "_sum")) series.has_sum = true;
      if (EndsWith(sample.name, "_count")) series.count = sample.value;
      if (!EndsWith(sample.name, "_bucket")) continue;
      const double le = bound == "+Inf" ? std::numeric_limits<double>::infinity() : std::strtod(bound.c_str(), nullptr);
      if (bound.empty() || le <= series.last_bound) Complain("buckets are not in order");
      if (sample.value < series.last_count) Complain("buckets are not cumulative");
      series.last_bound = le;
      series.last_count = sample.value;
    }
    for (const auto& [labels, series] : all)
      if (!series.has_sum || series.count != series.last_count || !std::isinf(series.last_bound))
        Complain("a histogram without _sum, +Inf or the right _count");
  }

  PrometheusText out_;
  std::string line_;
  int number_ = 0;
  std::string current_;
  std::set<std::string> seen_;
  std::set<std::string> identities_;
};

}  // namespace

double PrometheusText::Value(const std::string& name, const std::map<std::string, std::string>& labels) const {
  for (const auto& [family, content] : families)
    for (const PrometheusSample& sample : content.samples)
      if (sample.name == name && sample.labels == labels) return sample.value;
  return std::numeric_limits<double>::quiet_NaN();
}

PrometheusText ReadPrometheus(const std::string& text) { return Reader().Read(text); }

}  // namespace freshet::testing
