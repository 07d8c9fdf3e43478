"""What a forecast is: recovery models, their bundles, baselines and the one scoring path."""
