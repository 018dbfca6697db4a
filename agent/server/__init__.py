"""What clients of a run call: commands and the MCP server are thin layers over these functions."""
