"""Command line: every `joulewise` command."""
