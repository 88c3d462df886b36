"""Files of pictures, videos, landmarks and lists of pairs."""
