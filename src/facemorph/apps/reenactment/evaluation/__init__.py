"""How well a trained reenactment moves people that it has not seen."""
