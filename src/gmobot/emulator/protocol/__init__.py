"""GMO Coin's protocol over the engine: requests and replies, tokens, streams of frames. Still no network."""
