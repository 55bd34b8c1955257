"""The parts of bench/run: the shared tiles, the four servers, the workloads, the report."""
