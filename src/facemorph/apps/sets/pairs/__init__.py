"""Make pairs of pictures of one person, from which reenactment is learned."""
