"""What benchmarks share: the photographs of FRLL and figures on them."""
