"""From the annotations people have to a label set in the Broden layout: one format a file."""
