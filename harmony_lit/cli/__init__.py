"""The ``harmony`` command, the roof under which all rooms meet."""
