#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "connectors/format/source_schema.h"

namespace freshet {

/// The declared paths of a JSON record as a tree of keys; node 0 is the record itself. Immutable.
class JsonFieldTree {
 public:
  struct Node {
    std::string key;
    std::vector<int> fields;  ///< indices of the declared fields whose path ends here
    std::vector<int> children;
  };
  explicit JsonFieldTree(const SourceSchema& schema);
  const Node& node(int index) const { return nodes_[static_cast<size_t>(index)]; }
  int size() const { return static_cast<int>(nodes_.size()); }
  /// The child of `node` under `key`, or -1.
  int Child(int node, std::string_view key) const {
    for (const int child : nodes_[static_cast<size_t>(node)].children)
      if (nodes_[static_cast<size_t>(child)].key == key) return child;
    return -1;
  }
  /// True if no node has two fields, or a field and children: then one value sets one column.
  bool one_field_per_value() const { return one_field_per_value_; }

 private:
  std::vector<Node> nodes_;
  bool one_field_per_value_ = true;
};

}  // namespace freshet
