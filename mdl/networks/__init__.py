"""ResNet-26, plain and separable, and every way to share its modules between visual domains."""
