#define FRESHET_ISA_NAMESPACE count_lines_avx2
#define FRESHET_ISA_ARCH xsimd::avx2
#include "connectors/format/kernels/count_lines_kernel.h"
