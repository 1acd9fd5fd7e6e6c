"""How the rest of the house talks to the exchange: normalised models, the transport seam, the GMO client."""
