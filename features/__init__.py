"""What a loan is: portfolio format, sources, and the one feature path for training and serving."""
