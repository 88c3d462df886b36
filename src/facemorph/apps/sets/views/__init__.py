"""Make several views of each photograph of a set."""
