"""The JSON documents of runs as types: `--json` prints them, `agent schema` describes them, agent.api reads them."""
