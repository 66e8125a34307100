"""The surfaces of other clients, over the public API of this one."""
