"""Programs for whoever works on the repository; no part of the package."""
