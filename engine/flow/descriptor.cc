#include "engine/flow/descriptor.h"

namespace freshet {

SchemaRef DeadLetterSchema() {
  static const SchemaRef schema = std::make_shared<const Schema>(std::vector<Field>{{"node", TypeId::kString},
                                                                                    {"partition", TypeId::kString},
                                                                                    {"line", TypeId::kInt64},
                                                                                    {"record", TypeId::kInt64},
                                                                                    {"reason", TypeId::kString},
                                                                                    {"raw", TypeId::kString}});
  return schema;
}

SchemaRef LateSchema(const Schema& input) {
  const auto free_name = [&](std::string name) {
    while (input.Find(name)) name += '_';
    return name;
  };
  return std::make_shared<const Schema>(input.With({{free_name("late_reason"), TypeId::kString},
                                                    {free_name("late_window_end"), TypeId::kTimestamp},
                                                    {free_name("lateness_ms"), TypeId::kInt64}}));
}

}  // namespace freshet
