"""The operations for clients of a run. The MCP server and the commands are thin layers over them."""
