"""The `npl` command, one module a verb."""
