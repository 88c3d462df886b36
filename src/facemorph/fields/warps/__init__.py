"""Warps: functions that carry points of a picture from one time to another."""
