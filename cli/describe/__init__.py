"""`timonier describe`: one object and what belongs to it, for people to read. One module a kind."""
