"""Layer 2: functions of coordinates: image fields and warps."""
