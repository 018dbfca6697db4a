"""GPUs: leases, and measurements by NVML."""
