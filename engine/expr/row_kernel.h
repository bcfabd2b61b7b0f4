#pragma once

#include <tuple>
#include <utility>

#include "engine/expr/functions.h"

namespace freshet::expr_internal {

template <class T>
struct Stored {
  using Type = T;
};
template <>
struct Stored<bool> {
  using Type = uint8_t;
};

/// Makes a column kernel of a row function `Outcome F(RowState&, Result& out, Args… args)`. Null arguments give null
/// without a call; rows that are not active are skipped. The call is inlined: F is a template argument.
template <auto F>
struct RowKernel;

template <class R, class... A, Outcome (*F)(RowState&, R&, A...)>
struct RowKernel<F> {
  static Vec Run(const EvalContext& context, std::span<const Vec> args, Kind result, const void* prepared) {
    return RunRows(context, args, result, prepared, std::index_sequence_for<A...>());
  }

 private:
  template <size_t... I>
  static Vec RunRows(const EvalContext& context, std::span<const Vec> args, Kind result, const void* prepared,
                     std::index_sequence<I...>) {
    const bool constant = (args[I].constant && ...);
    const int32_t rows = constant ? 1 : context.count;
    VecWriter out(result, rows, constant, context.count);
    (out.Hold(args[I]), ...);
    RowState state{&out, prepared};
    const std::tuple<Reader<typename Stored<A>::Type>...> readers{Reader<typename Stored<A>::Type>(args[I])...};
    BufferRef buffer;
    const uint8_t* merged = MergeValid(args, constant, context.count, &buffer);
    auto* values = out.template values<typename Stored<R>::Type>();
    uint8_t* valid = nullptr;
    int64_t failed = 0;
    for (int32_t i = 0; i < rows; ++i) {
      R value{};
      if ((merged == nullptr || merged[i] != 0) && (constant || context.IsActive(i))) {
        const Outcome outcome = F(state, value, std::get<I>(readers)[i]...);
        if (outcome != Outcome::kValue) {
          if (valid == nullptr) {
            valid = out.valid();
            if (merged != nullptr) std::memcpy(valid, merged, static_cast<size_t>(rows));
          }
          valid[i] = 0;
          failed += outcome == Outcome::kFailed;
        }
      }
      values[i] = value;
    }
    if (context.nulled != nullptr) *context.nulled += failed;
    Vec vec = out.Finish();
    if (valid == nullptr) {
      vec.valid = merged;
      vec.valid_buffer = std::move(buffer);
    }
    return vec;
  }
};

}  // namespace freshet::expr_internal
