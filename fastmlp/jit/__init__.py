"""The compiled engine: kernels on SIMD vectors, and what runs them."""
