"""What found faces are checked for: landmarks that can be, cuts that agree."""
