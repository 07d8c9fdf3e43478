"""From portfolios to models: labels, splits, fitting, measures and honest comparison."""
