"""Reading, placing and cutting scans."""
