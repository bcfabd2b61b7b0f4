#include "connectors/format/json_field_tree.h"

namespace freshet {

JsonFieldTree::JsonFieldTree(const SourceSchema& schema) : nodes_(1) {
  for (size_t field = 0; field < schema.fields.size(); ++field) {
    int at = 0;
    for (const std::string& key : schema.fields[field].path) {
      int child = Child(at, key);
      if (child < 0) {
        child = size();
        nodes_.push_back({key, {}, {}});
        nodes_[static_cast<size_t>(at)].children.push_back(child);
      }
      at = child;
    }
    nodes_[static_cast<size_t>(at)].fields.push_back(static_cast<int>(field));
  }
  for (const Node& n : nodes_)
    if (n.fields.size() > 1 || (!n.fields.empty() && !n.children.empty())) one_field_per_value_ = false;
}

}  // namespace freshet
