"""The command line: a file a command, each parse → config → call → print."""

__all__: list[str] = []
