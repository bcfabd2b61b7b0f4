#pragma once

#include <cstdint>

/// Arithmetic over raw pointers. An operand is an array of `count` values or one value for all rows. Rows under nulls
/// are computed too; their results mean nothing.
namespace freshet::expr_kernels {

template <class T>
struct Operand {
  const T* values = nullptr;
  bool constant = false;
};

enum class ArithmeticOp : uint8_t { kAdd, kSubtract, kMultiply, kDivide, kIntegerDivide, kModulo };

/// Wraps on overflow; division by zero gives 0. Returns whether any row overflowed or divided by zero.
/// REQUIRES: op is not kDivide.
bool Arithmetic(ArithmeticOp op, Operand<int64_t> a, Operand<int64_t> b, int32_t count, int64_t* out);
/// Which rows did: failed[i] is 1 or 0.
void ArithmeticFailures(ArithmeticOp op, Operand<int64_t> a, Operand<int64_t> b, int32_t count, uint8_t* failed);

/// IEEE 754, one rounding per operation. Returns whether any row divided by zero. REQUIRES: op is not kIntegerDivide.
bool Arithmetic(ArithmeticOp op, Operand<double> a, Operand<double> b, int32_t count, double* out);
void ArithmeticFailures(ArithmeticOp op, Operand<double> a, Operand<double> b, int32_t count, uint8_t* failed);

}  // namespace freshet::expr_kernels
