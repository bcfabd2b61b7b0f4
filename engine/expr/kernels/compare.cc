#include "engine/expr/kernels/compare.h"

#include <cstring>

namespace freshet::expr_kernels {
namespace {

template <class T, class Op>
void Loop(Operand<T> a, Operand<T> b, int32_t count, uint8_t* out, Op op) {
  const T* x = a.values;
  const T* y = b.values;
  if (b.constant) {
    const T c = *y;
    const int step = a.constant ? 0 : 1;
    if (step == 0) {
      for (int32_t i = 0; i < count; ++i) out[i] = op(*x, c);
    } else {
      for (int32_t i = 0; i < count; ++i) out[i] = op(x[i], c);
    }
  } else if (a.constant) {
    const T c = *x;
    for (int32_t i = 0; i < count; ++i) out[i] = op(c, y[i]);
  } else {
    for (int32_t i = 0; i < count; ++i) out[i] = op(x[i], y[i]);
  }
}

template <class T>
void CompareTotal(CompareOp op, Operand<T> a, Operand<T> b, int32_t count, uint8_t* out) {
  switch (op) {
    case CompareOp::kEqual:
      return Loop(a, b, count, out, [](T x, T y) { return x == y; });
    case CompareOp::kNotEqual:
      return Loop(a, b, count, out, [](T x, T y) { return x != y; });
    case CompareOp::kLess:
      return Loop(a, b, count, out, [](T x, T y) { return x < y; });
    case CompareOp::kLessEqual:
      return Loop(a, b, count, out, [](T x, T y) { return x <= y; });
    case CompareOp::kGreater:
      return Loop(a, b, count, out, [](T x, T y) { return x > y; });
    case CompareOp::kGreaterEqual:
      return Loop(a, b, count, out, [](T x, T y) { return x >= y; });
  }
}

/// With NaN last: x < y if IEEE says so or only y is NaN. The others follow from it and from equality.
inline bool Less(double x, double y) { return (x < y) | ((x == x) & (y != y)); }
inline bool Equal(double x, double y) { return (x == y) | ((x != x) & (y != y)); }

}  // namespace

void Compare(CompareOp op, Operand<int64_t> a, Operand<int64_t> b, int32_t count, uint8_t* out) {
  CompareTotal(op, a, b, count, out);
}
void Compare(CompareOp op, Operand<uint8_t> a, Operand<uint8_t> b, int32_t count, uint8_t* out) {
  CompareTotal(op, a, b, count, out);
}

void Compare(CompareOp op, Operand<double> a, Operand<double> b, int32_t count, uint8_t* out) {
  // Against a number (the usual case) one IEEE comparison is enough.
  const bool number = b.constant && *b.values == *b.values;
  switch (op) {
    case CompareOp::kEqual:
      if (number) return Loop(a, b, count, out, [](double x, double y) { return x == y; });
      return Loop(a, b, count, out, [](double x, double y) { return Equal(x, y); });
    case CompareOp::kNotEqual:
      if (number) return Loop(a, b, count, out, [](double x, double y) { return x != y; });
      return Loop(a, b, count, out, [](double x, double y) { return !Equal(x, y); });
    case CompareOp::kLess:
      if (number) return Loop(a, b, count, out, [](double x, double y) { return x < y; });
      return Loop(a, b, count, out, [](double x, double y) { return Less(x, y); });
    case CompareOp::kLessEqual:
      if (number) return Loop(a, b, count, out, [](double x, double y) { return x <= y; });
      return Loop(a, b, count, out, [](double x, double y) { return !Less(y, x); });
    case CompareOp::kGreater:
      if (number) return Loop(a, b, count, out, [](double x, double y) { return !(x <= y); });
      return Loop(a, b, count, out, [](double x, double y) { return Less(y, x); });
    case CompareOp::kGreaterEqual:
      if (number) return Loop(a, b, count, out, [](double x, double y) { return !(x < y); });
      return Loop(a, b, count, out, [](double x, double y) { return !Less(x, y); });
  }
}

void NarrowTextEqual(const int32_t* offsets, const char* bytes, int32_t count, const char* constant, int32_t size,
                     bool equal, uint8_t* keep) {
  for (int32_t i = 0; i < count; ++i) {
    if (keep[i] == 0) continue;
    const bool same = offsets[i + 1] - offsets[i] == size &&
                      (size == 0 || std::memcmp(bytes + offsets[i], constant, static_cast<size_t>(size)) == 0);
    keep[i] = same == equal;
  }
}

}  // namespace freshet::expr_kernels
