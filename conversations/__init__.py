"""What is kept: plain values, the store, and the preference set that is made from it. Knows nothing of sound or models."""
