"""The ground floor: errors, files, the terminal and the three commands' one `main`. Every package may import it."""
