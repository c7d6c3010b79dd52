"""Files: label sets in the Broden layout, classification sets in the decathlon layout. No model, no plotting."""
