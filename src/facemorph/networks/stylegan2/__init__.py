"""Building blocks of StyleGAN2 in forms that are fast in plain PyTorch."""
