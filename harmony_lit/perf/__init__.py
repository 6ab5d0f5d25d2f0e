"""Speed and memory, measured against the reference libraries on the same weights and inputs."""
