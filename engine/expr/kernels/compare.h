#pragma once

#include <cstdint>

#include "engine/expr/kernels/arithmetic.h"

/// Comparisons to bytes of 0 and 1 over raw pointers. Rows under nulls are compared too.
namespace freshet::expr_kernels {

enum class CompareOp : uint8_t { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual };

void Compare(CompareOp op, Operand<int64_t> a, Operand<int64_t> b, int32_t count, uint8_t* out);
void Compare(CompareOp op, Operand<uint8_t> a, Operand<uint8_t> b, int32_t count, uint8_t* out);
/// NaN equals NaN and is greater than every number.
void Compare(CompareOp op, Operand<double> a, Operand<double> b, int32_t count, uint8_t* out);

/// Arrow text against one constant: keep[i] stays 1 only if (text i == constant) == equal.
void NarrowTextEqual(const int32_t* offsets, const char* bytes, int32_t count, const char* constant, int32_t size,
                     bool equal, uint8_t* keep);

}  // namespace freshet::expr_kernels
