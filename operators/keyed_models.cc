#include "operators/keyed_models.h"

namespace freshet {

bool ReadKeyedModelOptions(const OptionsNode& options, const BindContext& bind, const Schema& input,
                           KeyedModelPlan* plan, BoundOperator* bound) {
  const auto key = FindKey(input, options, "key", bind.diagnostics);
  const auto ttl_us = ReadStateTtl(options, bind, key && !key->empty());
  if (!key || !ttl_us) return false;
  plan->ttl_us = *ttl_us;
  if (plan->ttl_us > 0) TakeByEventTime(input, bound);
  if (key->empty()) return true;
  plan->key = KeyCodec(input, *key);
  bound->key = *key;
  for (const int c : *key) AddName(input.field(c).name, &bound->columns_read);
  return true;
}

void TakeByEventTime(const Schema& input, BoundOperator* bound) {
  if (bound->input_order == InputOrder::kByEventTime) return;
  bound->outputs.push_back({"late", LateSchema(input), OutputOrder::kInputOrder, {}});
  bound->input_order = InputOrder::kByEventTime;
}

}  // namespace freshet
