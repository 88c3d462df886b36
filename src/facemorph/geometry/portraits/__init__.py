"""Photographs of heads that are moved: how every pixel follows the head."""
