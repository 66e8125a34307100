"""The lab: a service whose buttons put a producer to work, and a page that shows what it does."""
