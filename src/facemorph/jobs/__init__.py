"""What every command that works on many files needs: outputs, inputs, records, processes,
recipes.
"""
