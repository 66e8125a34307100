"""`python -m tests.bounce`: a topic copied exactly once while copiers and brokers are killed."""
