"""GPUs: leases, and what NVML measures."""
