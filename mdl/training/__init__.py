"""From images to a finished result folder: recipe, feed, loop, state, and a whole row of the decathlon."""
