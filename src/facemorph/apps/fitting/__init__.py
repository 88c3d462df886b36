"""Fits of photographs, videos and scans, for all commands that need one."""
