"""What several test modules and benchmarks share: cases, formulas of kernels, fresh interpreters, tolerances."""
