"""A chat endpoint that speaks OpenAI's protocol: its address, the connection to it, its answers and its faults."""
