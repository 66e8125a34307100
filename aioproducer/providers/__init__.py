"""Token providers for clouds, to give as `token_provider`."""
