"""Random faces, scans and skins."""
