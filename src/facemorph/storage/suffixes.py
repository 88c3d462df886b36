"""Kinds of files that are read and written, by their suffixes."""

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")  # that are read
STILLS = (".png", ".jpg", ".jpeg", ".webp")  # that are written
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")  # that are written
LANDMARKS = (".tem", ".pts", ".json", ".csv")  # that are written
LANDMARK_FILES = (*LANDMARKS, ".ljson", ".xml", ".txt", ".npy")  # that are looked for in folders
VIDEOS = (*VIDEO_SUFFIXES, ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".gif")  # that are read
