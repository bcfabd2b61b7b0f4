#include "engine/expr/kernels/arithmetic.h"

#include <cmath>
#include <limits>

namespace freshet::expr_kernels {
namespace {

/// Runs `loop(a_step, b_step)` with compile-time steps, so that each of the three shapes is its own tight loop.
template <class T, class Out, class Op>
void Loop(Operand<T> a, Operand<T> b, int32_t count, Out* out, Op op) {
  const T* x = a.values;
  const T* y = b.values;
  if (a.constant && b.constant) {
    for (int32_t i = 0; i < count; ++i) out[i] = op(*x, *y);
  } else if (a.constant) {
    const T c = *x;
    for (int32_t i = 0; i < count; ++i) out[i] = op(c, y[i]);
  } else if (b.constant) {
    const T c = *y;
    for (int32_t i = 0; i < count; ++i) out[i] = op(x[i], c);
  } else {
    for (int32_t i = 0; i < count; ++i) out[i] = op(x[i], y[i]);
  }
}

int64_t Wrap(uint64_t v) { return static_cast<int64_t>(v); }
uint64_t U(int64_t v) { return static_cast<uint64_t>(v); }

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();

int64_t DivideOrZero(int64_t x, int64_t y) { return y == 0 ? 0 : y == -1 ? Wrap(0 - U(x)) : x / y; }
int64_t ModuloOrZero(int64_t x, int64_t y) { return y == 0 || y == -1 ? 0 : x % y; }

}  // namespace

bool Arithmetic(ArithmeticOp op, Operand<int64_t> a, Operand<int64_t> b, int32_t count, int64_t* out) {
  // The sign bit of `failed` gathers overflows: of a sum when both operands differ in sign from it.
  int64_t failed = 0;
  switch (op) {
    case ArithmeticOp::kAdd:
      Loop(a, b, count, out, [&failed](int64_t x, int64_t y) {
        const int64_t sum = Wrap(U(x) + U(y));
        failed |= (x ^ sum) & (y ^ sum);
        return sum;
      });
      return failed < 0;
    case ArithmeticOp::kSubtract:
      Loop(a, b, count, out, [&failed](int64_t x, int64_t y) {
        const int64_t difference = Wrap(U(x) - U(y));
        failed |= (x ^ y) & (x ^ difference);
        return difference;
      });
      return failed < 0;
    case ArithmeticOp::kMultiply:
      Loop(a, b, count, out, [&failed](int64_t x, int64_t y) {
        int64_t product = 0;
        failed |= __builtin_mul_overflow(x, y, &product) ? -1 : 0;
        return product;
      });
      return failed < 0;
    case ArithmeticOp::kIntegerDivide:
    case ArithmeticOp::kDivide:
      Loop(a, b, count, out, [&failed](int64_t x, int64_t y) {
        failed |= y == 0 || (y == -1 && x == kMin) ? -1 : 0;
        return DivideOrZero(x, y);
      });
      return failed < 0;
    case ArithmeticOp::kModulo:
      Loop(a, b, count, out, [&failed](int64_t x, int64_t y) {
        failed |= y == 0 ? -1 : 0;
        return ModuloOrZero(x, y);
      });
      return failed < 0;
  }
  return false;
}

void ArithmeticFailures(ArithmeticOp op, Operand<int64_t> a, Operand<int64_t> b, int32_t count, uint8_t* failed) {
  int64_t ignored = 0;
  switch (op) {
    case ArithmeticOp::kAdd:
      return Loop(a, b, count, failed,
                  [&](int64_t x, int64_t y) { return static_cast<uint8_t>(__builtin_add_overflow(x, y, &ignored)); });
    case ArithmeticOp::kSubtract:
      return Loop(a, b, count, failed,
                  [&](int64_t x, int64_t y) { return static_cast<uint8_t>(__builtin_sub_overflow(x, y, &ignored)); });
    case ArithmeticOp::kMultiply:
      return Loop(a, b, count, failed,
                  [&](int64_t x, int64_t y) { return static_cast<uint8_t>(__builtin_mul_overflow(x, y, &ignored)); });
    case ArithmeticOp::kIntegerDivide:
    case ArithmeticOp::kDivide:
      return Loop(a, b, count, failed,
                  [](int64_t x, int64_t y) { return static_cast<uint8_t>(y == 0 || (y == -1 && x == kMin)); });
    case ArithmeticOp::kModulo:
      return Loop(a, b, count, failed, [](int64_t, int64_t y) { return static_cast<uint8_t>(y == 0); });
  }
}

bool Arithmetic(ArithmeticOp op, Operand<double> a, Operand<double> b, int32_t count, double* out) {
  bool failed = false;
  switch (op) {
    case ArithmeticOp::kAdd:
      Loop(a, b, count, out, [](double x, double y) { return x + y; });
      break;
    case ArithmeticOp::kSubtract:
      Loop(a, b, count, out, [](double x, double y) { return x - y; });
      break;
    case ArithmeticOp::kMultiply:
      Loop(a, b, count, out, [](double x, double y) { return x * y; });
      break;
    case ArithmeticOp::kIntegerDivide:
    case ArithmeticOp::kDivide:
      Loop(a, b, count, out, [&failed](double x, double y) {
        failed |= y == 0;
        return x / y;
      });
      break;
    case ArithmeticOp::kModulo:
      Loop(a, b, count, out, [&failed](double x, double y) {
        failed |= y == 0;
        return std::fmod(x, y);
      });
      break;
  }
  return failed;
}

void ArithmeticFailures(ArithmeticOp op, Operand<double> a, Operand<double> b, int32_t count, uint8_t* failed) {
  const bool divides = op == ArithmeticOp::kDivide || op == ArithmeticOp::kIntegerDivide || op == ArithmeticOp::kModulo;
  Loop(a, b, count, failed, [divides](double, double y) { return static_cast<uint8_t>(divides && y == 0); });
}

}  // namespace freshet::expr_kernels
