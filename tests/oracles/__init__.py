"""What other implementations answered, stored as data, and how to ask them again."""
